#include "lib/frame/run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "lib/base/bytes.h"

namespace virp::frame {
namespace {

using Step = RunDecision::Step;
constexpr UnixNanos kSecond = 1'000'000'000;
constexpr UnixNanos kNoon = 1'750'000'000 * kSecond;

// A decoded frame as far as the rules look at one; its tag stands for its bytes.
struct Sample {
  Sample(std::uint64_t sequence, UnixNanos time, int variant = 0) : tag(32, '\0') {
    StoreBe(tag.data(), sequence * 1'000'003 + static_cast<std::uint64_t>(variant));
    StoreBe(tag.data() + 8, time);
    frame.header.spelling = Spelling::kV1Le;
    frame.header.sequence = sequence;
    frame.header.timestamp = time;
  }
  const Frame& get() {
    frame.tag = tag;
    return frame;
  }
  std::string tag;
  Frame frame;
};

class RunTest : public ::testing::Test {
 protected:
  RunDecision Offer(std::uint64_t sequence, UnixNanos time, int variant = 0,
                    std::optional<UnixNanos> now = std::nullopt) {
    Sample sample(sequence, time, variant);
    const RunDecision decision = state_.Decide(sample.get(), now);
    if (decision.accepted()) state_.Accept(sample.get(), decision);
    return decision;
  }
  static RunDecision NewRun(UnixNanos epoch) { return {Step::kNewRun, epoch, Reason::kNone}; }
  static RunDecision GoesOn(UnixNanos epoch) { return {Step::kGoesOn, epoch, Reason::kNone}; }
  static RunDecision Duplicate() { return {Step::kDuplicate, 0, Reason::kNone}; }
  static RunDecision Replayed() { return {Step::kRefused, 0, Reason::kReplayed}; }

