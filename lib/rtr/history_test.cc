#include "lib/rtr/history.h"

#include <gmock/gmock.h>

#include <set>
#include <thread>

#include "lib/crypto/sha256.h"
#include "lib/rtr/rtr_testing.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr {
namespace {

using testing::AspaOf;
using testing::Counting;
using testing::HashOf;
using ::testing::HasSubstr;
using testing::Key;
using testing::Shared;
using testing::Split;
using testing::V4;
using testutil::StatusIs;

std::shared_ptr<const vrp::Payloads> Prefixes(std::uint32_t from, std::uint32_t to) {
  vrp::Payloads out;
  for (std::uint32_t as = from; as < to; ++as) out.vrps4.push_back(V4("10.0.0.0/8", 8, as));
  return Shared(std::move(out));
}

TEST(History, NothingBeforeTheFirstPayloads) {
  History history({}, Counting(100));
  EXPECT_EQ(history.snapshot(), nullptr);
  EXPECT_EQ(history.Save(), "");
  const auto outcome = history.Update(Shared({}), HashOf(1));
  EXPECT_TRUE(outcome.changed);
  EXPECT_FALSE(outcome.resumed);
  ASSERT_NE(history.snapshot(), nullptr);
  EXPECT_EQ(history.snapshot()->Image(1).view(), "");
  EXPECT_EQ(history.snapshot()->hash(), HashOf(1));
}

TEST(History, EachVersionHasASessionAndASerial) {
  History history({}, Counting(100));
  history.Update(Shared({}), HashOf(1));
  for (std::uint8_t v = 0; v <= kMaxVersion; ++v) {
    EXPECT_EQ(history.snapshot()->session(v), 100 + v);
    EXPECT_EQ(history.snapshot()->serial(v), 1U);
  }
  // Only ASPAs: no change for 0 and 1. Only keys: none for 0.
  auto outcome = history.Update(Shared(testing::Sets{.aspas = {AspaOf(1, {2})}}), HashOf(2));
  EXPECT_EQ(outcome.versions, (std::array{false, false, true}));
  outcome =
      history.Update(Shared(testing::Sets{.router_keys = {Key(1, 1, "k")}, .aspas = {AspaOf(1, {2})}}), HashOf(3));
  EXPECT_EQ(outcome.versions, (std::array{false, true, true}));
  EXPECT_EQ(history.snapshot()->serial(0), 1U);
  EXPECT_EQ(history.snapshot()->serial(1), 2U);
  EXPECT_EQ(history.snapshot()->serial(2), 3U);
  EXPECT_EQ(history.snapshot()->window(0), 0U);
  EXPECT_EQ(history.snapshot()->Answer(1, 1)->pdus[9], 1U);
}

TEST(History, WithoutAnEffectiveChangeNothingIsNew) {
  History history({}, Counting(1));
  history.Update(Prefixes(0, 3), HashOf(1));
  const auto before = history.snapshot();
  vrp::Payloads later = *Prefixes(0, 3);
  for (auto& vrp : later.vrps4) vrp.expires = 77;
  EXPECT_FALSE(history.Update(Shared(later), HashOf(2)).changed);
  EXPECT_EQ(history.snapshot(), before);
}

TEST(History, AnswersFromTheWindowOnly) {
  History history({.max_deltas = 3}, Counting(1));
  for (std::uint32_t i = 0; i < 10; ++i) history.Update(Prefixes(0, i), HashOf(1));
  const Snapshot& snapshot = *history.snapshot();
  EXPECT_EQ(snapshot.serial(1), 10U);
  EXPECT_EQ(snapshot.Answer(1, 10)->view(), "");
  EXPECT_EQ(Split(snapshot.Answer(1, 9)->view()).size(), 1U);
  EXPECT_EQ(Split(snapshot.Answer(1, 8)->view()).size(), 2U);
  EXPECT_EQ(Split(snapshot.Answer(1, 7)->view()).size(), 3U);
  EXPECT_FALSE(snapshot.Answer(1, 6).has_value());
  EXPECT_FALSE(snapshot.Answer(1, 11).has_value());
  EXPECT_FALSE(snapshot.Answer(1, 10 + 0x8000'0000U).has_value());
  for (std::uint32_t serial = 5; serial <= 12; ++serial) {
    const auto changes = snapshot.Changes(1, serial);
    ASSERT_EQ(changes.has_value(), snapshot.Answer(1, serial).has_value()) << serial;
    if (changes) EXPECT_EQ(EncodeDelta(*changes, 1).view(), snapshot.Answer(1, serial)->view()) << serial;
  }
  // Encoded once.
  EXPECT_EQ(snapshot.Answer(1, 8)->bytes, snapshot.Answer(1, 8)->bytes);
  EXPECT_EQ(&snapshot.Image(1), &snapshot.Image(1));
}

TEST(History, KeepsWhatWasEncodedForVersionsThatDoNotChange) {
  History history({}, Counting(1));
  history.Update(Prefixes(0, 3), HashOf(1));
  const auto image = history.snapshot()->Image(1).bytes;
  history.Update(Shared(testing::Sets{.vrps4 = Prefixes(0, 3)->vrps4, .aspas = {AspaOf(1, {2})}}), HashOf(2));
  EXPECT_EQ(history.snapshot()->Image(1).bytes, image);
}

TEST(History, BoundsItsMemory) {
  History history({.max_deltas = 10, .max_delta_records = 100}, Counting(1));
  history.Update(Prefixes(0, 0), HashOf(1));
  history.Update(Prefixes(0, 60), HashOf(2));
  EXPECT_TRUE(history.snapshot()->Answer(1, 1).has_value());
  history.Update(Prefixes(0, 10), HashOf(3));
  EXPECT_FALSE(history.snapshot()->Answer(1, 1).has_value());
  EXPECT_TRUE(history.snapshot()->Answer(1, 2).has_value());
  history.Update(Prefixes(0, 1000), HashOf(4));
  EXPECT_EQ(history.snapshot()->window(1), 0U);
}

// Each of many routers that are behind by another number of changes gets another answer, and all of them are kept.
TEST(History, BoundsTheMemoryOfAnswers) {
  constexpr std::size_t kPdu = 20;
  const auto make = [](std::size_t octets) {
    auto history = std::make_unique<History>(HistoryOptions{.max_answer_octets = octets}, Counting(1));
    for (std::uint32_t i = 0; i < 6; ++i) history->Update(Prefixes(0, i), HashOf(1));
    return history;
  };
  const auto history = make((2 + 3) * kPdu);
  const Snapshot& snapshot = *history->snapshot();
  EXPECT_EQ(Split(snapshot.Answer(1, 3)->view()).size(), 3U);
  EXPECT_FALSE(snapshot.Answer(1, 2).has_value()) << "four more do not fit";
  EXPECT_FALSE(snapshot.Answer(1, 2).has_value());
  EXPECT_TRUE(snapshot.Reaches(1, 2)) << "it is in the window all the same";
  EXPECT_EQ(Split(snapshot.Answer(1, 4)->view()).size(), 2U);
  EXPECT_EQ(Split(snapshot.Answer(1, 5)->view()).size(), 1U) << "the last change is always told";
  EXPECT_EQ(Split(snapshot.Answer(2, 3)->view()).size(), 3U) << "each version has its own room";
  // What is kept is of one state.
  history->Update(Prefixes(0, 6), HashOf(1));
  EXPECT_EQ(Split(history->snapshot()->Answer(1, 2)->view()).size(), 5U);

  const auto none = make(0);
  EXPECT_TRUE(none->snapshot()->Answer(1, 5).has_value());
  EXPECT_FALSE(none->snapshot()->Answer(1, 4).has_value());
}

TEST(History, SerialsWrap) {
  History history({.first_serial = 0xffff'fffe}, Counting(1));
  for (std::uint32_t i = 0; i < 5; ++i) history.Update(Prefixes(0, i), HashOf(1));
  EXPECT_EQ(history.snapshot()->serial(1), 2U);
  EXPECT_EQ(Split(history.snapshot()->Answer(1, 0xffff'fffe)->view()).size(), 4U);
  EXPECT_FALSE(history.snapshot()->Answer(1, 0xffff'fffd).has_value());
}

TEST(History, SavedStateGoesOnAfterARestart) {
  HistoryOptions options{.owner = "a"};
  History first(options, Counting(500));
  first.Update(Prefixes(0, 3), HashOf(1));
  vrp::Payloads rich = testing::Sets{.vrps4 = Prefixes(1, 4)->vrps4,
                                     .vrps6 = {testing::V6("::/0", 0, 1), testing::V6("2001:db8::/32", 48, 1)},
                                     .router_keys = {Key(1, 1, "k"), Key(2, 1, "kk")},
                                     .aspas = {AspaOf(1, {2, 3}), AspaOf(2, {0})}};
  first.Update(Shared(rich), HashOf(2));
  rich.aspas[0].providers = {4};
  first.Update(Shared(rich), HashOf(3));

  History second(options, Counting(900));
  ASSERT_OK(second.Restore(first.Save()));
  const auto outcome = second.Update(Shared(rich), HashOf(3));
  EXPECT_TRUE(outcome.resumed);
  EXPECT_EQ(outcome.versions, (std::array{false, false, false}));
  for (std::uint8_t v = 0; v <= kMaxVersion; ++v) {
    EXPECT_EQ(second.snapshot()->session(v), first.snapshot()->session(v));
    ASSERT_EQ(second.snapshot()->serial(v), first.snapshot()->serial(v));
    EXPECT_EQ(second.snapshot()->window(v), first.snapshot()->window(v));
    for (std::uint32_t serial = 0; serial < 5; ++serial) {
      const auto a = first.snapshot()->Answer(v, serial);
      const auto b = second.snapshot()->Answer(v, serial);
      ASSERT_EQ(a.has_value(), b.has_value());
      if (a) EXPECT_EQ(a->view(), b->view());
    }
  }
  EXPECT_EQ(second.Save(), first.Save());
  EXPECT_EQ(second.Update(Shared({}), HashOf(4)).versions, (std::array{true, true, true}));
}

TEST(History, OtherPayloadsStartNewSessionsWithOtherIds) {
  History first({}, Counting(500));
  first.Update(Prefixes(0, 3), HashOf(1));
  History second({}, Counting(501));  // 501 and 502 were used
  ASSERT_OK(second.Restore(first.Save()));
  EXPECT_FALSE(second.Update(Prefixes(0, 4), HashOf(2)).resumed);
  std::set<std::uint16_t> ids = {500, 501, 502};
  for (std::uint8_t v = 0; v <= kMaxVersion; ++v) {
    EXPECT_TRUE(ids.insert(second.snapshot()->session(v)).second);
    EXPECT_EQ(second.snapshot()->window(v), 0U);
  }
}

TEST(History, StatesOfOthersAndDamagedOnesAreNotTaken) {
  History first({.owner = "a"}, Counting(500));
  first.Update(Prefixes(0, 3), HashOf(1));
  first.Update(Prefixes(0, 4), HashOf(2));
  const std::string state = first.Save();
  History other({.owner = "b"}, Counting(500));
  EXPECT_THAT(other.Restore(state), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("never copied")));
  EXPECT_FALSE(other.Update(Prefixes(0, 4), HashOf(2)).resumed);
  EXPECT_EQ(other.snapshot()->session(0), 503);  // those of the state are known to be used

  History damaged({.owner = "a"}, Counting(500));
  for (std::size_t size = 0; size < state.size(); ++size) {
    EXPECT_THAT(damaged.Restore(std::string_view(state).substr(0, size)), StatusIs(absl::StatusCode::kDataLoss));
  }
  for (std::size_t at = 0; at < state.size(); ++at) {
    std::string flipped = state;
    flipped[at] = static_cast<char>(flipped[at] ^ 4);
    EXPECT_THAT(damaged.Restore(flipped), StatusIs(absl::StatusCode::kDataLoss));
  }
  EXPECT_FALSE(damaged.Update(Prefixes(0, 4), HashOf(2)).resumed);
  EXPECT_THAT(damaged.Restore(state), StatusIs(absl::StatusCode::kFailedPrecondition));
}

// A checksum that fits says nothing about what a wrong writer wrote.
TEST(History, StatesWhosePartsDoNotFitAreNotTaken) {
  History first({}, Counting(500));
  first.Update(Prefixes(0, 3), HashOf(1));
  first.Update(Prefixes(0, 4), HashOf(2));
  const std::string state = first.Save();
  const std::string content = state.substr(0, state.size() - 32);
  int refused = 0;
  for (std::size_t at = 8; at < content.size(); ++at) {
    std::string changed = content;
    changed[at] = static_cast<char>(0xff);
    const Hash checksum = crypto::Sha256(changed);
    History history({}, Counting(1));
    refused += history.Restore(changed + std::string(View(checksum))).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 20);
}

TEST(History, SessionIdsDoNotComeBack) {
  History history({}, [] { return std::uint16_t{7}; });
  history.Update(Prefixes(0, 1), HashOf(1));
  std::set<std::uint16_t> seen;
  for (int i = 0; i < 10; ++i) {
    for (std::uint8_t v = 0; v <= kMaxVersion; ++v) EXPECT_TRUE(seen.insert(history.snapshot()->session(v)).second);
    history.StartSessions();
    EXPECT_EQ(history.snapshot()->serial(0), 1U);
  }
}

TEST(History, ManyReadersOneEncoding) {
  History history({}, Counting(1));
  for (std::uint32_t i = 1; i < 8; ++i) history.Update(Prefixes(i, i + 50), HashOf(1));
  const auto snapshot = history.snapshot();
  std::vector<std::thread> threads;
  for (std::uint8_t t = 0; t < 6; ++t) {
    threads.emplace_back([snapshot, version = static_cast<std::uint8_t>(t % 3)] {
      EXPECT_EQ(Split(snapshot->Image(version).view()).size(), 50U);
      for (std::uint32_t serial = 1; serial < 7; ++serial) {
        EXPECT_EQ(Split(snapshot->Answer(version, serial)->view()).size(), 2 * (7 - serial));
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace virp::rtr
