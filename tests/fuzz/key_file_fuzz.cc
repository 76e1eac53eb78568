// Key files. Input: the name of a file, LF, its contents, which are also read as each other kind of key file.
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/frame/key_format.h"
#include "tests/fuzz/require.h"

using namespace virp::frame;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

void Name(std::string_view name) {
  const auto file = ParseKeyFileName("edge-a.bgpd", name, "edge-a.bgpd/" + std::string(name));
  if (!file.ok() || !file->has_value()) return;
  const KeyFile& found = **file;
  REQUIRE(std::to_string(found.version) + "." + std::string(KeyFileExtension(found.kind)) == name);
  REQUIRE(!ParseKeyFileName("", name, std::string(name)).ok());
}

// A key signs or checks: what one signs, it takes, and nothing else.
void Key(KeyFileKind kind, std::string_view contents) {
  const auto key = ParseKey(kind, contents);
  if (!key.ok()) return;
  const bool hmac = kind == KeyFileKind::kHmac || kind == KeyFileKind::kText;
  REQUIRE(((*key)->suite() == Suite::kHmacSha256) == hmac);
  REQUIRE((*key)->can_sign() == (kind != KeyFileKind::kPublic));
  if (!(*key)->can_sign()) return;
  const auto tag = (*key)->Sign("frame");
  REQUIRE(tag.ok() && (*key)->Verify("frame", *tag) && !(*key)->Verify("other", *tag));
}

void Times(std::string_view contents) {
  KeyVersion version;
  if (!ParseKeyTimes(contents, version).ok()) return;
  REQUIRE(!version.accept_until || *version.accept_until >= version.accept_from);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = text.find('\n');
  const std::string_view contents = line == std::string_view::npos ? std::string_view() : text.substr(line + 1);
  Name(text.substr(0, line));
  for (const KeyFileKind kind : {KeyFileKind::kHmac, KeyFileKind::kText, KeyFileKind::kSeed, KeyFileKind::kPublic}) {
    Key(kind, contents);
  }
  Times(contents);
  return 0;
}
