#include "services/onode/domain/batch_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "lib/base/status.h"
#include "lib/chain/test_chain.h"
#include "tests/testutil/must.h"
#include "tests/testutil/status_matchers.h"

namespace virp::onode {
namespace {

using Result = FrameOutcome::Result;
using testutil::Must;

constexpr const char* kSource = "edge-a.bgpd";

// A builder over a chain in memory, and a store that counts how often it is asked.
class BatchBuilderTest : public ::testing::Test {
 protected:
  BatchBuilderTest() {
    chain_.Register(chain_.Template(kSource));
    ChainTip tip{chain_.book, {}, chain_.leaves.back()};
    for (const Hash& leaf : chain_.leaves) tip.tree.Append(leaf);
    builder_ = std::make_unique<BatchBuilder>(
        std::move(tip), OwnKey{1, chain_.keys.Find(chain_.origin(), 1)}, chain_.now,
        [this](const auto& numbers) { return Find(numbers); }, nullptr, &builds_);
  }

  absl::StatusOr<HeldEntries> Find(const std::vector<FrameNumber>& numbers) {
    ++asked_;
    EXPECT_LE(numbers.size(), ChainStore::kMostNumbers);
    RETURN_IF_ERROR(store_says_);
    HeldEntries found;
    for (const FrameNumber& number : numbers) {
      if (const auto held = store_.find(number); held != store_.end()) found.insert(*held);
    }
    return found;
  }
  void Commit() {
    for (const EntryRow& row : builder_->Take(1).rows) {
      const FrameNumber number{row.index.source, row.index.source_epoch, row.index.source_sequence};
      store_[number] = {row.sequence, row.leaf, row.bytes};
    }
  }

  std::unique_ptr<Candidate> Frame(std::uint64_t number, std::string payload = chain::TestChain::kPeerUp,
                                   frame::Type type = frame::Type::kPeerStatusChanged) {
    chain::TestChain::Frame frame;
    frame.type = type;
    frame.number = number;
    frame.payload = std::move(payload);
    return CheckDelivery({.number = number, .source = kSource, .frame = chain_.Sign(kSource, frame).bytes}, carrier_,
                         chain_.now, *chain_.book.table(), chain_.book.generation(), keys_);
  }
  std::vector<std::unique_ptr<Candidate>> Frames(std::uint64_t from, std::uint64_t to) {
    std::vector<std::unique_ptr<Candidate>> frames;
    for (std::uint64_t number = from; number <= to; ++number) frames.push_back(Frame(number));
    return frames;
  }
  FrameOutcome Add(Candidate& candidate) { return Must(builder_->Add(candidate, held_, chain_.now, keys_, alarms_)); }
  std::vector<FrameOutcome> AddAll(const std::vector<std::unique_ptr<Candidate>>& frames) {
    std::vector<FrameOutcome> outcomes;
    for (std::span<const std::unique_ptr<Candidate>> left(frames); !left.empty();) {
      const auto some = left.first(std::min(left.size(), ChainStore::kMostNumbers));
      left = left.subspan(some.size());
      EXPECT_OK(builder_->ReadAhead(some, keys_));
      for (const auto& candidate : some) outcomes.push_back(Add(*candidate));
    }
    return outcomes;
  }

  chain::TestChain chain_;
  KeyCache keys_{chain_.keys};
  const std::shared_ptr<const std::string> carrier_ = std::make_shared<const std::string>(chain::TestChain::kCarrier);
  // Enters what is due; the sources and causes of it.
  std::vector<std::string> Alarms() {
    std::vector<std::string> out;
    for (const chain::Alarm& alarm : alarms_.TakeDue(chain_.now)) {
      out.push_back(alarm.source + " " + alarm.cause);
      EXPECT_OK(
          builder_->AddOwn(frame::Type::kChannelAlarm, frame::Tier::kYellow, chain::BuildAlarm(alarm), chain_.now));
    }
    return out;
  }
  std::unique_ptr<Candidate> Beat(std::uint64_t number, const std::string& build) {
    return Frame(number, fmt::format(R"({{"domain":"virp","event":"heartbeat","build_id":"{}"}})", build),
                 frame::Type::kHeartbeat);
  }

