// Routes of a source over its limit: what is said, in which order, and that no reader is left with a word that the
// collector knows is old.
#include "services/collector/domain/route_fold.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "lib/deliver/outbox_fixture.h"

namespace virp::collector {
namespace {

using namespace std::chrono_literals;
using frame::Tier;
using frame::Type;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kBmp = "edge-a.bgpd";

std::string Payload(std::string_view event, std::string_view prefix, std::string_view extra = "",
                    std::string_view peer = "192.0.2.2") {
  return fmt::format(R"({{"domain":"bgp","event":"{}"{},"peer":"b","peer_addr":"{}","peer_as":64501,"local_as":64500,)"
                     R"("router_id":"192.0.2.1","vrf":"default","rib":"adj-in-pre"{}{}}})",
                     event, prefix.empty() ? "" : fmt::format(R"(,"prefix":"{}")", prefix), peer,
                     prefix.empty() ? "" : R"(,"path_id":0)", extra);
}
deliver::Observation Announce(std::string_view prefix, int med = 0, Tier tier = Tier::kGreen) {
  return {Type::kBgpProcess, tier, Payload("route_announce", prefix, fmt::format(R"(,"med":{})", med))};
}
deliver::Observation Withdraw(std::string_view prefix, Tier tier = Tier::kGreen) {
  return {Type::kBgpProcess, tier, Payload("route_withdraw", prefix)};
}
deliver::Observation Complete() {
  return {Type::kBgpProcess, Tier::kGreen, Payload("table_complete", "")};
}
deliver::Observation PeerState(std::string_view state, Tier tier = Tier::kGreen) {
  return {
      Type::kPeerStatusChanged, tier,
      fmt::format(
          R"({{"domain":"bgp","event":"peer_state_change","peer_addr":"192.0.2.2","router_id":"192.0.2.1","vrf":"default","new_state":"{}"}})",
          state)};
}

class RouteFoldTest : public deliver::testing::OutboxTest {
 protected:
  RouteFoldTest() { Up(); }

  // A collector that starts; from what is in the spool.
  void Up() {
    outbox_.reset();
    fold_ = std::make_unique<RouteFold>(limits_, clock_);
    ASSERT_OK(Open({fold_.get()}, 64ULL << 20, fold_.get()));
  }
  void Say(const std::vector<deliver::Observation>& observations, const char* source = kBmp) {
    ASSERT_OK(outbox_->Emit(source, observations));
  }
  // Time passes, with the ticks of a running collector.
  void Pass(std::chrono::milliseconds time) {
    for (; time > 0ms; time -= 500ms) {
      clock_.Advance(500ms);
      ASSERT_OK(outbox_->EmitDue());
    }
  }

  // What was spooled since the last call, as "event prefix med" (+ what is odd about it).
  std::vector<std::string> Said(const char* source = kBmp) {
    std::vector<std::string> out;
    frame::PayloadReader reader;
    const auto frames = Spooled();
    for (; read_ < frames.size(); ++read_) {
      if (frames[read_].source != source) continue;
      const frame::Frame frame = frame::Decode(frames[read_].bytes, frames[read_].spelling).value();
      const frame::Value json = reader.Read(frame.payload).value();
      std::string text(json["event"].AsString().value());
      if (text == "routes_summarised") {
        text = fmt::format("{} {}", *json["open"].AsBool() ? "open" : "closed", *json["observations"].AsUnsigned());
      } else if (frame.header.type == Type::kPeerStatusChanged) {
        text = json["new_state"].AsString().value();
      } else {
        text.erase(0, text.find('_') + 1);
      }
      if (json["prefix"].present()) text.append(" ").append(*json["prefix"].AsString());
      if (json["med"].present()) text.append(" ").append(std::to_string(*json["med"].AsUnsigned()));
      if (json["restated"].AsBool() == true) text += " again";
      if (frame.header.tier != Tier::kGreen) text += " !";
      out.push_back(std::move(text));
    }
    return out;
  }

