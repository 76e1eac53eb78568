// What people write into options and files, and producers into payloads. Input: any text, read as each kind of it. What
// is read is written and read again to the same; a canonical reader takes one spelling only.
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/base/ip.h"
#include "lib/base/names.h"
#include "lib/base/units.h"
#include "lib/base/utf8.h"
#include "lib/store/storage_url.h"
#include "tests/fuzz/require.h"

using namespace virp;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

void Numbers(std::string_view text) {
  if (const auto duration = ParseDuration(text); duration.ok()) {
    REQUIRE(duration->count() >= 0 && *ParseDuration(FormatDuration(*duration)) == *duration);
  }
  if (const auto size = ParseSize(text); size.ok()) REQUIRE(*ParseSize(std::to_string(*size)) == *size);
  if (const auto at = ParseHostPort(text); at.ok()) {
    REQUIRE(!at->host.empty() && *ParseHostPort(FormatHostPort(*at)) == *at);
  }
}

template <typename Value>
void Canonical(std::string_view text) {
  const auto value = Value::Parse(text);
  const auto canonical = Value::ParseCanonical(text);
  REQUIRE(canonical.ok() == (value.ok() && value->ToString() == text));
  if (value.ok()) REQUIRE(*Value::ParseCanonical(value->ToString()) == *value);
}

void Addresses(std::string_view text) {
  Canonical<IpAddress>(text);
  Canonical<Prefix>(text);
  const auto address = IpAddress::Parse(text);
  if (address.ok()) {
    REQUIRE(*IpAddress::FromBytes(address->bytes()) == *address);
    REQUIRE(!address->is_v4() || address->Unmapped() == *address);
    REQUIRE(address->is_unspecified() == (address->Masked(address->bits()) == address->Masked(0)));
  }
  const auto prefix = Prefix::Parse(text);
  if (prefix.ok()) {
    REQUIRE(prefix->Contains(*prefix) && prefix->Contains(prefix->address()));
    REQUIRE(*Prefix::Make(prefix->address(), prefix->length()) == *prefix);
    REQUIRE(!Prefix::Make(prefix->address(), prefix->address().bits() + 1).ok());
  }
  if (const auto bytes = IpAddress::FromBytes(text); bytes.ok()) Canonical<IpAddress>(bytes->ToString());
}

void Bytes(std::string_view text) {
  if (const auto bytes = HexDecode(text); bytes.ok()) REQUIRE(*HexDecode(HexEncode(*bytes)) == *bytes);
  if (const auto bytes = Base64Decode(text); bytes.ok()) REQUIRE(Base64Encode(*bytes) == text);
  REQUIRE(*HexDecode(HexEncode(text)) == text && *Base64Decode(Base64Encode(text)) == text);
  REQUIRE(HashFromBytes(text).ok() == (text.size() == sizeof(Hash)));
  const std::string repaired = ToUtf8(text);
  REQUIRE(IsUtf8(repaired) && (!IsUtf8(text) || repaired == text));
}

void Names(std::string_view text) {
  if (CheckSourceName(text).ok()) REQUIRE(!text.empty() && IsUtf8(text));
  if (CheckOrigin(text).ok()) REQUIRE(!text.empty() && text.find('\n') == std::string_view::npos);
}

// A password is never shown, and never taken from where everybody reads it.
void StorageUrls(std::string_view text) {
  using store::UrlOrigin;
  const auto url = store::ParseStorageUrl(text, UrlOrigin::kPrivate);
  const auto shown = store::ParseStorageUrl(text, UrlOrigin::kCommandLine);
  REQUIRE(url.ok() || !shown.ok());
  if (!url.ok()) return;
  const std::string redacted = store::Redacted(*url);
  const auto again = store::ParseStorageUrl(redacted, UrlOrigin::kPrivate);
  REQUIRE(again.ok() && store::Redacted(*again) == redacted);
  if (shown.ok()) REQUIRE(redacted == text);
  if (!shown.ok()) REQUIRE(redacted.find("***") != std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Numbers(text);
  Addresses(text);
  Bytes(text);
  Names(text);
  StorageUrls(text);
  return 0;
}
