// The SourceBook against a second implementation that knows no state at all: it keeps the whole history and asks it
// anew for every question, as slowly and as plainly as the rules are written. Random histories of frames, gaps, beats,
// epochs, resets, keys, suspensions, alarms and late frames, from three sources, one of them of version 1.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "lib/chain/naive_source.h"
#include "lib/chain/test_chain.h"
#include "lib/chain/walk.h"

namespace virp::chain {
namespace {

using frame::Reason;
using frame::Spelling;
using frame::Suite;
using frame::Tier;
using frame::Type;
using naive::NaiveSource;
using naive::Question;
using Where = Placement::Where;

constexpr std::uint64_t kSecond = TestChain::kSecond;
constexpr std::uint64_t kStart = TestChain::kStart;

// How often each thing happened over all histories: a property that is never put to the test is not tested.
std::map<std::string, int>& Tally() {
  static std::map<std::string, int> tally;
  return tally;
}

class Comparison {
 public:
  explicit Comparison(std::uint32_t seed) : random_(seed) {
    for (const std::string& name : kNames) {
      Registration r = chain_.Template(name);
      r.types = {1, 22, 24};
      if (name == kOld) r.min_frame_version = 1;
      chain_.Register(r);
      naive_[name].may_send_v1 = name == kOld;
    }
    Registration collector = chain_.Template("collector-1", Suite::kEd25519);
    collector.types = {23, 24};
    chain_.Register(collector);
  }

  void Run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      chain_.Advance(Pick(3) == 0 ? Pick(40) * kSecond : Pick(1'000) * 1'000);
      Step();
      if (Pick(20) == 0) CompareStates();
      if (Pick(60) == 0) copies_.emplace_back(chain_.book, chain_.book.size());
    }
    CompareStates();
    Replay();
  }

 private:
  static inline const std::string kOld = "old.bgpd";
  static inline const std::vector<std::string> kNames = {"edge-a.bgpd", "edge-b.bgpd", kOld};

  std::uint64_t Pick(std::uint64_t below) { return random_() % below; }
  const std::string& Name() { return kNames[Pick(kNames.size())]; }

  void Step() {
    switch (Pick(20)) {
      case 0:
      case 1:
        return Beat();
      case 2:
        return Loss();
      case 3:
        return Control();
      default:
        return SendFrame();
    }
  }

