#include "lib/rtr/delta.h"

#include <gmock/gmock.h>

#include <random>

#include "lib/rtr/image.h"
#include "lib/rtr/rtr_testing.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr {
namespace {

using testing::AspaOf;
using ::testing::HasSubstr;
using testing::Hex;
using testing::Key;
using testing::SameIn;
using testing::Sorted;
using testing::Split;
using testing::V4;
using testing::V6;
using testutil::StatusIs;

bool Same(const Delta& a, const Delta& b) {
  using testing::SameSet;
  return SameSet(a.vrps4.announced, b.vrps4.announced) && SameSet(a.vrps4.withdrawn, b.vrps4.withdrawn) &&
         SameSet(a.vrps6.announced, b.vrps6.announced) && SameSet(a.vrps6.withdrawn, b.vrps6.withdrawn) &&
         SameSet(a.router_keys.announced, b.router_keys.announced) &&
         SameSet(a.router_keys.withdrawn, b.router_keys.withdrawn) && a.aspas == b.aspas;
}

vrp::Payloads Mixed() {
  return Sorted(
      testing::Sets{.vrps4 = {V4("192.0.2.0/24", 24, 65000), V4("0.0.0.0/0", 0, 0), V4("192.0.2.0/24", 32, 65000)},
                    .vrps6 = {V6("::/0", 128, 1), V6("2001:db8::/32", 48, 65000)},
                    .router_keys = {Key(1, 65000, "ab")},
                    .aspas = {AspaOf(65001, {1, 2})}});
}

TEST(Image, HasWhatTheVersionCarriesInOrder) {
  const auto prefixes = [](const std::string& v) {
    return std::vector<std::string>{Hex(v + "04 0000 00000014 01 18 20 00 c0000200 0000fde8"),
                                    Hex(v + "04 0000 00000014 01 18 18 00 c0000200 0000fde8"),
                                    Hex(v + "04 0000 00000014 01 00 00 00 00000000 00000000"),
                                    Hex(v + "06 0000 00000020 01 20 30 00 20010db8000000000000000000000000 0000fde8"),
                                    Hex(v + "06 0000 00000020 01 00 80 00 00000000000000000000000000000000 00000001")};
  };
  const std::string key = "09 0100 00000022 0101010101010101010101010101010101010101 0000fde8 6162";
  for (std::uint8_t version = 0; version <= kMaxVersion; ++version) {
    const std::string v = "0" + std::to_string(version);
    auto expected = prefixes(v);
    if (version >= 1) expected.push_back(Hex(v + key));
    if (version == 2) expected.push_back(Hex("020b 0100 00000014 0000fde9 00000001 00000002"));
    const Encoded image = EncodeImage(Mixed(), version);
    EXPECT_EQ(Split(image.view()), expected);
    EXPECT_EQ(image.pdus, (PduCounts{0, 0, 0, 0, 3, 0, 2, 0, 0, version >= 1 ? 1U : 0U, 0, version == 2 ? 1U : 0U}));
  }
}

TEST(Image, OfNothingIsNothing) {
  EXPECT_EQ(EncodeImage({}, 2).view(), "");
  EXPECT_EQ(EncodeImage(testing::Sets{.router_keys = {Key(1, 2, "x")}, .aspas = {AspaOf(1, {2})}}, 0).view(), "");
}

TEST(Delta, OrderOfDraft27) {
  const vrp::Payloads before = Sorted(testing::Sets{
      .vrps4 = {V4("10.0.0.0/8", 8, 0), V4("10.0.0.0/8", 8, 5), V4("10.0.0.0/16", 16, 5), V4("11.0.0.0/8", 8, 1)},
      .vrps6 = {V6("2001:db8::/32", 32, 1)},
      .router_keys = {Key(2, 1, "b"), Key(1, 1, "b")},
      .aspas = {AspaOf(9, {1}), AspaOf(7, {1}), AspaOf(8, {1})}});
  const vrp::Payloads after =
      Sorted(testing::Sets{.vrps4 = {V4("9.0.0.0/8", 8, 1), V4("12.0.0.0/8", 8, 1), V4("12.0.0.0/8", 9, 1)},
                           .vrps6 = {V6("2001:db9::/32", 32, 1)},
                           .router_keys = {Key(1, 1, "a"), Key(3, 1, "a")},
                           .aspas = {AspaOf(8, {1, 2}), AspaOf(3, {1})}});
  std::string ski1(40, '1'), ski2(40, '2');
  const auto ski = [](const std::string& digit) {
    std::string out;
    for (int i = 0; i < 20; ++i) out += "0" + digit;
    return out;
  };
  EXPECT_EQ(
      Split(EncodeDelta(Diff(before, after), 2).view()),
      (std::vector<std::string>{
          // announcements from high to low, the larger maxLength first
          Hex("0204 0000 00000014 01 08 09 00 0c000000 00000001"),
          Hex("0204 0000 00000014 01 08 08 00 0c000000 00000001"),
          Hex("0204 0000 00000014 01 08 08 00 09000000 00000001"),
          // withdrawals from low to high, AS 0 first
          Hex("0204 0000 00000014 00 08 08 00 0a000000 00000000"),
          Hex("0204 0000 00000014 00 08 08 00 0a000000 00000005"),
          Hex("0204 0000 00000014 00 10 10 00 0a000000 00000005"),
          Hex("0204 0000 00000014 00 08 08 00 0b000000 00000001"),
          Hex("0206 0000 00000020 01 20 20 00 20010db9000000000000000000000000 00000001"),
          Hex("0206 0000 00000020 00 20 20 00 20010db8000000000000000000000000 00000001"),
          // keys ascending both ways
          Hex("0209 0100 00000021" + ski("1") + "00000001 61"), Hex("0209 0100 00000021" + ski("3") + "00000001 61"),
          Hex("0209 0000 00000021" + ski("1") + "00000001 62"), Hex("0209 0000 00000021" + ski("2") + "00000001 62"),
          // ASPAs: a change is one announcement
          Hex("020b 0100 00000010 00000003 00000001"), Hex("020b 0100 00000014 00000008 00000001 00000002"),
          Hex("020b 0000 0000000c 00000007"), Hex("020b 0000 0000000c 00000009")}));
}

TEST(Delta, CarriesWhatTheVersionCarries) {
  const Delta delta = Diff({}, Mixed());
  EXPECT_EQ(delta.SizeIn(0), 5U);
  EXPECT_EQ(delta.SizeIn(1), 6U);
  EXPECT_EQ(delta.SizeIn(2), 7U);
  EXPECT_EQ(Split(EncodeDelta(delta, 0).view()).size(), 5U);
  EXPECT_EQ(Split(EncodeDelta(delta, 1).view()).size(), 6U);
  EXPECT_EQ(Split(EncodeDelta(delta, 2).view()).size(), 7U);
  EXPECT_EQ(EncodeDelta({}, 2).view(), "");
}

TEST(Delta, ExpiryIsNoChange) {
  vrp::Payloads later = Mixed();
  later.vrps4[0].expires = 5;
  later.aspas[0].expires = 5;
  EXPECT_TRUE(Diff(Mixed(), later).empty());
}

TEST(Delta, WithdrawnAndAnnouncedAgainIsNotMentioned) {
  const vrp::Payloads full = Mixed();
  const Delta gone = Diff(full, {});
  const Delta back = Diff({}, full);
  EXPECT_TRUE(Compose(gone, back).empty());
  EXPECT_TRUE(Compose(back, gone).empty());
}

TEST(Delta, AspaChangedBackIsNothing) {
  const vrp::Payloads a = testing::Sets{.aspas = {AspaOf(1, {5})}};
  const vrp::Payloads b = testing::Sets{.aspas = {AspaOf(1, {6})}};
  EXPECT_TRUE(Compose(Diff(a, b), Diff(b, a)).empty());
  // Withdrawn and then announced with another list is one replacement.
  const Delta replaced = Compose(Diff(a, {}), Diff({}, b));
  ASSERT_EQ(replaced.aspas.size(), 1U);
  EXPECT_EQ(replaced.aspas[0], (AspaChange{.customer = 1, .before = {5}, .after = {6}}));
}

TEST(Delta, ApplyRefusesWhatDoesNotFit) {
  const vrp::Payloads base = Mixed();
  const auto says = [&](const Delta& delta, std::string_view what) {
    EXPECT_THAT(Apply(delta, base), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(std::string(what))));
  };
  says({.vrps4 = {.announced = {V4("192.0.2.0/24", 24, 65000)}}}, "that is there");
  says({.vrps4 = {.withdrawn = {V4("192.0.2.0/24", 24, 65001)}}}, "that is not there");
  says({.vrps6 = {.withdrawn = {V6("::/0", 0, 1), V6("::/0", 0, 2), V6("::/0", 0, 3)}}}, "more than there is");
  says({.aspas = {{.customer = 65001, .before = {1}, .after = {3}}}}, "AS 65001");
  says({.aspas = {{.customer = 65001, .before = {}, .after = {3}}}}, "AS 65001");
  says({.aspas = {{.customer = 65002, .before = {1}, .after = {}}}}, "AS 65002");
}