  ExpectedBuilds builds_;
  chain::AlarmAggregator alarms_;
  HeldSources held_;
  HeldEntries store_;
  absl::Status store_says_;
  int asked_ = 0;
  std::unique_ptr<BatchBuilder> builder_;
};

TEST_F(BatchBuilderTest, WhatIsNewIsNotLookedUp) {
  for (const FrameOutcome& outcome : AddAll(Frames(1, 300))) EXPECT_EQ(outcome.result, Result::kAppended);
  EXPECT_EQ(asked_, 0);
}

TEST_F(BatchBuilderTest, AThousandFramesSentAgainAreLookedUpFourTimes) {
  const auto first = AddAll(Frames(1, 1'000));
  Commit();
  const auto again = AddAll(Frames(1, 1'000));
  EXPECT_EQ(asked_, 4);
  ASSERT_EQ(again.size(), first.size());
  for (std::size_t i = 0; i < again.size(); ++i) {
    ASSERT_EQ(again[i].result, Result::kDuplicate) << i;
    EXPECT_EQ(again[i].number, first[i].number);
    EXPECT_EQ(again[i].sequence, first[i].sequence);
    EXPECT_EQ(again[i].leaf, first[i].leaf);
    EXPECT_EQ(again[i].entry_header, first[i].entry_header);
  }
  EXPECT_EQ(builder_->rows(), 0U);
}

TEST_F(BatchBuilderTest, ReadingAheadOnlySavesLookUps) {
  const auto first = AddAll(Frames(1, 3));
  Commit();
  for (std::size_t i = 0; i < first.size(); ++i) {
    const FrameOutcome again = Add(*Frame(i + 1));
    EXPECT_EQ(again.result, Result::kDuplicate);
    EXPECT_EQ(again.entry_header, first[i].entry_header);
  }
  EXPECT_EQ(asked_, 3);
}

// Who replaces a program signs as before: what its beats name is held against what is listed.
TEST_F(BatchBuilderTest, ABuildThatIsNotListedIsAnAlarmUntilItIs) {
  using ::testing::ElementsAre;
  using ::testing::IsEmpty;
  Add(*Beat(1, "ab"));
  EXPECT_THAT(Alarms(), IsEmpty()) << "nothing is listed";
  builds_.Replace({{{"*.bgpd"}, {"ab"}}});
  Add(*Beat(2, "ab"));
  EXPECT_THAT(Alarms(), IsEmpty());
  Add(*Beat(3, "cd"));
  const std::string alarm = "edge-a.bgpd BUILD_UNEXPECTED";
  EXPECT_THAT(Alarms(), ElementsAre(alarm));
  EXPECT_EQ(builder_->tip().book.FindChannel(frame::ShortIdOf(kSource))->State(), chain::ChannelState::kAlarmed);
  chain_.now += UnixNanos{3'600'000'000'000};
  Add(*Beat(4, "cd"));
  EXPECT_THAT(Alarms(), IsEmpty()) << "it stands";
  const auto clear = [&] {
    alarms_.Cleared(kSource, "BUILD_UNEXPECTED");
    EXPECT_OK(builder_->AddOwn(frame::Type::kAlarmCleared, frame::Tier::kGreen,
                               chain::BuildAlarmCleared({kSource, "BUILD_UNEXPECTED", "noc", "", ""}), chain_.now));
  };
  clear();
  Add(*Beat(5, "cd"));
  EXPECT_THAT(Alarms(), ElementsAre(alarm)) << "cleared, and still not listed";
  builds_.Replace({{{"*.bgpd"}, {"ab", "cd"}}});
  clear();
  Add(*Beat(6, "cd"));
  EXPECT_THAT(Alarms(), IsEmpty());
}

TEST_F(BatchBuilderTest, TwiceInOneBatchIsADuplicateOfItsOwnRow) {
  std::vector<std::unique_ptr<Candidate>> frames;
  frames.push_back(Frame(1));
  frames.push_back(Frame(1));
  const auto outcomes = AddAll(frames);
  EXPECT_EQ(outcomes[0].result, Result::kAppended);
  EXPECT_EQ(outcomes[1].result, Result::kDuplicate);
  EXPECT_EQ(outcomes[1].entry_header, outcomes[0].entry_header);
  EXPECT_EQ(asked_, 0);
}

// That a number had no entry holds until the next commit, and not beyond it.
TEST_F(BatchBuilderTest, WhatWasReadAheadIsForgottenWithTheCommit) {
  AddAll(Frames(5, 5));  // behind a gap of 1 to 4
  Commit();
  const auto late = AddAll(Frames(3, 4));
  EXPECT_EQ(asked_, 1);
  EXPECT_EQ(late[0].result, Result::kAppended);
  EXPECT_EQ(late[1].result, Result::kAppended);
  Commit();
  const FrameOutcome again = Add(*Frame(3));
  EXPECT_EQ(again.result, Result::kDuplicate);
  EXPECT_EQ(again.entry_header, late[0].entry_header);
}

TEST_F(BatchBuilderTest, OtherBytesUnderAHeldNumberAreNoDuplicate) {
  AddAll(Frames(1, 2));
  Commit();
  std::vector<std::unique_ptr<Candidate>> frames;
  frames.push_back(Frame(1, R"({"domain":"bgp"})"));
  frames.push_back(Frame(2));
  const auto outcomes = AddAll(frames);
  EXPECT_EQ(outcomes[0].result, Result::kRefused);
  EXPECT_EQ(outcomes[0].reason, frame::Reason::kEquivocation);
  EXPECT_EQ(outcomes[0].entry_header, "");
  EXPECT_EQ(outcomes[1].result, Result::kDuplicate);
  EXPECT_EQ(asked_, 1);
}

TEST_F(BatchBuilderTest, AStoreThatDoesNotAnswerIsAskedAgain) {
  AddAll(Frames(1, 2));
  Commit();
  const auto frames = Frames(1, 2);
  store_says_ = Unavailable("away");
  EXPECT_THAT(builder_->ReadAhead(frames, keys_), testutil::StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(builder_->Add(*frames[0], held_, chain_.now, keys_, alarms_),
              testutil::StatusIs(absl::StatusCode::kUnavailable));
  store_says_ = absl::OkStatus();
  EXPECT_EQ(Add(*frames[0]).result, Result::kDuplicate);
}

}  // namespace
}  // namespace virp::onode