  RunState state_;
};

TEST_F(RunTest, TheFirstFrameNamesTheRun) {
  EXPECT_EQ(state_.epoch(), 0U);
  EXPECT_EQ(Offer(7, kNoon), NewRun(kNoon));
  EXPECT_EQ(Offer(8, kNoon + 1), GoesOn(kNoon));
  EXPECT_EQ(Offer(20, kNoon + kSecond), GoesOn(kNoon)) << "numbers may be missing";
  EXPECT_EQ(state_.epoch(), kNoon);
  EXPECT_EQ(state_.last_sequence(), 20U);
  EXPECT_EQ(state_.latest_time(), kNoon + kSecond);
}

TEST_F(RunTest, ATimeOfZeroIsLaterThanNothing) {
  EXPECT_EQ(Offer(1, 0), Replayed());
  EXPECT_EQ(Offer(1, 1), NewRun(1));
}

TEST_F(RunTest, TimeMayFallByTheSkewAndNoMore) {
  Offer(1, kNoon);
  EXPECT_EQ(Offer(2, kNoon - kRunSkew), GoesOn(kNoon));
  EXPECT_EQ(Offer(3, kNoon - kRunSkew - 1), Replayed()) << "below the latest, not below the last";
  EXPECT_EQ(Offer(3, kNoon - kRunSkew), GoesOn(kNoon));
  EXPECT_EQ(Offer(4, kNoon), GoesOn(kNoon)) << "equal times are no fall";
}

TEST_F(RunTest, ANumberThatFallsWithALaterTimeIsANewRun) {
  Offer(1, kNoon);
  Offer(2, kNoon + 2);
  EXPECT_EQ(Offer(2, kNoon + 3), NewRun(kNoon + 3)) << "also the same number";
  EXPECT_EQ(Offer(1, kNoon + 4), NewRun(kNoon + 4));
  EXPECT_EQ(Offer(2, kNoon + 5), GoesOn(kNoon + 4));
}

TEST_F(RunTest, ANumberThatFallsWithoutALaterTimeIsReplayed) {
  Offer(5, kNoon);
  Offer(6, kNoon + 10);
  Offer(7, kNoon + 5);  // time fell within the skew
  EXPECT_EQ(Offer(1, kNoon + 8), Replayed()) << "later than the last, not later than all";
  EXPECT_EQ(Offer(1, kNoon + 10), Replayed()) << "as late is not later";
  EXPECT_EQ(Offer(1, kNoon + 11), NewRun(kNoon + 11));
}

TEST_F(RunTest, AWrapIsANewRun) {
  Offer(0xffff'fffe, kNoon);
  EXPECT_EQ(Offer(0xffff'ffff, kNoon + 1), GoesOn(kNoon));
  EXPECT_EQ(Offer(0, kNoon + 2), NewRun(kNoon + 2));
  EXPECT_EQ(Offer(1, kNoon + 3), GoesOn(kNoon + 2));
  EXPECT_EQ(Offer(0, kNoon + 2), Duplicate());
}

TEST_F(RunTest, TheSameBytesAreADuplicateOtherBytesAreNot) {
  Offer(1, kNoon);
  Offer(2, kNoon + 1);
  EXPECT_EQ(Offer(1, kNoon), Duplicate());
  EXPECT_EQ(Offer(2, kNoon + 1), Duplicate());
  EXPECT_EQ(Offer(2, kNoon + 1, 1), Replayed()) << "same number and time, other bytes";
  EXPECT_EQ(Offer(3, kNoon + 2), GoesOn(kNoon));
}

TEST_F(RunTest, DuplicatesOfEarlierRunsAreKnownToo) {
  Offer(1, kNoon);
  Offer(500, kNoon + 1);
  Offer(1, kNoon + 2);
  EXPECT_EQ(Offer(500, kNoon + 1), Duplicate());
}

// The number rises and time falls by a second only, yet it belongs to the run before.
TEST_F(RunTest, AnOldFrameWithAHighNumberDoesNotGoOnAfterAQuickRestart) {
  Offer(1, kNoon);
  Offer(100, kNoon + 5 * kSecond);
  Offer(1, kNoon + 6 * kSecond);
  EXPECT_EQ(Offer(99, kNoon + 5 * kSecond - 1), Replayed());
  EXPECT_EQ(Offer(2, kNoon + 7 * kSecond), GoesOn(kNoon + 6 * kSecond));
}

TEST_F(RunTest, DuplicatesBeyondTheMemoryAreReplayed) {
  for (std::uint64_t i = 0; i <= RunState::kRemembered; ++i) Offer(i + 1, kNoon + i);
  EXPECT_EQ(Offer(1, kNoon), Replayed());
  EXPECT_EQ(Offer(2, kNoon + 1), Duplicate());
  EXPECT_EQ(Offer(RunState::kRemembered + 1, kNoon + RunState::kRemembered), Duplicate());
}

TEST_F(RunTest, ARunAheadOfTheClockChangesNothing) {
  EXPECT_EQ(Offer(1, kNoon + kRunSkew + 1, 0, kNoon), (RunDecision{Step::kRefused, 0, Reason::kEpochAhead}));
  EXPECT_EQ(state_, RunState());
  EXPECT_EQ(Offer(1, kNoon + kRunSkew, 0, kNoon), NewRun(kNoon + kRunSkew));
  EXPECT_EQ(Offer(2, kNoon * 2, 0, kNoon), GoesOn(kNoon + kRunSkew))
      << "inside a run no frame is refused for being early";
  EXPECT_EQ(Offer(1, kNoon * 2 + 1, 0, kNoon), (RunDecision{Step::kRefused, 0, Reason::kEpochAhead}));
}

TEST_F(RunTest, ResetLetsAPoisonedSourceBackIn) {
  Offer(1, kNoon);
  Offer(2, kNoon * 2);
  EXPECT_EQ(Offer(3, kNoon + kSecond), Replayed());
  EXPECT_EQ(Offer(1, kNoon + kSecond), Replayed());
  state_.Reset(kNoon + kSecond);
  EXPECT_EQ(state_.epoch(), 0U);
  EXPECT_EQ(Offer(1, kNoon), Duplicate());
  EXPECT_EQ(Offer(4, kNoon + kSecond), Replayed());
  EXPECT_EQ(Offer(4, kNoon + kSecond + 1), NewRun(kNoon + kSecond + 1));
}

TEST_F(RunTest, ResetIsNotLaterThanWhatWasHeld) {
  Offer(1, kNoon);
  state_.Reset(kNoon * 2);
  EXPECT_EQ(Offer(2, kNoon + 1), NewRun(kNoon + 1));
}

TEST_F(RunTest, SerializesAndParses) {
  for (const std::size_t frames : {std::size_t{0}, std::size_t{3}, RunState::kRemembered + 100}) {
    RunState fresh;
    state_ = fresh;
    for (std::uint64_t i = 1; i <= frames; ++i) Offer(i, kNoon + i);
    if (frames == 3) Offer(1, kNoon + 100);
    const std::string bytes = state_.Serialize();
    EXPECT_LE(bytes.size(), 20'000U);
    const RunState parsed = RunState::Parse(bytes).value();
    EXPECT_EQ(parsed.Serialize(), bytes);
    EXPECT_EQ(parsed.epoch(), state_.epoch());
    EXPECT_EQ(parsed.last_sequence(), state_.last_sequence());
    EXPECT_EQ(parsed.latest_time(), state_.latest_time());
    state_ = parsed;
    if (frames > 3) {
      EXPECT_EQ(Offer(101, kNoon + 101), Duplicate());
      EXPECT_EQ(Offer(100, kNoon + 100), Replayed());
      EXPECT_EQ(Offer(frames + 1, kNoon + frames + 1), GoesOn(kNoon + 1));
      EXPECT_EQ(Offer(101, kNoon + 101), Replayed()) << "the oldest one went when a new one came";
      EXPECT_EQ(Offer(102, kNoon + 102), Duplicate());
    }
    for (std::size_t n = 0; n < std::min<std::size_t>(bytes.size(), 100); ++n) {
      EXPECT_EQ(RunState::Parse(bytes.substr(0, n)).status().code(), absl::StatusCode::kDataLoss);
    }
    EXPECT_FALSE(RunState::Parse(bytes + "x").ok());
    EXPECT_FALSE(RunState::Parse("\x02" + bytes.substr(1)).ok());
  }
}

// The rules of docs/formats/frame.md over the whole history, without any of the state's short cuts.
class Model {
 public:
  RunDecision Decide(std::uint64_t sequence, UnixNanos time, int variant) const {
    const bool later = std::all_of(held_.begin(), held_.end(), [&](const Held& h) { return time > h.time; });
    if (held_.empty()) return {Step::kNewRun, time, Reason::kNone};
    const std::uint64_t epoch = held_.back().epoch;
    const bool rises = sequence > held_.back().sequence;
    bool falls = false, overlaps = false;
    for (const Held& h : held_) {
      if (h.epoch == epoch) {
        falls = falls || (h.time > time && h.time - time > kRunSkew);
      } else {
        overlaps = overlaps || time <= h.time;
      }
    }
    if (rises && !falls && !overlaps) return {Step::kGoesOn, epoch, Reason::kNone};
    if (!rises && later) return {Step::kNewRun, time, Reason::kNone};
    for (std::size_t back = 0; back < held_.size() && back < RunState::kRemembered; ++back) {
      const Held& h = held_[held_.size() - 1 - back];
      if (h.sequence == sequence && h.time == time && h.variant == variant) return {Step::kDuplicate, 0, Reason::kNone};
    }
    return {Step::kRefused, 0, Reason::kReplayed};
  }
  void Accept(std::uint64_t sequence, UnixNanos time, int variant, std::uint64_t epoch) {
    held_.push_back({sequence, time, variant, epoch});
  }

 private:
  struct Held {
    std::uint64_t sequence;
    UnixNanos time;
    int variant;
    std::uint64_t epoch;
  };
  std::vector<Held> held_;
};

// Producers that restart, lose frames and have bad clocks, and somebody who replays what was on the wire: state and
// model agree on every frame, the state survives being written and read, and nothing is accepted twice.
TEST(RunProperty, AgreesWithTheRulesOverWholeHistories) {
  std::map<Step, int> seen;
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t n) { return random() % n; };
    RunState state;
    Model model;
    struct Sent {
      std::uint64_t sequence;
      UnixNanos time;
      int variant;
    };
    std::vector<Sent> sent;
    std::set<std::pair<std::uint64_t, UnixNanos>> accepted;
    UnixNanos clock = kNoon;
    std::uint64_t sequence = below(4) == 0 ? 0xffff'fff0 : 0;
    for (int step = 0; step < 300; ++step) {
      clock += below(3 * kSecond);
      switch (below(30)) {
        case 0:
          sequence = 0;
          break;  // restart
        case 1:
          clock -= std::min<UnixNanos>(clock, below(90 * kSecond));
          break;  // clock steps back
        case 2:
          clock += below(90 * kSecond);
          break;
        case 3:
          ++sequence;
          break;  // a frame is lost
        default:
          break;
      }
      Sent now{};
      if (!sent.empty() && below(3) == 0) {
        now = sent[below(sent.size())];
        if (below(4) == 0) now.variant = 1 + static_cast<int>(below(1000));
      } else {
        sequence = (sequence + 1) & 0xffff'ffff;
        now = {sequence, clock, 0};
        sent.push_back(now);
      }
      Sample sample(now.sequence, now.time, now.variant);
      const RunDecision decision = state.Decide(sample.get(), std::nullopt);
      ASSERT_EQ(decision, model.Decide(now.sequence, now.time, now.variant)) << "seed " << seed << " step " << step;
      ++seen[decision.step];
      if (!decision.accepted()) continue;
      ASSERT_TRUE(accepted.emplace(now.sequence, now.time).second)
          << "accepted twice: seed " << seed << " step " << step;
      state.Accept(sample.get(), decision);
      model.Accept(now.sequence, now.time, now.variant, decision.epoch);
      state = RunState::Parse(state.Serialize()).value();
    }
  }
  for (const Step step : {Step::kGoesOn, Step::kNewRun, Step::kDuplicate, Step::kRefused}) EXPECT_GT(seen[step], 1000);
}

}  // namespace
}  // namespace virp::frame
