// For tests of claims: a chain, both books over it, and questions.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "services/onode/domain/claim.h"
#include "services/onode/domain/replay.h"
#include "tests/testutil/chain_builder.h"

namespace virp::onode {

class Scene : public testutil::ChainBuilder {
 public:
  using testutil::ChainBuilder::ChainBuilder;

  // Both books over the whole chain.
  const PastState& Now() {
    while (state_.size() < entries.size()) {
      const absl::Status added = state_.Add(entries[state_.size()]);
      EXPECT_TRUE(added.ok()) << added;
      if (!added.ok()) break;
    }
    const absl::Status settled = state_.Settle(Reader());
    EXPECT_TRUE(settled.ok()) << settled;
    return state_;
  }
  FactBook::EntryReader Reader() const {
    return [this](std::uint64_t sequence) -> absl::StatusOr<std::string> {
      if (sequence >= entries.size()) return NotFound("entry {}", sequence);
      return entries[sequence];
    };
  }

  Answer Ask(const Claim& claim, const Acceptance& acceptance = {}) {
    const PastState& state = Now();
    auto answer = state.facts().Evaluate(claim, acceptance, state.sources(), now, frozen, checkpointed, Reader());
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.ok() ? *std::move(answer) : Answer{};
  }
  Verdict VerdictOn(const Claim& claim, const Acceptance& acceptance = {}) { return Ask(claim, acceptance).verdict; }

  bool frozen = false;
  std::uint64_t checkpointed = 0;

 private:
  PastState state_{origin()};
};

inline PeerClaim PeerIs(std::string state = "Established") {
  PeerClaim claim;
  claim.router = "edge-a";
  claim.peer = "192.0.2.2";
  claim.state = std::move(state);
  return claim;
}

inline RouteClaim Route(bool exists = true, std::string rib = "adj-in-pre", std::string prefix = "203.0.113.0/24") {
  RouteClaim claim;
  claim.router = "edge-a";
  claim.rib = std::move(rib);
  claim.prefix = std::move(prefix);
  claim.exists = exists;
  return claim;
}

inline RouteClaim FromPeer(RouteClaim claim, std::string peer = "192.0.2.2") {
  claim.peer = std::move(peer);
  return claim;
}

// The opinion of one source; an empty one when it is not in the answer.
inline SourceOpinion OpinionOf(const Answer& answer, std::string_view source) {
  for (const SourceOpinion& opinion : answer.opinions) {
    if (opinion.source == source) return opinion;
  }
  ADD_FAILURE() << "no opinion of " << source;
  return {};
}

inline std::ostream& operator<<(std::ostream& out, Verdict verdict) {
  return out << VerdictName(verdict);
}

}  // namespace virp::onode
