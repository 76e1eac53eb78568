#include "services/onode/known_keys.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace virp::onode {
namespace {

using Known = std::vector<keys::KnownVersion>;

Known KnownOf(const chain::Source& source, std::uint64_t size) {
  Known out;
  for (const auto& [version, state] : source.keys) {
    const bool asymmetric = state.statement.suite == frame::Suite::kEd25519;
    out.push_back({source.registration.source, version, size, state.compromised_since.has_value(),
                   asymmetric ? state.statement.public_key : state.statement.commitment});
  }
  return out;
}

// What both know; compromised when both say so.
void Meet(Known& known, const Known& other) {
  std::erase_if(known, [&](keys::KnownVersion& one) {
    const auto same = std::find_if(other.begin(), other.end(), [&](const keys::KnownVersion& theirs) {
      return theirs.version == one.version && theirs.statement == one.statement;
    });
    if (same == other.end()) return true;
    one.compromised = one.compromised && same->compromised;
    return false;
  });
}

}  // namespace

std::vector<keys::KnownVersion> KnownKeys(const Node& node, const keys::ManagedKeys& managed) {
  Known all;
  const std::vector<Chain*> chains = node.chains();
  for (const std::string& name : managed.Sources()) {
    std::optional<Known> known;
    for (const Chain* chain : chains) {
      const std::optional<Known> here = chain->Read([&](const ChainState& state) -> std::optional<Known> {
        const auto source = state.book.FindByName(name);
        if (source == nullptr) return std::nullopt;
        return KnownOf(*source, state.size);
      });
      if (!here) continue;
      if (known) {
        Meet(*known, *here);
      } else {
        known = here;
      }
    }
    if (known) all.insert(all.end(), known->begin(), known->end());
  }
  return all;
}

}  // namespace virp::onode