  EdgeLimits limits_{RateLimitTable{}, clock_};
  std::unique_ptr<RouteFold> fold_;
  std::size_t read_ = 0;
};

TEST_F(RouteFoldTest, WithinItsLimitASourceIsHeardWordByWord) {
  Say({Announce("10.0.0.0/24"), Withdraw("10.0.0.0/24"), Complete()});
  EXPECT_THAT(Said(), ElementsAre("announce 10.0.0.0/24 0", "withdraw 10.0.0.0/24", "complete"));
  EXPECT_EQ(fold_->counters().folded, 0);
}

TEST_F(RouteFoldTest, OverItChangesAreSummarisedAndEachPathIsStatedOnce) {
  Say({Announce("10.0.0.0/24", 1)});
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 2), Announce("10.0.1.0/24", 1)});
  EXPECT_THAT(Said(), ElementsAre("announce 10.0.0.0/24 1", "open 1")) << "the first one is told at once";
  for (int i = 3; i < 1'000; ++i) Say({Announce("10.0.0.0/24", i)});
  Say({Withdraw("10.0.1.0/24")});
  EXPECT_THAT(Said(), IsEmpty());
  Pass(10s);
  EXPECT_THAT(Said(), ElementsAre("open 999"));
  EXPECT_EQ(fold_->counters().waiting, 2);
  Pass(6s);
  EXPECT_THAT(Said(), ElementsAre("announce 10.0.0.0/24 999 again", "withdraw 10.0.1.0/24 again", "closed 0"));
  EXPECT_EQ(fold_->counters().folded, 1'000);
  EXPECT_EQ(fold_->counters().tables, 0);
  Say({Announce("10.0.0.0/24", 5)});
  EXPECT_THAT(Said(), ElementsAre("announce 10.0.0.0/24 5"));
}

TEST_F(RouteFoldTest, ASummaryNamesWhatWasFolded) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24")});
  const UnixNanos first = clock_.NowNanos() + 500'000'000;
  clock_.Advance(500ms);
  for (int i = 40; i > 0; --i) Say({Announce(fmt::format("10.1.{}.0/24", i)), Withdraw("10.0.0.0/24")});
  Say({Complete()});
  Pass(10s);
  const auto frames = Spooled();
  frame::PayloadReader reader;
  const frame::Frame frame = frame::Decode(frames.back().bytes, frames.back().spelling).value();
  EXPECT_EQ(frame.header.type, Type::kBgpProcess);
  EXPECT_EQ(frame.header.tier, Tier::kGreen);
  const frame::Value json = reader.Read(frame.payload).value();
  EXPECT_EQ(json["router_id"].AsString(), "192.0.2.1");
  EXPECT_EQ(json["peer_addr"].AsString(), "192.0.2.2");
  EXPECT_EQ(json["rib"].AsString(), "adj-in-pre");
  EXPECT_EQ(json["observations"].AsUnsigned(), 81);
  EXPECT_EQ(json["announced"].AsUnsigned(), 40);
  EXPECT_EQ(json["withdrawn"].AsUnsigned(), 40);
  EXPECT_EQ(json["completed"].AsUnsigned(), 1);
  EXPECT_EQ(json["first_ns"].AsUnsigned(), first);
  EXPECT_EQ(json["changed"].size(), 32) << "bounded";
  EXPECT_EQ(json["changed_more"].AsBool(), true);
}

TEST_F(RouteFoldTest, WhatIsNotAGreenRouteIsNeverFoldedAndComesBehindWhatWas) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 1),
       Announce("10.0.0.0/24", 2),
       PeerState("Established"),
       Announce("10.0.1.0/24", 3, Tier::kRed),
       Withdraw("10.0.2.0/24", Tier::kYellow),
       {Type::kBgpRouteUpdate, Tier::kGreen, Payload("bestpath_change", "10.0.0.0/24")}});
  EXPECT_THAT(Said(), ElementsAre("open 1", "open 1", "Established", "announce 10.0.1.0/24 3 !",
                                  "withdraw 10.0.2.0/24 !", "change 10.0.0.0/24"));
}

TEST_F(RouteFoldTest, AnAlarmingStateOvertakesWhatWaitedOfItsPath) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 1), Announce("10.0.0.0/24", 2, Tier::kRed)});
  EXPECT_THAT(Said(), ElementsAre("open 1", "announce 10.0.0.0/24 2 !"));
  Pass(16s);
  EXPECT_THAT(Said(), ElementsAre("closed 0")) << "the older state is not said after the newer";
}

