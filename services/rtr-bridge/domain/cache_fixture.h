// A cache for tests: what it tells routers is kept.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/rtr-bridge/domain/bridge_fixture.h"

namespace virp::rtr_bridge::testing {

// A cache with a clock, sources and files of the test's.
class CacheRun : public ::testing::Test {
 protected:
  using Set = std::shared_ptr<const vrp::Payloads>;
  // A cache over as many sources; what was told to routers is in `told_`.
  Cache& Make(std::size_t sources = 1, MergeRule rule = {}, bool slurm = false) {
    std::vector<SourceState> states(sources);
    for (std::size_t i = 0; i < sources; ++i) {
      states[i].name = "source-" + std::to_string(i);
      states[i].expire = std::chrono::hours(24);
    }
    cache_ = std::make_unique<Cache>(
        options_, SourceTable(std::move(states), rule), slurm, [this] { return ++session_; }, witness_, recorder_,
        state_, clock_,
        [this](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation) {
          if (snapshot != nullptr) told_.push_back(generation);
          snapshot_ = snapshot;
          shown_ = snapshot == nullptr ? nullptr : Set(snapshot, &snapshot->payloads());
        },
        [this](const std::shared_ptr<const rtr::Snapshot>&, const Generation&, const Set& payloads) {
          shown_ = payloads;
        });
    return *cache_;
  }
  // The second so far from now.
  vrp::Expires In(std::chrono::seconds time) const {
    return static_cast<vrp::Expires>(clock_.NowNanos() / 1'000'000'000) + static_cast<vrp::Expires>(time.count());
  }
  std::size_t served() const { return snapshot_ == nullptr ? 0 : snapshot_->payloads().size(); }

  FakeClock clock_;
  CacheOptions options_;
  Witness witness_{"bridge-1"};
  FakeRecorder recorder_;
  FakeState state_;
  std::uint16_t session_ = 100;
  std::vector<Generation> told_;
  std::shared_ptr<const rtr::Snapshot> snapshot_;
  Set shown_;  // to whom expiries count
  std::unique_ptr<Cache> cache_;
};

}  // namespace virp::rtr_bridge::testing