  // An epoch near those that there are.
  std::uint64_t PickEpoch(const NaiveSource& naive) {
    const auto opened = naive.Opened();
    if (!opened.empty() && Pick(6) != 0) return Pick(5) == 0 ? opened[Pick(opened.size())] : opened.back();
    switch (Pick(5)) {
      case 0:
        return chain_.now + Pick(100) * kSecond;  // perhaps too far ahead
      case 1:
        return kStart + Pick(2'000'000'000);  // perhaps old
      case 2:
        return naive.Floor() + 1 + Pick(3);  // lower than the newest after a reset
      default:
        return naive.Newest() == 0 ? kStart + Pick(1'000) : naive.Newest() + 1 + Pick(3);
    }
  }
  std::uint64_t PickNumber(const NaiveSource& naive, std::uint64_t epoch) {
    const std::uint64_t next = naive.Next(epoch);
    switch (Pick(6)) {
      case 0:
        return next + Pick(6);
      case 1:
        return 1 + Pick(next + 2);
      default:
        return next;
    }
  }
  std::uint64_t PickTime() {
    switch (Pick(8)) {
      case 0:
        return chain_.now + Pick(150) * kSecond;
      case 1:
        return chain_.now - Pick(400) * kSecond;
      default:
        return chain_.now - Pick(3) * kSecond;
    }
  }

  void SendFrame() {
    const std::string& name = Name();
    NaiveSource& naive = naive_[name];
    if (naive.suspended && Pick(4) == 0) {
      chain_.Event(SourceEvent{.event = SourceEvent::Event::kResumed, .source = name});
      naive.suspended = false;
    }
    if (naive.keys.rbegin()->second.compromised && Pick(4) == 0) Roll(name, naive);
    Question q;
    q.v1 = name == kOld ? Pick(400) != 0 : Pick(50) == 0;
    q.epoch = PickEpoch(naive);
    q.number = PickNumber(naive, q.epoch);
    const bool again = !naive.admitted.empty() && Pick(8) == 0;
    if (again) q.epoch = naive.admitted.back().epoch, q.number = naive.admitted.back().from;
    q.time = PickTime();
    if (q.v1 && Pick(3) == 0) q.time = q.epoch = chain_.now - Pick(2);
    if (q.v1 && Pick(4) == 0) q.number = Pick(3);
    if (!q.v1 && q.number == 0) q.number = 1;
    q.version = Pick(3) == 0 ? static_cast<std::uint32_t>(1 + Pick(naive.keys.size())) : naive.keys.rbegin()->first;
    q.receipt = chain_.Receipt();
    const Tier tier = Pick(200) == 0 ? Tier::kBlack : Tier::kGreen;
    const auto want = naive.Ask(q);
    const auto got = chain_.Send(name, {.number = q.number,
                                        .epoch = q.epoch,
                                        .time = q.time,
                                        .tier = tier,
                                        .key_version = q.version,
                                        .spelling = q.v1 ? Spelling::kV1Le : Spelling::kV2});
    const std::string about = fmt::format("{} v1 {} epoch {} number {} time {} at {} entry {}", name, q.v1, q.epoch,
                                          q.number, q.time, q.receipt, chain_.book.size());
    ASSERT_EQ(frame::ReasonName(got.reason()), frame::ReasonName(want.reason)) << about;
    ++Tally()[fmt::format("{}{}", q.v1 ? "v1 " : "", frame::ReasonName(want.reason))];
    if (want.reason == Reason::kLateKey && Pick(3) == 0) return Admit(name, q.epoch, q.number);
    if (want.reason != Reason::kNone) return;
    ++Tally()[fmt::format("{}place {}", q.v1 ? "v1 " : "", static_cast<int>(want.where))];
    if (want.where == Where::kLate && q.epoch != naive.Newest()) ++Tally()["late in an old epoch"];
    if (want.gaps.size() > 1) ++Tally()["two gaps or more"];
    if (!naive.WasOpened(q.epoch) && naive.Newest() > q.epoch) ++Tally()["lower epoch after a reset"];
    for (const int flag : {1, 8}) Tally()[fmt::format("flag {}", flag)] += (want.flags & flag) != 0 ? 1 : 0;
    ASSERT_EQ(static_cast<int>(got.where()), static_cast<int>(want.where)) << about;
    if (want.where == Where::kHeld) return;
    ASSERT_FALSE(naive.Held(q.epoch, q.number)) << "accepted twice: " << about;
    ASSERT_EQ(got.admission.flags, want.flags) << about;
    ASSERT_EQ(got.admission.placement.gaps.size(), want.gaps.size()) << about;
    for (std::size_t i = 0; i < want.gaps.size(); ++i) {
      const Gap& gap = got.admission.placement.gaps[i];
      ASSERT_EQ(std::tuple(gap.epoch, gap.from, gap.to), want.gaps[i]) << about;
      naive.history.push_back({NaiveSource::Event::What::kGap, gap.epoch, gap.from, gap.to});
    }
    naive.history.push_back({NaiveSource::Event::What::kFrame, q.epoch, q.number, q.number, q.time, q.receipt});
    naive.sent_v2 = naive.sent_v2 || !q.v1;
    if (tier == Tier::kBlack) naive.alarms["TIER_BLACK"] = ChannelState::kBlack;
  }

  void Beat() {
    Heartbeat beat;
    std::vector<std::pair<std::string, NaiveSource::Event>> said;
    for (const std::string& name : kNames) {
      if (Pick(2) == 0) continue;
      NaiveSource& naive = naive_[name];
      const std::uint64_t epoch = PickEpoch(naive);
      const std::uint64_t last = naive.Next(epoch) - 1 + Pick(4);
      beat.sources.push_back({frame::SourceIdOf(name), epoch, last, true, 0, 0, false});
      said.push_back({name, {NaiveSource::Event::What::kBeat, epoch, 0, last, 0, chain_.Receipt()}});
    }
    if (beat.sources.empty()) return;
    const auto sent = chain_.Send("collector-1", {.type = Type::kHeartbeat, .payload = BuildHeartbeat(beat)});
    ASSERT_EQ(sent.admission.flags, 0);
    for (const auto& [name, event] : said) naive_[name].history.push_back(event);
  }

  void Loss() {
    const std::string& name = kNames[Pick(2)];
    NaiveSource& naive = naive_[name];
    const auto opened = naive.Opened();
    if (opened.empty() || naive.suspended) return;
    const std::uint64_t epoch = naive.Newest();
    Question q{epoch, naive.Next(epoch), chain_.now, chain_.Receipt(), naive.keys.rbegin()->first, false};
    if (naive.Ask(q).reason != Reason::kNone) return;
    const Gap loss{name, opened[Pick(opened.size())], 1 + Pick(4), 4 + Pick(8),
                   Pick(2) == 0 ? Gap::Why::kOverflow : Gap::Why::kShutdown};
    const auto sent = chain_.Send(
        name,
        {.type = Type::kGap, .payload = BuildGap(loss), .number = q.number, .epoch = epoch, .key_version = q.version});
    ASSERT_EQ(sent.admission.flags & ~(kClockSuspect | kAdmittedLate), 0);
    naive.history.push_back({NaiveSource::Event::What::kFrame, epoch, q.number, q.number, q.time, q.receipt});
    naive.history.push_back({NaiveSource::Event::What::kLoss, loss.epoch, loss.from, loss.to, 0, 0, loss.why});
    naive.sent_v2 = true;
  }

  void Control() {
    const std::string& name = Name();
    NaiveSource& naive = naive_[name];
    SourceEvent event;
    event.source = name;
    switch (Pick(9)) {
      case 0:
      case 1:
        event.event = naive.suspended ? SourceEvent::Event::kResumed : SourceEvent::Event::kSuspended;
        chain_.Event(event);
        naive.suspended = !naive.suspended;
        return;
      case 2:
      case 3: {
        const auto opened = naive.Opened();
        if (opened.empty()) return;
        event.event = SourceEvent::Event::kEpochReset;
        event.epoch = opened[Pick(opened.size())];
        chain_.Event(event);
        naive.history.push_back({NaiveSource::Event::What::kReset, event.epoch, 0, 0, 0, chain_.Receipt()});
        return;
      }
      case 4:
        return Admit(name, naive.Newest(), PickNumber(naive, naive.Newest()));
      case 5:
        return Roll(name, naive);
      case 6: {
        KeyEvent compromised{
            .event = KeyEvent::Event::kCompromised, .source = name, .version = naive.keys.begin()->first};
        compromised.compromised_since = chain_.now - 50 * kSecond + Pick(100) * kSecond;
        chain_.Event(compromised);
        auto& since = naive.keys.begin()->second.compromised;
        since = std::min(since.value_or(kNone), compromised.compromised_since);
        naive.alarms["KEY_COMPROMISED"] = ChannelState::kBlack;
        return;
      }
      case 7: {
        const ChannelState state = Pick(2) == 0 ? ChannelState::kBlack : ChannelState::kAlarmed;
        const std::string cause = Pick(2) == 0 ? "EQUIVOCATION" : "BAD_TAG";
        const Alarm alarm{name, cause, state, 1, "", "", "", "", ""};
        const bool own = Pick(2) == 0;
        if (own) {
          chain_.Event(alarm);
        } else {
          chain_.Send("collector-1", {.type = Type::kChannelAlarm, .payload = BuildAlarm(alarm)});
        }
        auto& now = naive.alarms[cause];
        now = std::max(now, own ? state : ChannelState::kAlarmed);
        return;
      }
      default:
        for (const char* cause : {"EQUIVOCATION", "TIER_BLACK", "KEY_COMPROMISED"}) {
          if (Pick(2) == 0) continue;
          chain_.Event(AlarmCleared{name, cause, "op", "", ""});
          naive.alarms.erase(cause);
        }
    }
  }

  void Admit(const std::string& name, std::uint64_t epoch, std::uint64_t from) {
    SourceEvent event{.event = SourceEvent::Event::kLateAdmitted, .source = name};
    event.epoch = epoch;
    event.from = from;
    event.to = from + Pick(10);
    chain_.Event(event);
    naive_[name].admitted.push_back({NaiveSource::Event::What::kFrame, event.epoch, event.from, event.to});
  }

  void Roll(const std::string& name, NaiveSource& naive) {
    const std::uint32_t version = naive.keys.rbegin()->first + 1;
    KeyEvent roll{.source = name, .key = chain_.MakeKey(name, version, Suite::kHmacSha256)};
    roll.key.accept_from = chain_.now + Pick(90) * kSecond;
    if (Pick(2) == 0) roll.previous_sign_until = chain_.now + Pick(100) * kSecond;
    if (Pick(2) == 0) roll.previous_accept_until = chain_.now + Pick(200) * kSecond;
    chain_.Event(roll);
    auto& before = naive.keys.rbegin()->second;
    if (roll.previous_sign_until) before.sign_until = roll.previous_sign_until;
    if (roll.previous_accept_until) before.accept_until = roll.previous_accept_until;
    naive.keys[version].accept_from = roll.key.accept_from;
  }

  void CompareStates() {
    for (const std::string& name : kNames) {
      const NaiveSource& naive = naive_[name];
      const Channel& channel = chain_.channel(name);
      ASSERT_EQ(channel.newest_epoch, naive.Newest());
      std::size_t frames = 0;
      for (const auto& e : naive.history) frames += e.what == NaiveSource::Event::What::kFrame ? 1 : 0;
      ASSERT_EQ(channel.held, frames);
      CompareEpochs(naive, channel);
      ChannelState worst = ChannelState::kOk;
      for (const auto& [cause, state] : naive.alarms) worst = std::max(worst, state);
      if (worst == ChannelState::kAlarmed && frames == 0 && naive.alarms.contains("BAD_TAG"))
        worst = ChannelState::kKeyMismatch;
      ASSERT_EQ(ChannelStateName(channel.State()), ChannelStateName(worst)) << name;
    }
  }

  // Number by number: what the book calls missing is in a gap and not held, with the right reason and time before it.
  void CompareEpochs(const NaiveSource& naive, const Channel& channel) {
    const auto opened = naive.Opened();
    ASSERT_EQ(*channel.opened, opened);
    for (std::size_t i = 0; i < opened.size(); ++i) {
      const auto found = channel.epochs.find(opened[i]);
      const EpochState none;
      const EpochState& state = found == channel.epochs.end() ? none : found->second;
      if (opened[i] == naive.Newest()) {
        ASSERT_EQ(state.next, naive.Next(opened[i]));
        ASSERT_EQ(state.stated, naive.Stated(opened[i]));
      }
      std::uint64_t before = 0;
      for (std::uint64_t number = 1; number < naive.Next(opened[i]); ++number) {
        const bool missing = naive.InGap(opened[i], number) && !naive.Held(opened[i], number);
        const MissingRange* range = state.FindMissing(number);
        ASSERT_EQ(range != nullptr, missing) << opened[i] << " " << number;
        if (range == nullptr) continue;
        ASSERT_EQ(range->latest_before, naive.LatestBelow(opened[i], number).value_or(0));
        ASSERT_GE(range->latest_before, before);
        before = range->latest_before;
        Gap::Why why = Gap::Why::kMissing;
        bool in_gap = false;
        for (const auto& e : naive.history) {
          if (e.epoch != opened[i] || number < e.from || number > e.to) continue;
          if (e.what == NaiveSource::Event::What::kGap) in_gap = true;
          if (e.what == NaiveSource::Event::What::kLoss && in_gap) why = e.why;
        }
        if (why != Gap::Why::kMissing) ++Tally()["lost by its own word"];
        ASSERT_EQ(static_cast<int>(range->why), static_cast<int>(why)) << opened[i] << " " << number;
      }
    }
  }

  // A verifier with nothing but the bytes ends where the leader is, and passes through every state that it was in.
  void Replay() {
    ChainWalk walk(chain_.origin(), {true, true, &chain_.keys});
    std::size_t copy = 0;
    for (std::size_t i = 0; i <= chain_.entries.size(); ++i) {
      for (; copy < copies_.size() && copies_[copy].second == i; ++copy)
        ASSERT_TRUE(copies_[copy].first == walk.book()) << i;
      if (i < chain_.entries.size()) walk.Add(chain_.entries[i], &chain_.leaves[i], nullptr);
      ASSERT_FALSE(walk.first_break()) << i << " " << BreakKindName(walk.first_break()->kind) << " "
                                       << walk.first_break()->detail;
    }
    ASSERT_EQ(copy, copies_.size());
    ASSERT_TRUE(walk.book() == chain_.book);
  }

  std::mt19937 random_;
  TestChain chain_;
  std::map<std::string, NaiveSource> naive_;
  std::vector<std::pair<SourceBook, std::uint64_t>> copies_;
};

TEST(BookPropertyTest, AgreesWithANaiveReadingOfTheWholeHistory) {
  for (std::uint32_t seed = 1; seed <= 150 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Comparison(seed).Run(200);
  }
  for (const char* what : {"NONE",
                           "SOURCE_SUSPENDED",
                           "KEY_VERSION_UNKNOWN",
                           "LATE_KEY",
                           "KEY_COMPROMISED",
                           "EPOCH_OLD",
                           "EPOCH_AHEAD",
                           "v1 NONE",
                           "v1 REPLAYED",
                           "v1 EPOCH_AHEAD",
                           "v1 DOWNGRADE",
                           "place 0",
                           "place 1",
                           "place 2",
                           "place 3",
                           "v1 place 0",
                           "v1 place 1",
                           "v1 place 3",
                           "late in an old epoch",
                           "two gaps or more",
                           "lower epoch after a reset",
                           "lost by its own word",
                           "flag 1",
                           "flag 8"}) {
    EXPECT_GE(Tally()[what], 20) << what;
  }
  if (HasFailure()) {
    for (const auto& [what, times] : Tally()) std::printf("%s: %d\n", what.c_str(), times);
  }
}

}  // namespace
}  // namespace virp::chain