TEST_F(RouteFoldTest, AChangeAfterItsPathWasStatedNeedsAnotherSummary) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 1), Announce("10.0.0.0/24", 2, Tier::kRed), Announce("10.0.1.0/24", 3),
       Announce("10.0.0.0/24", 4)});
  EXPECT_THAT(Said(), ElementsAre("open 1", "announce 10.0.0.0/24 2 !", "open 2"));
}

TEST_F(RouteFoldTest, ALostPeerTakesWhatWaitsAlong) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 1), Announce("10.0.1.0/24", 1)});
  Say({{Type::kBgpProcess, Tier::kGreen, Payload("route_announce", "10.9.0.0/24", "", "192.0.2.20")}});
  Say({PeerState("Idle", Tier::kYellow)});
  EXPECT_THAT(Said(), ElementsAre("open 1", "open 1", "open 1", "Idle !"));
  // It comes back while the source is over its limit still.
  Say({PeerState("Established"), Announce("10.0.0.0/24", 7)});
  EXPECT_THAT(Said(), ElementsAre("Established", "open 1"));
  Pass(16s);
  EXPECT_THAT(Said(),
              ElementsAre("announce 10.9.0.0/24 again", "announce 10.0.0.0/24 7 again", "closed 0", "closed 0"));
}

TEST_F(RouteFoldTest, ALossAndAReturnWithinOneBatch) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 1)});
  Say({Announce("10.0.1.0/24", 2), PeerState("Idle", Tier::kYellow), PeerState("Established"),
       Announce("10.0.0.0/24", 3), Complete()});
  EXPECT_THAT(Said(), ElementsAre("open 1", "open 1", "Idle !", "Established", "open 1"));
  Pass(16s);
  EXPECT_THAT(Said(), ElementsAre("open 1", "announce 10.0.0.0/24 3 again", "complete again", "closed 0"));
}

TEST_F(RouteFoldTest, ATableIsStatedCompleteOnceAllItsPathsAre) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 1), Complete(), Announce("10.0.1.0/24", 1)});
  Pass(16s);
  EXPECT_THAT(Said(), ElementsAre("open 1", "open 2", "announce 10.0.0.0/24 1 again", "announce 10.0.1.0/24 1 again",
                                  "complete again", "closed 0"));
}

TEST_F(RouteFoldTest, AStatementThatWasTakenBackIsNotSaidAfterwards) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 1), Complete()});
  Say({{Type::kBgpProcess, Tier::kYellow, Payload("table_complete", "", R"(,"prefixes":[])")}});
  EXPECT_THAT(Said(), ElementsAre("open 1", "open 1", "complete !"));
  Pass(16s);
  EXPECT_THAT(Said(), ElementsAre("announce 10.0.0.0/24 1 again", "closed 0"));
}

