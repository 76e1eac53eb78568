// A SPIFFE id from a stranger's certificate: what is accepted is the one spelling of its parts, and has a role only if
// the map says so. Input: the id.
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/names.h"
#include "lib/service/identity.h"
#include "tests/fuzz/require.h"

using namespace virp::service;  // NOLINT(google-build-using-namespace): a fuzz target is one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const IdentityMap default_map = *IdentityMap::Default("t");
  static const IdentityMap map = *IdentityMap::FromJson(R"({"trust_domain": "t", "rules": [
      {"id": "spiffe://t/ns/a/sa/b", "role": "onode", "name": "main"},
      {"path": "/ns/{ns}/sa/{sa}", "role": "reader", "name": "{ns}.{sa}"},
      {"path": "/ns/{_ns}/sa/{sa}/pod/{_pod}", "role": "collector", "name": "c-{sa}"},
      {"path": "/{role}/{name}", "role": "{role}", "name": "{name}"}]})");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto id = SpiffeId::Parse(text);
  if (!id.ok()) return 0;
  REQUIRE(text.size() <= kMaxSpiffeId && id->text() == text);
  REQUIRE("spiffe://" + std::string(id->trust_domain()) + std::string(id->path()) == text);
  constexpr std::string_view kLower = "abcdefghijklmnopqrstuvwxyz0123456789._-";
  REQUIRE(!id->trust_domain().empty() && id->trust_domain().find_first_not_of(kLower) == std::string_view::npos);
  std::string path;
  for (const std::string_view segment : id->Segments()) {
    REQUIRE(!segment.empty() && segment != "." && segment != "..");
    REQUIRE(segment.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
            std::string_view::npos);
    path += "/" + std::string(segment);
  }
  REQUIRE(path == id->path());
  for (const IdentityMap* each : {&default_map, &map}) {
    const auto entry = each->Find(*id);
    if (!entry.ok()) continue;
    REQUIRE(id->trust_domain() == "t" && virp::CheckSourceName(entry->name).ok());
  }
  if (const auto entry = default_map.Find(*id); entry.ok()) {
    REQUIRE("/" + std::string(RoleName(entry->role)) + "/" + entry->name == id->path());
  }
  return 0;
}