// Sets over a small universe, so that records come back often.
vrp::Payloads RandomSet(std::mt19937& random) {
  vrp::Payloads out;
  const auto chance = [&](unsigned percent) { return random() % 100 < percent; };
  const unsigned fill = random() % 4 == 0 ? 0 : 50;
  for (std::uint32_t i = 0; i < 6; ++i) {
    if (chance(fill)) out.vrps4.push_back(V4("10.0.0.0/8", static_cast<int>(8 + i % 3), i));
    if (chance(fill)) out.vrps6.push_back(V6("2001:db8::/32", static_cast<int>(32 + i % 3), i));
    if (chance(fill)) out.router_keys.push_back(Key(static_cast<std::uint8_t>(i), i, "k"));
    if (chance(fill)) {
      out.aspas.push_back(
          AspaOf(i, random() % 2 == 0 ? std::vector<std::uint32_t>{1, 2} : std::vector<std::uint32_t>{3}));
    }
  }
  return Sorted(out);
}

TEST(Delta, ComposedIsTheDifferenceOfTheEnds) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::vector<vrp::Payloads> states = {RandomSet(random)};
    Delta left;  // composed from the first step on
    for (int step = 0; step < 4; ++step) {
      states.push_back(RandomSet(random));
      left = Compose(left, Diff(states[states.size() - 2], states.back()));
      EXPECT_TRUE(Same(left, Diff(states.front(), states.back())));
      ASSERT_OK_AND_ASSIGN(const auto copied, Apply(left, states.front()));
      EXPECT_TRUE(SameIn(2, copied, states.back()));
      ASSERT_OK_AND_ASSIGN(const auto moved, Apply(left, vrp::Payloads(states.front())));
      EXPECT_TRUE(SameIn(2, moved, states.back()));
    }
    Delta right;  // from the last step on
    for (std::size_t i = states.size() - 1; i > 0; --i) right = Compose(Diff(states[i - 1], states[i]), right);
    EXPECT_TRUE(Same(left, right));
  }
}

}  // namespace
}  // namespace virp::rtr