// The clock steps back while a statement waits: of the new epoch it would be untrue, and what else waits may be said.
TEST_F(RouteFoldTest, AStatementIsDroppedWithItsEpoch) {
  Say({Announce("10.9.0.0/24", 1)});
  static_cast<void>(Said());
  deliver::Observation bound = Complete();
  bound.epoch = outbox_->signing(kBmp).epoch;
  for (const bool steps : {false, true}) {
    for (const bool restarts : {false, true}) {
      limits_.Told(kBmp);
      Say({Announce("10.0.0.0/24", 1), bound});
      if (restarts) {
        ASSERT_OK(outbox_->Snapshot());
        Up();
        fold_->Compared(kBmp);
      }
      if (steps) clock_.SetWall(clock_.NowNanos() - 120'000'000'000ULL);
      Pass(16s);
      auto said = Said();
      std::erase(said, "open 1");
      if (steps) {
        EXPECT_THAT(said, ElementsAre("announce 10.0.0.0/24 1 again", "closed 0")) << restarts;
        EXPECT_GT(outbox_->signing(kBmp).epoch, bound.epoch);
        bound.epoch = outbox_->signing(kBmp).epoch;
      } else {
        EXPECT_THAT(said, ElementsAre("announce 10.0.0.0/24 1 again", "complete again", "closed 0")) << restarts;
      }
      EXPECT_EQ(fold_->counters().tables, 0);
    }
  }
}

TEST_F(RouteFoldTest, OwnLimitsFoldAndPaceWhatIsStatedAfterwards) {
  limits_.Replace({{}, {{kBmp, {.entries_per_second = 10, .burst = 20}}}});
  Say({Announce("10.0.0.0/24")}, "edge-b.bgpd");
  for (int i = 0; i < 100; ++i) Say({Announce(fmt::format("10.0.{}.0/24", i))});
  EXPECT_EQ(Said().size(), 20 + 1) << "the burst, and one summary";
  EXPECT_EQ(fold_->counters().waiting, 80);
  for (int i = 0; i < 300 && fold_->counters().tables > 0; ++i) Pass(500ms);
  EXPECT_EQ(fold_->counters().waiting, 0);
  EXPECT_EQ(Said().size(), 80 + 2) << "one more summary in time, and the closing one";
}

TEST_F(RouteFoldTest, NewChangesQueueBehindThoseThatWait) {
  limits_.Replace({{}, {{kBmp, {.entries_per_second = 10, .burst = 1}}}});
  Say({Announce("10.0.0.0/24", 1)});
  Say({Announce("10.0.0.0/24", 2)});
  static_cast<void>(Said());
  clock_.Advance(9s);  // room, but not held long enough
  Say({Announce("10.0.1.0/24", 1), Announce("10.0.0.0/24", 3)});
  EXPECT_THAT(Said(), IsEmpty());
  Pass(3s);
  EXPECT_THAT(Said(),
              ElementsAre("open 2", "announce 10.0.0.0/24 3 again", "announce 10.0.1.0/24 1 again", "closed 0"));
}

TEST_F(RouteFoldTest, OthersAreNotConcerned) {
  limits_.Told(kBmp);
  const deliver::Observation one = Announce("10.0.0.0/24");
  ASSERT_OK_AND_ASSIGN(const auto receipts,
                       outbox_->Emit({{"edge-b.bgpd", &one}, {kBmp, &one}, {"edge-b.bgpd", &one}}));
  EXPECT_THAT(Said("edge-b.bgpd"), ElementsAre("announce 10.0.0.0/24 0", "announce 10.0.0.0/24 0"));
  ASSERT_EQ(receipts.size(), 3);
  EXPECT_EQ(receipts[0].sequence, 1);
  EXPECT_EQ(receipts[1].sequence, 0) << "folded";
  EXPECT_EQ(receipts[1].number, 3);
  EXPECT_EQ(receipts[2].sequence, 2);
}

TEST_F(RouteFoldTest, WhatCouldNotBeSpooledHasNotHappened) {
  limits_.Told(kBmp);
  keys_.Remove(kBmp, 1);
  EXPECT_FALSE(outbox_->Emit(kBmp, {Announce("10.0.0.0/24", 1), PeerState("Idle")}).ok());
  EXPECT_EQ(fold_->counters().waiting, 0);
  EXPECT_EQ(fold_->counters().folded, 0);
  keys_.Put(kBmp, {1, deliver::testing::KeyOf(kBmp), 0, std::nullopt});
  Say({Announce("10.0.0.0/24", 1)});
  EXPECT_THAT(Said(), ElementsAre("open 1"));
}

TEST_F(RouteFoldTest, BeyondItsMemoryPathsGoIntoTheSpool) {
  fold_ = std::make_unique<RouteFold>(limits_, clock_, RouteFoldOptions{.max_bytes = 1'000});
  ASSERT_OK(Open({fold_.get()}, 64ULL << 20, fold_.get()));
  limits_.Told(kBmp);
  for (int i = 0; i < 10; ++i) Say({Announce(fmt::format("10.0.{}.0/24", i))});
  const std::uint64_t waiting = fold_->counters().waiting;
  EXPECT_GT(waiting, 0);
  EXPECT_LT(waiting, 4);
  EXPECT_EQ(Said().size(), 1 + 10 - waiting);
  Say({Announce("10.0.0.0/24", 5)});
  EXPECT_EQ(fold_->counters().waiting, waiting) << "one that waits is replaced";
}

TEST_F(RouteFoldTest, ASnapshotKeepsWhatWaits) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 1), Complete()});
  ASSERT_OK(outbox_->Snapshot());
  Up();
  EXPECT_EQ(fold_->counters().waiting, 1);
  Pass(16s);
  EXPECT_THAT(Said(), ElementsAre("open 1", "open 1", "announce 10.0.0.0/24 1 again"))
      << "changes may be lost: not closed";
  fold_->Compared(kBmp);
  Pass(1s);
  EXPECT_THAT(Said(), ElementsAre("complete again", "closed 0"));
}

