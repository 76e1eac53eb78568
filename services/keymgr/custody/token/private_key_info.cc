#include "services/keymgr/custody/token/private_key_info.h"

#include <cstring>
#include <optional>

#include "lib/base/status.h"
#include "lib/crypto/p256.h"

namespace virp::keymgr {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kVersion0 = "\x02\x01\x00"sv;
constexpr std::string_view kVersion1 = "\x02\x01\x01"sv;
constexpr std::string_view kAlgorithm =
    "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"sv;
constexpr char kSequence = 0x30;
constexpr char kOctetString = 0x04;

// What is behind this tag, taken off `rest`. Lengths of one or two octets; nothing here is longer.
std::optional<std::string_view> Take(std::string_view& rest, char tag) {
  if (rest.size() < 2 || rest[0] != tag) return std::nullopt;
  std::size_t header = 2;
  std::size_t size = static_cast<unsigned char>(rest[1]);
  if (size == 0x81 && rest.size() > 2) {
    header = 3;
    size = static_cast<unsigned char>(rest[2]);
    if (size < 0x80) return std::nullopt;
  } else if (size >= 0x80) {
    return std::nullopt;
  }
  if (size > rest.size() - header) return std::nullopt;
  const std::string_view content = rest.substr(header, size);
  rest.remove_prefix(header + size);
  return content;
}

bool TakeExactly(std::string_view& rest, std::string_view bytes) {
  if (!rest.starts_with(bytes)) return false;
  rest.remove_prefix(bytes.size());
  return true;
}

// SoftHSM fills the structure up to a multiple of eight before it wraps it.
bool IsPadding(std::string_view rest) {
  return rest.size() < 8 && rest.find_first_not_of('\0') == std::string_view::npos;
}

std::optional<std::string_view> Scalar(std::string_view info) {
  auto body = Take(info, kSequence);
  if (!body || !IsPadding(info) || !TakeExactly(*body, kVersion0) || !TakeExactly(*body, kAlgorithm))
    return std::nullopt;
  auto wrapped = Take(*body, kOctetString);  // attributes may follow; nothing in them changes the key
  if (!wrapped) return std::nullopt;
  auto ec = Take(*wrapped, kSequence);
  if (!ec || !wrapped->empty() || !TakeExactly(*ec, kVersion1)) return std::nullopt;
  const auto scalar = Take(*ec, kOctetString);  // parameters and the public half may follow
  if (!scalar || scalar->size() != crypto::kP256ScalarSize) return std::nullopt;
  return scalar;
}

}  // namespace

crypto::Secret P256PrivateKeyInfo(const crypto::Secret& scalar, std::string_view point) {
  constexpr std::string_view kHead =
      "\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
      "\x04\x6d\x30\x6b\x02\x01\x01\x04\x20"sv;
  constexpr std::string_view kMiddle = "\xa1\x44\x03\x42\x00"sv;
  crypto::Secret out(kHead.size() + scalar.size() + kMiddle.size() + point.size());
  char* at = out.data();
  for (const std::string_view part : {kHead, scalar.view(), kMiddle, point}) {
    std::memcpy(at, part.data(), part.size());
    at += part.size();
  }
  return out;
}

absl::StatusOr<crypto::Secret> P256ScalarOf(const crypto::Secret& private_key_info) {
  const auto scalar = Scalar(private_key_info.view());
  if (!scalar) return DataLoss("what the token gave is no P-256 key in PKCS #8");
  return crypto::Secret(*scalar);
}

}  // namespace virp::keymgr
