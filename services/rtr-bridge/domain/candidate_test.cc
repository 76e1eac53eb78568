// What a step of a source is used for, and that it changes nothing else.
#include "services/rtr-bridge/domain/candidate.h"

#include <gmock/gmock.h>

#include "lib/vrp/replace.h"
#include "lib/vrp/test_payloads.h"
#include "services/rtr-bridge/domain/cache_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr_bridge {
namespace {

using vrp::Below;
using vrp::RandomPayloads;

constexpr UnixNanos kSecond = 1'000'000'000;

// As a feed's reading behind `before`.
Reading ReadingBehind(const std::shared_ptr<const vrp::Payloads>& before, const vrp::Payloads& gone,
                      const vrp::Payloads& news) {
  vrp::Exchanged exchanged = vrp::Exchange(*before, gone, news);
  Reading reading = testing::ReadingOf(std::move(exchanged.set));
  reading.live = reading.sha256_of_set = true;
  reading.step = std::make_shared<const Step>(Step{before, std::move(exchanged.left), news});
  return reading;
}

bool Same(const rtr::Delta& a, const rtr::Delta& b) {
  return a.vrps4.announced == b.vrps4.announced && a.vrps4.withdrawn == b.vrps4.withdrawn &&
         a.vrps6.announced == b.vrps6.announced && a.vrps6.withdrawn == b.vrps6.withdrawn &&
         a.router_keys.announced == b.router_keys.announced && a.router_keys.withdrawn == b.router_keys.withdrawn &&
         a.aspas == b.aspas;
}

TEST(CandidateTest, TheStepIsTheDifference) {
  vrp::Random random(51);
  for (int round = 0; round < 300; ++round) {
    const auto before =
        std::make_shared<const vrp::Payloads>(RandomPayloads(random, static_cast<int>(Below(random, 30))));
    const Reading reading = ReadingBehind(before, RandomPayloads(random, static_cast<int>(Below(random, 10))),
                                          RandomPayloads(random, static_cast<int>(Below(random, 10))));
    Candidate candidate{reading.payloads, {}, {}, {}, {}, reading.step, {}};
    ASSERT_TRUE(Same(candidate.DeltaFrom(before), rtr::Diff(*before, *reading.payloads)));
    // From elsewhere it leads nowhere.
    const auto other = std::make_shared<const vrp::Payloads>(RandomPayloads(random, 20));
    ASSERT_TRUE(Same(candidate.DeltaFrom(other), rtr::Diff(*other, *reading.payloads)));
  }
}

TEST(CandidateTest, OnlyWhatIsServedAsItCameHasTheStep) {
  vrp::Random random(52);
  const auto before = std::make_shared<const vrp::Payloads>(RandomPayloads(random, 20));
  vrp::Payloads news;
  news.router_keys = {vrp::TestKey(64500)};
  news.vrps4 = {{.address = 1U << 24, .as = 1, .expires = 1'000, .length = 8, .max_length = 8}};
  SourceTable sources({SourceState{}}, {});
  sources.TakeGood(0, ReadingBehind(before, {}, news), 1);
  const auto step = [&](const vrp::Slurm* slurm, Dropped dropped, UnixNanos now) {
    const auto made = MakeCandidate(sources, slurm, dropped, now);
    return made.ok() && made->sha256 == vrp::HashOf(*made->payloads) ? made->step : nullptr;
  };
  EXPECT_NE(step(nullptr, {}, 1), nullptr);
  EXPECT_EQ(step(nullptr, {.router_keys = true}, 1), nullptr);
  EXPECT_EQ(step(nullptr, {}, 1'000 * kSecond), nullptr) << "a payload is expired";
  const vrp::Slurm slurm;
  EXPECT_EQ(step(&slurm, {}, 1), nullptr);
}

// Two caches get the same readings, one of them with steps: what they tell is the same.
class CacheStepTest : public testing::CacheRun {
 protected:
  struct Told {
    testing::FakeRecorder recorder;
    testing::FakeState state;
    std::vector<Generation> generations;
    std::shared_ptr<const rtr::Snapshot> snapshot;
  };
  std::unique_ptr<Cache> MakeOne(Told& told, std::size_t sources) {
    auto cache = std::make_unique<Cache>(
        options_, SourceTable(std::vector<SourceState>(sources), {}), false,
        [session = std::uint16_t{0}]() mutable { return ++session; }, witness_, told.recorder, told.state, clock_,
        [&told](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation) {
          if (snapshot != nullptr) told.generations.push_back(generation);
          told.snapshot = snapshot;
        });
    return cache;
  }
};

TEST_F(CacheStepTest, ACacheTellsTheSameWithAndWithoutSteps) {
  vrp::Random random(53);
  options_.guards = {.max_drop = 0.2, .max_growth = 0.3, .must_stay_valid = {}};
  std::size_t generations = 0, held = 0;
  for (int run = 0; run < 40; ++run) {
    clock_.SetWall(900 * kSecond);  // payloads expire in the seconds 1,000 and 2,000
    const std::size_t sources = run % 4 == 3 ? 2 : 1;
    Told by_steps, by_sets;
    const auto one = MakeOne(by_steps, sources), other = MakeOne(by_sets, sources);
    const auto take = [&](std::size_t source, const Reading& reading) {
      one->TakeGood(source, reading);
      Reading without = reading;
      without.step.reset();
      other->TakeGood(source, without);
    };
    Reading last = testing::ReadingOf(RandomPayloads(random, 40));
    last.live = last.sha256_of_set = true;
    take(0, last);
    if (sources == 2) take(1, testing::ReadingOf(RandomPayloads(random, 5)));
    for (int step = 0; step < 30; ++step) {
      clock_.Advance(std::chrono::seconds(Below(random, 60)));
      last = ReadingBehind(last.payloads, RandomPayloads(random, static_cast<int>(Below(random, 4))),
                           RandomPayloads(random, static_cast<int>(Below(random, 3))));
      if (Below(random, 8) != 0) take(0, last);  // else it is lost, as behind a pause between generations
      one->Tick();
      other->Tick();
      const CacheStatus a = one->status(), b = other->status();
      ASSERT_EQ(by_steps.generations, by_sets.generations) << "run " << run << " step " << step;
      ASSERT_EQ(by_steps.snapshot == nullptr, by_sets.snapshot == nullptr);
      if (by_steps.snapshot != nullptr) ASSERT_EQ(by_steps.snapshot->payloads(), by_sets.snapshot->payloads());
      ASSERT_EQ(one->NextTick(), other->NextTick());
      ASSERT_EQ(a.held.has_value(), b.held.has_value());
      if (!a.held) continue;
      ++held;
      ASSERT_EQ(a.held->reasons, b.held->reasons);
      ASSERT_EQ(a.held->sha256, b.held->sha256);
      if (Below(random, 2) != 0) continue;
      ASSERT_OK(one->Accept(a.held->number, a.held->sha256, {}));
      ASSERT_OK(other->Accept(b.held->number, b.held->sha256, {}));
    }
    ASSERT_EQ(by_steps.state.written, by_sets.state.written);
    generations += by_steps.generations.size();
  }
  EXPECT_GT(generations, 200U);
  EXPECT_GT(held, 50U);
}

}  // namespace
}  // namespace virp::rtr_bridge