TEST_F(RouteFoldTest, ACrashLosesChangesAndSaysSo) {
  Say({Announce("10.0.0.0/24", 1)});
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 2)});
  static_cast<void>(Said());
  Up();  // without a snapshot: the change is lost, and the open summary is not
  EXPECT_EQ(fold_->counters().waiting, 0);
  EXPECT_EQ(fold_->counters().tables, 1);
  Pass(16s);
  EXPECT_THAT(Said(), IsEmpty());
  Say({Announce("10.0.1.0/24", 1)});
  EXPECT_THAT(Said(), ElementsAre("announce 10.0.1.0/24 1")) << "what is said meanwhile is said";
  Say({Complete()});
  EXPECT_THAT(Said(), IsEmpty()) << "it would not be true";
  Say({Announce("10.0.0.0/24", 2)});  // the dump brings it
  fold_->Compared(kBmp);
  Pass(1s);
  EXPECT_THAT(Said(), ElementsAre("announce 10.0.0.0/24 2", "open 1", "complete again", "closed 0"));
}

TEST_F(RouteFoldTest, WhatWasStatedBehindTheSnapshotDoesNotWaitAnyMore) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 1), Announce("10.0.1.0/24", 1), Announce("10.0.2.0/24", 1)});
  ASSERT_OK(outbox_->Snapshot());
  Say({Announce("10.0.0.0/24", 2, Tier::kRed)});
  ASSERT_OK(outbox_->Sync(outbox_->spool().stats().last));
  Up();
  EXPECT_EQ(fold_->counters().waiting, 2);
  Say({PeerState("Idle", Tier::kYellow)});
  ASSERT_OK(outbox_->Sync(outbox_->spool().stats().last));
  Up();
  EXPECT_EQ(fold_->counters().waiting, 0);
  EXPECT_EQ(fold_->counters().tables, 0);
}

TEST_F(RouteFoldTest, SnapshotsThatAreCutShortAreRefused) {
  limits_.Told(kBmp);
  Say({Announce("10.0.0.0/24", 1), Announce("10.0.1.0/24", 1)});
  const std::string saved = fold_->Save();
  for (std::size_t size = 1; size < saved.size(); ++size) {
    RouteFold cut(limits_, clock_);
    EXPECT_FALSE(cut.Load(std::string_view(saved).substr(0, size)).ok()) << size;
  }
  RouteFold whole(limits_, clock_);
  ASSERT_OK(whole.Load(saved));
  EXPECT_EQ(whole.Save(), saved);
  ASSERT_OK(whole.Load(""));
  EXPECT_EQ(whole.counters().waiting, 0);
}

// What a reader knows: the newest statement of each path, and whether an open summary lies behind it.
class Reader {
 public:
  void Read(const deliver::Spool::SpooledFrame& spooled) {
    const frame::Frame frame = frame::Decode(spooled.bytes, spooled.spelling).value();
    const frame::Value json = reader_.Read(frame.payload).value();
    const auto event = json["event"].AsString().value_or("");
    ++number_;
    if (event == "routes_summarised") {
      summary_ = number_;
      open_ = *json["open"].AsBool();
    } else if (event == "peer_state_change" && json["new_state"].AsString() == "Idle") {
      said_.clear();
      lost_ = number_;
    } else if (json["prefix"].present()) {
      said_[std::string(*json["prefix"].AsString())] = {
          number_, event == "route_announce" ? json["med"].AsUnsigned() : std::nullopt};
    } else if (event == "table_complete") {
      stated_ = number_;
    }
  }
  // The path's MED, nullopt for none; nothing when it is in doubt.
  std::optional<std::optional<std::uint64_t>> Knows(const std::string& prefix) const {
    const auto at = said_.find(prefix);
    const std::uint64_t basis = at == said_.end() ? std::max(stated_, lost_) : at->second.first;
    if (basis == 0 || (open_ && summary_ > basis)) return std::nullopt;
    return at == said_.end() ? std::optional<std::uint64_t>() : at->second.second;
  }

