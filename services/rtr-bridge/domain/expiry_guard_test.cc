// Expiries that go around the guards: a set that stays the same and is said to end in a moment.
#include "services/rtr-bridge/domain/expiry_guard.h"

#include <gmock/gmock.h>

#include "lib/vrp/test_payloads.h"
#include "services/rtr-bridge/domain/cache_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ManyRoas;
using testing::ReadingOf;
using testing::Roa;
using testing::SetOf;

constexpr UnixNanos kNow = 1'700'000'000ULL * 1'000'000'000;
constexpr vrp::Expires kSecondNow = 1'700'000'000;

std::vector<std::string> Texts(const std::vector<Objection>& objections) {
  std::vector<std::string> texts;
  for (const Objection& objection : objections) texts.push_back(objection.text);
  return texts;
}

// The first `count` of them end then.
std::vector<Roa> Ending(std::vector<Roa> roas, std::size_t count, vrp::Expires expires) {
  for (std::size_t i = 0; i < count; ++i) roas[i].expires = expires;
  return roas;
}

TEST(ExpiryGuardTest, ManyThatEndSoonAndEarlierAreObjectedTo) {
  const GuardOptions options;
  const auto find = [&](const std::vector<Roa>& before, const std::vector<Roa>& after) {
    return Texts(FindExpiryObjections(options, SetOf(before), SetOf(after), kNow));
  };
  const std::vector<Roa> forever = ManyRoas(100), later = Ending(forever, 100, kSecondNow + 7'200);
  EXPECT_THAT(find(forever, Ending(forever, 11, kSecondNow + 30)),
              ElementsAre(HasSubstr("11 of 100 IPv4 VRPs would expire within an hour")));
  EXPECT_THAT(find(later, Ending(later, 11, kSecondNow + 3'600)), ElementsAre(HasSubstr("11 of 100 IPv4 VRPs")));
  EXPECT_THAT(find(forever, Ending(forever, 10, kSecondNow + 30)), IsEmpty()) << "a tenth may";
  EXPECT_THAT(find(forever, Ending(forever, 100, kSecondNow + 3'601)), IsEmpty()) << "it is not soon";
  const std::vector<Roa> soon = Ending(forever, 100, kSecondNow + 60);
  EXPECT_THAT(find(soon, soon), IsEmpty()) << "they always had that";
  EXPECT_THAT(find(soon, Ending(forever, 100, kSecondNow + 90)), IsEmpty()) << "it is later";
  EXPECT_THAT(find(soon, Ending(forever, 100, kSecondNow + 59)), ElementsAre(HasSubstr("100 of 100")));
  EXPECT_THAT(find({}, soon), IsEmpty()) << "they are new";
  EXPECT_THAT(find(ManyRoas(2), Ending(ManyRoas(2), 1, kSecondNow)), IsEmpty()) << "a single one may";
}

TEST(ExpiryGuardTest, WhatKeepsARouteValidIsNotOneOfMany) {
  GuardOptions options;
  ASSERT_OK_AND_ASSIGN(options.must_stay_valid, ParseRoutesToKeep("keep", "10.0.0.0/24 64496\n192.0.2.0/24 1\n"));
  const std::vector<Roa> before = ManyRoas(100), after = Ending(before, 1, kSecondNow + 30);
  const auto find = [&](std::vector<Roa> next) {
    return Texts(FindExpiryObjections(options, SetOf(before), SetOf(next), kNow));
  };
  EXPECT_THAT(find(after), ElementsAre(HasSubstr("10.0.0.0/24 of AS64496 would be not-found within an hour")));
  std::vector<Roa> other = after;
  other.push_back({"10.0.0.0/8", 24, 64496});
  EXPECT_THAT(find(other), IsEmpty()) << "something else keeps it valid";
  EXPECT_THAT(find(before), IsEmpty()) << "one that is not valid anyhow is told elsewhere";
}

TEST(ExpiryGuardTest, ExpiriesOfOneSetAreTakenIntoAnother) {
  const auto before =
      std::make_shared<const vrp::Payloads>(SetOf({{"10.0.0.0/8", 8, 1, 100}, {"11.0.0.0/8", 8, 1, 300}}));
  const vrp::Payloads other = SetOf({{"10.0.0.0/8", 8, 1, 200}, {"11.0.0.0/8", 8, 1, 200}, {"12.0.0.0/8", 8, 1, 9}});
  EXPECT_EQ(*WithExpiriesOf(before, other, TakeExpiry::kAlways),
            SetOf({{"10.0.0.0/8", 8, 1, 200}, {"11.0.0.0/8", 8, 1, 200}}));
  EXPECT_EQ(*WithExpiriesOf(before, other, TakeExpiry::kLater),
            SetOf({{"10.0.0.0/8", 8, 1, 200}, {"11.0.0.0/8", 8, 1, 300}}));
  EXPECT_EQ(WithExpiriesOf(before, *before, TakeExpiry::kAlways), before);
  auto aspas = std::make_shared<vrp::Payloads>();
  aspas->aspas = {{1, 100, {7}}, {2, 100, {7}}};
  vrp::Payloads changed;
  changed.aspas = {{1, 200, {8}}, {2, 200, {7}}};
  const auto renewed = WithExpiriesOf(aspas, changed, TakeExpiry::kAlways);
  EXPECT_EQ(renewed->aspas[0].expires, 100U) << "it is another one";
  EXPECT_EQ(renewed->aspas[1].expires, 200U);
}

class CacheExpiryTest : public testing::CacheRun {
 protected:
  std::vector<Roa> AllIn(std::chrono::seconds time, int count = 100) const {
    return Ending(ManyRoas(count), static_cast<std::size_t>(count), In(time));
  }
};

// A clock or a time zone of the validator is wrong.
TEST_F(CacheExpiryTest, ASetThatIsTheSameAndEndsInAMomentIsHeld) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(AllIn(hours(10)))));
  cache.TakeGood(0, ReadingOf(SetOf(AllIn(seconds(30)))));
  ASSERT_TRUE(cache.status().held.has_value());
  EXPECT_THAT(cache.status().held->reasons, ElementsAre(HasSubstr("100 of 100 IPv4 VRPs would expire")));
  clock_.Advance(minutes(1));
  cache.Tick();
  EXPECT_EQ(served(), 100U) << "the old expiries hold";
  // Its next reading is as bad.
  cache.TakeGood(0, ReadingOf(SetOf(AllIn(seconds(30)))));
  EXPECT_EQ(served(), 100U);
  EXPECT_TRUE(cache.status().held.has_value());
  EXPECT_GT(shown_->vrps4.front().expires, In(hours(9)));
  cache.TakeGood(0, ReadingOf(SetOf(AllIn(hours(11)))));
  EXPECT_FALSE(cache.status().held.has_value()) << "nobody stands for it any more";
  clock_.Advance(hours(10));
  cache.Tick();
  EXPECT_EQ(served(), 100U) << "later expiries are taken at once";
  EXPECT_EQ(told_.size(), 1U);
}

TEST_F(CacheExpiryTest, WhatIsAcceptedEndsAsItSays) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(AllIn(hours(10)))));
  cache.TakeGood(0, ReadingOf(SetOf(AllIn(minutes(10)))));
  ASSERT_TRUE(cache.status().held.has_value());
  const HeldGeneration seen = *cache.status().held;
  ASSERT_OK(cache.Accept(seen.number, seen.sha256, {"spiffe://x/operator/a", "seen", "id"}));
  EXPECT_FALSE(cache.status().held.has_value());
  EXPECT_EQ(cache.status().serving->number, seen.number);
  EXPECT_EQ(shown_->vrps4.front().expires, In(minutes(10)));
  EXPECT_EQ(served(), 100U);
  cache.TakeGood(0, ReadingOf(SetOf(AllIn(minutes(10)))));
  EXPECT_FALSE(cache.status().held.has_value());
  cache.TakeFailure(0, Unavailable("no route to it"));
  clock_.Advance(minutes(10));
  cache.Tick();
  EXPECT_EQ(served(), 0U);
}

TEST_F(CacheExpiryTest, AChangedSetThatEndsInAMomentIsHeldToo) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(AllIn(hours(10)))));
  std::vector<Roa> next = AllIn(seconds(30), 101);
  next[0].expires = In(hours(20));
  cache.TakeGood(0, ReadingOf(SetOf(next)));
  ASSERT_TRUE(cache.status().held.has_value());
  clock_.Advance(minutes(1));
  cache.Tick();
  EXPECT_EQ(served(), 100U);
  clock_.Advance(hours(10));
  cache.TakeFailure(0, Unavailable("no route to it"));
  cache.Tick();
  EXPECT_EQ(served(), 1U) << "what ends later is renewed, the others end when they always had to";
}

TEST_F(CacheExpiryTest, NeitherDoesItGoWithWhatExpiresByItself) {
  Cache& cache = Make();
  std::vector<Roa> roas = AllIn(hours(10));
  roas[99].expires = In(minutes(10));
  cache.TakeGood(0, ReadingOf(SetOf(roas)));
  clock_.Advance(minutes(10));
  cache.TakeGood(0, ReadingOf(SetOf(AllIn(seconds(30), 99))));
  EXPECT_TRUE(cache.status().held.has_value());
  EXPECT_EQ(served(), 99U) << "that one was to go";
  clock_.Advance(minutes(1));
  cache.Tick();
  EXPECT_EQ(served(), 99U);
}

TEST_F(CacheExpiryTest, AFewMayEndEarlier) {
  Cache& cache = Make();
  cache.TakeGood(0, ReadingOf(SetOf(AllIn(hours(10)))));
  cache.TakeGood(0, ReadingOf(SetOf(Ending(AllIn(hours(10)), 10, In(minutes(1))))));
  EXPECT_FALSE(cache.status().held.has_value());
  clock_.Advance(minutes(1));
  cache.Tick();
  EXPECT_EQ(served(), 90U);
}

}  // namespace
}  // namespace virp::rtr_bridge
