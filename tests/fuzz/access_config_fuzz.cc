// The files that say who may do what. Input: 'i' and an identity map, 's' and scope rules, 'd' and a deny list, or 'l'
// and limits.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/service/authorization.h"
#include "lib/service/deny_list.h"
#include "lib/service/identity.h"
#include "lib/service/rate_limits.h"
#include "tests/fuzz/require.h"

using namespace virp::service;  // NOLINT(google-build-using-namespace): a fuzz target is one function
using nlohmann::json;

namespace {

// Ids that rules of the map may meet: each rule's path with a word of the map in place of each part.
std::vector<std::string> Ids(const json& map) {
  std::set<std::string> words = {"operator", "producer", "approver", "reader", "x"};
  std::vector<std::vector<std::string>> paths;
  const std::string domain = map["trust_domain"];
  for (const json& rule : map["rules"]) {
    const std::string text = rule.contains("path") ? rule["path"].get<std::string>()
                                                   : rule["id"].get<std::string>().substr(9 + domain.size());
    std::vector<std::string> path;
    for (std::size_t at = 0; at != std::string::npos;) {
      const std::size_t next = text.find('/', at + 1);
      path.push_back(text.substr(at + 1, next == std::string::npos ? next : next - at - 1));
      if (path.back().find('{') == std::string::npos && words.size() < 12) words.insert(path.back());
      at = next;
    }
    paths.push_back(std::move(path));
  }
  std::vector<std::string> out;
  for (const auto& path : paths) {
    for (const std::string& first : words) {
      for (const std::string& second : words) {
        std::string id = "spiffe://" + domain;
        bool use_first = true;
        for (const std::string& segment : path) {
          const bool part = segment.starts_with('{');
          id += "/" + (!part ? segment : use_first ? first : second);
          if (part) use_first = !use_first;
        }
        out.push_back(id);
        if (out.size() == 500) return out;
      }
    }
  }
  return out;
}

// Whatever the order of the rules, no id becomes two of producer, approver, operator.
void IdentityMapHolds(std::string_view text) {
  const auto map = IdentityMap::FromJson(text);
  if (!map.ok()) return;
  json parsed = json::parse(text);
  const std::vector<std::string> ids = Ids(parsed);
  std::reverse(parsed["rules"].begin(), parsed["rules"].end());
  const auto reversed = IdentityMap::FromJson(parsed.dump());
  REQUIRE(reversed.ok());
  for (const std::string& text_id : ids) {
    const auto id = SpiffeId::Parse(text_id);
    if (!id.ok()) continue;
    const auto one = map->Find(*id);
    const auto other = reversed->Find(*id);
    if (!one.ok() || !other.ok()) continue;
    REQUIRE(one->role == other->role || !kSeparatedRoles.Has(one->role) || !kSeparatedRoles.Has(other->role));
  }
}

void ScopeRulesHold(std::string_view text) {
  const auto rules = ScopeRules::FromJson(text);
  if (!rules.ok()) return;
  for (const char* name : {"a", "a/b", "r1", "c1"}) {
    Identity identity;
    identity.name = "c1";
    identity.role = Role::kCollector;
    const bool covered = rules->Check(identity, {.origin = name, .source = name, .type = 1}).ok();
    REQUIRE(!covered ||
            (rules->HasAny(identity) && rules->Check(identity, {.origin = name, .source = "", .type = {}}).ok()));
    REQUIRE(!rules->Check(identity, {.origin = "", .source = "", .type = 1}).ok());
  }
}

void DenyListHolds(std::string_view text) {
  const auto list = DenySnapshot::Parse(text);
  if (!list.ok()) return;
  REQUIRE(list->Covers(*list) && !list->HasId("") && !list->HasSerial(""));
  REQUIRE(DenySnapshot::Union(*list, *DenySnapshot::Parse("serial 1\n")).HasSerial("1"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'i') IdentityMapHolds(text);
  if (data[0] == 's') ScopeRulesHold(text);
  if (data[0] == 'd') DenyListHolds(text);
  if (data[0] == 'l') ParseRateLimits(text).IgnoreError();
  return 0;
}