 private:
  frame::PayloadReader reader_;
  std::uint64_t number_ = 0, summary_ = 0, lost_ = 0, stated_ = 0;
  bool open_ = false;
  std::map<std::string, std::pair<std::uint64_t, std::optional<std::uint64_t>>> said_;
};

// The promise of route_fold.h: whatever happens, in whatever order, at no moment does a reader know what is not so.
TEST(RouteFoldPropertyTest, NobodyIsLeftWithAWordThatTheCollectorKnowsIsOld) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    std::mt19937_64 dice(seed);
    const auto below = [&](std::uint64_t n) { return dice() % n; };
    FakeClock clock;
    testutil::TempDir folder;
    frame::KeyRing keys;
    keys.Put(kBmp, {1, deliver::testing::KeyOf(kBmp), 0, std::nullopt});
    EdgeLimits limits({{}, {{kBmp, {.entries_per_second = 1 + below(4), .burst = 1 + below(8)}}}}, clock);
    RouteFold fold(
        limits, clock,
        {.hold = 2s, .period = 3s, .max_bytes = below(2) == 0 ? std::size_t{1} << 20 : 1'500, .batch = 1 + below(4)});
    deliver::SpoolOptions options;
    options.directory = folder.File("spool");
    ASSERT_OK_AND_ASSIGN(const auto outbox, deliver::Outbox::Open(options, keys, clock, {&fold}, &fold));

    Reader reader;
    std::uint64_t read = 0, med = 0;
    std::map<std::string, std::uint64_t> truth;  // MED by prefix
    const auto check = [&] {
      ASSERT_OK(outbox->Sync(outbox->spool().stats().last));
      ASSERT_OK_AND_ASSIGN(const auto frames, outbox->spool().Read(read, 1'000, 1 << 20));
      for (const auto& frame : frames) {
        reader.Read(frame);
        read = frame.number;
      }
      for (int i = 0; i < 5; ++i) {
        const std::string prefix = fmt::format("10.0.{}.0/24", i);
        const auto known = reader.Knows(prefix);
        if (!known) continue;
        const auto so = truth.find(prefix);
        ASSERT_EQ(*known, so == truth.end() ? std::nullopt : std::optional(so->second))
            << "seed " << seed << ", " << prefix;
      }
    };
    for (int step = 0; step < 120; ++step) {
      std::vector<deliver::Observation> batch;
      for (std::uint64_t n = below(4); n > 0; --n) {
        const std::string prefix = fmt::format("10.0.{}.0/24", below(5));
        const Tier tier = below(12) == 0 ? Tier::kRed : Tier::kGreen;
        switch (below(10)) {
          case 0:
            batch.push_back(PeerState("Idle", Tier::kYellow));
            batch.push_back(PeerState("Established"));
            truth.clear();
            break;
          case 1:
            batch.push_back(Complete());
            break;
          case 2:
          case 3:
            if (truth.erase(prefix) == 0) break;
            batch.push_back(Withdraw(prefix, tier));
            break;
          default:
            truth[prefix] = ++med;
            batch.push_back(Announce(prefix, static_cast<int>(truth[prefix]), tier));
        }
      }
      ASSERT_OK(outbox->Emit(kBmp, batch));
      ASSERT_NO_FATAL_FAILURE(check());
      clock.Advance(std::chrono::milliseconds(below(700)));
      ASSERT_OK(outbox->EmitDue());
      ASSERT_NO_FATAL_FAILURE(check());
    }
    // It quiets down: everything is known again.
    for (int i = 0; i < 400 && fold.counters().tables > 0; ++i) {
      clock.Advance(500ms);
      ASSERT_OK(outbox->EmitDue());
      ASSERT_NO_FATAL_FAILURE(check());
    }
    EXPECT_EQ(fold.counters().waiting, 0) << seed;
    for (const auto& [prefix, newest] : truth)
      EXPECT_EQ(reader.Knows(prefix), std::optional(std::optional(newest))) << seed;
  }
}

}  // namespace
}  // namespace virp::collector
