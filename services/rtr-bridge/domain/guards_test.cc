#include "services/rtr-bridge/domain/guards.h"

#include <gmock/gmock.h>

#include "services/rtr-bridge/domain/bridge_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr_bridge {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ManyRoas;
using testing::Roa;
using testing::SetOf;
using testutil::StatusIs;

// An objection whose text has this.
auto Says(const std::string& text) {
  return ::testing::Field(&Objection::text, HasSubstr(text));
}

TEST(GuardsTest, HoldsWhatLosesMoreThanItsPart) {
  const vrp::Payloads serving = SetOf(ManyRoas(100));
  EXPECT_THAT(FindObjections({}, serving, SetOf(ManyRoas(90))), IsEmpty());
  EXPECT_THAT(FindObjections({}, serving, SetOf(ManyRoas(89))), ElementsAre(Says("11 of 100 IPv4 VRPs would go")));
  GuardOptions any;
  any.max_drop = 1;
  EXPECT_THAT(FindObjections(any, serving, {}), IsEmpty());
}

// As many as before, and all of them others: the numbers alone would not tell.
TEST(GuardsTest, CountsWhatGoesAndNotWhatIsLeft) {
  std::vector<Roa> others = ManyRoas(100);
  for (Roa& roa : others) roa.as = 64497;
  const vrp::Payloads serving = SetOf(ManyRoas(100));
  EXPECT_THAT(FindObjections({}, serving, SetOf(others)), ElementsAre(Says("100 of 100 IPv4 VRPs")));
}

TEST(GuardsTest, OneOfAHandfulMayGoAndNotTwo) {
  const vrp::Payloads serving = SetOf(ManyRoas(3));
  EXPECT_THAT(FindObjections({}, serving, SetOf(ManyRoas(2))), IsEmpty());
  EXPECT_THAT(FindObjections({}, serving, SetOf(ManyRoas(1))), ElementsAre(Says("2 of 3")));
}

// What changes says the same as both sets do.
TEST(GuardsTest, AChangeStandsInForTheSetBefore) {
  GuardOptions options;
  options.max_growth = 0.1;
  options.min_records = 30;
  const auto set = [](int vrps, int from, int aspas, std::uint32_t provider) {
    vrp::Payloads payloads = SetOf(ManyRoas(vrps));
    payloads.vrps4.erase(payloads.vrps4.begin(), payloads.vrps4.begin() + std::min(from, vrps));
    for (int i = from; i < aspas; ++i) payloads.aspas.push_back({static_cast<std::uint32_t>(1 + i), 0, {provider}});
    return payloads;
  };
  const vrp::Payloads before = set(100, 0, 50, 7);
  std::size_t objected = 0;
  for (int vrps = 0; vrps < 130; vrps += 13) {
    for (int from : {0, 3, 10, 40}) {
      for (int aspas : {0, 40, 50, 51, 60}) {
        const vrp::Payloads next = set(vrps, from, aspas, from == 3 ? 7 : 8);
        const auto by_sets = FindObjections(options, before, next);
        const auto by_change = FindObjections(options, Counts::Of(before), rtr::Diff(before, next), next);
        ASSERT_EQ(by_change.size(), by_sets.size());
        for (std::size_t i = 0; i < by_sets.size(); ++i) EXPECT_EQ(by_change[i].text, by_sets[i].text);
        objected += by_sets.size();
      }
    }
  }
  EXPECT_GT(objected, 100U);
}

// After a restart only the numbers of what was served are known. What goes and comes is then at least their difference.
TEST(GuardsTest, NumbersStandInForASetThatIsNotKnown) {
  const Counts before = Counts::Of(SetOf(ManyRoas(100)));
  EXPECT_THAT(FindObjections({}, before, SetOf(ManyRoas(90))), IsEmpty());
  EXPECT_THAT(FindObjections({}, before, SetOf(ManyRoas(89))), ElementsAre(Says("11 of 100 IPv4 VRPs would go")));
  EXPECT_THAT(FindObjections({}, before, SetOf(ManyRoas(1'000))), IsEmpty());
  EXPECT_THAT(FindObjections({}, Counts{}, SetOf(ManyRoas(10))), IsEmpty());
  GuardOptions options;
  options.max_growth = 0.5;
  options.min_records = 5;
  EXPECT_THAT(FindObjections(options, before, SetOf(ManyRoas(150))), IsEmpty());
  EXPECT_THAT(FindObjections(options, before, SetOf(ManyRoas(151))), ElementsAre(Says("51 IPv4 VRPs would come")));
  EXPECT_THAT(FindObjections(options, before, {}), ElementsAre(Says("fewer than the 5"), Says("100 of 100")));
}

TEST(GuardsTest, HoldsGrowthWhereItIsAskedTo) {
  const vrp::Payloads serving = SetOf(ManyRoas(100));
  EXPECT_THAT(FindObjections({}, serving, SetOf(ManyRoas(200))), IsEmpty());
  GuardOptions options;
  options.max_growth = 0.5;
  EXPECT_THAT(FindObjections(options, serving, SetOf(ManyRoas(150))), IsEmpty());
  EXPECT_THAT(FindObjections(options, serving, SetOf(ManyRoas(151))), ElementsAre(Says("51 IPv4 VRPs would come")));
}

TEST(GuardsTest, LeastRecordsHoldForTheFirstSetToo) {
  GuardOptions options;
  options.min_records = 5;
  EXPECT_THAT(FindObjections(options, std::nullopt, SetOf(ManyRoas(4))), ElementsAre(Says("fewer than the 5")));
  EXPECT_THAT(FindObjections(options, std::nullopt, SetOf(ManyRoas(5))), IsEmpty());
}

TEST(GuardsTest, RoutesStayValidWhateverElseChanges) {
  GuardOptions options;
  ASSERT_OK_AND_ASSIGN(options.must_stay_valid,
                       ParseRoutesToKeep("keep", "10.0.0.0/24 64496 # the office\n\n2001:db8::/32 AS64500\n"));
  const std::vector<Roa> good{{"10.0.0.0/24", 24, 64496}, {"2001:db8::/32", 48, 64500}};
  EXPECT_THAT(FindObjections(options, std::nullopt, SetOf(good)), IsEmpty());
  EXPECT_THAT(FindObjections(options, std::nullopt, SetOf({good[0]})),
              ElementsAre(Says("2001:db8::/32 of AS64500 would be not-found")));
  EXPECT_THAT(FindObjections(options, std::nullopt, SetOf({{"10.0.0.0/16", 24, 64499}, good[1]})),
              ElementsAre(Says("10.0.0.0/24 of AS64496 would be invalid")));
}

TEST(GuardsTest, NamesTheLineThatIsNoRoute) {
  EXPECT_THAT(ParseRoutesToKeep("keep", "10.0.0.0/24 64496\n10.0.0.1/24 64496\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("keep:2: ")));
  EXPECT_THAT(ParseRoutesToKeep("keep", "10.0.0.0/24\n"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseRoutesToKeep("keep", "10.0.0.0/24 AS4294967296\n"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace virp::rtr_bridge
