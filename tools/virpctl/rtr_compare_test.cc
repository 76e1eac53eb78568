#include "tools/virpctl/rtr_compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace virp::virpctl {
namespace {

using testing::HasSubstr;

constexpr Seconds kGrace = 100;

vrp::Vrp4 Vrp(std::uint8_t octet, std::uint32_t as = 64'500) {
  return {.address = 0xC0000000U | std::uint32_t{octet} << 8, .as = as, .length = 24, .max_length = 24};
}

// From high to low, as sets are.
vrp::Payloads Set(std::vector<vrp::Vrp4> vrps) {
  vrp::Payloads set;
  set.vrps4 = std::move(vrps);
  return set;
}

class RtrCompareTest : public ::testing::Test {
 protected:
  RtrCompareTest() {
    sides_[0].state = {.name = "primary",
                       .url = "tcp://a:323",
                       .up = true,
                       .last_fetch = 1'000,
                       .cache = true,
                       .session = 7,
                       .serial = 9};
    sides_[1].state = {.name = "secondary", .url = "https://b/\"x\"", .up = false};
  }
  SeenSet& a() { return sides_[0].seen; }
  SeenSet& b() { return sides_[1].seen; }
  std::size_t OnlyA() { return OnlyIn(a(), b()).vrps(); }
  std::size_t OnlyB() { return OnlyIn(b(), a()).vrps(); }
  std::array<RtrSide, 2> sides_;
};

TEST_F(RtrCompareTest, WhatOneHasAndTheOtherNeverHadIsADifference) {
  a().Update(Set({Vrp(3), Vrp(1)}), 1'000, kGrace);
  b().Update(Set({Vrp(3), Vrp(2)}), 1'000, kGrace);
  EXPECT_EQ(OnlyA(), 1U);
  EXPECT_EQ(OnlyB(), 1U);
  b().Update(Set({Vrp(3), Vrp(2), Vrp(1)}), 1'010, kGrace);
  EXPECT_EQ(OnlyA(), 0U);
  EXPECT_EQ(OnlyB(), 1U);
}

TEST_F(RtrCompareTest, WhatWentIsNoDifferenceWithinTheGracePeriod) {
  a().Update(Set({Vrp(1)}), 1'000, kGrace);
  b().Update(Set({Vrp(1)}), 1'000, kGrace);
  b().Update(Set({}), 1'100, kGrace);
  EXPECT_EQ(OnlyA(), 0U);
  EXPECT_EQ(b().vrps_in_grace(), 1U);
  b().Update(Set({}), 1'101, kGrace);
  EXPECT_EQ(OnlyA(), 1U);
  EXPECT_EQ(b().vrps_in_grace(), 0U);
  EXPECT_EQ(OnlyB(), 0U);
}

TEST_F(RtrCompareTest, ThresholdsCountByHowLongItIsSeen) {
  b().Update(Set({}), 1'000, kGrace);
  a().Update(Set({Vrp(1)}), 1'000, kGrace);
  a().Update(Set({Vrp(2), Vrp(1)}), 1'050, kGrace);
  const SetDifference only = OnlyIn(a(), b());
  EXPECT_EQ(only.VrpsSince(1'060, 0), 2U);
  EXPECT_EQ(only.VrpsSince(1'060, 11), 1U);
  EXPECT_EQ(only.VrpsSince(1'060, 60), 1U);
  EXPECT_EQ(only.VrpsSince(1'060, 61), 0U);
}

TEST_F(RtrCompareTest, AnotherListOfProvidersIsAnotherAspa) {
  vrp::Payloads one, two;
  one.aspas = {{.customer = 64'500, .providers = {1, 2}}};
  two.aspas = {{.customer = 64'500, .providers = {1, 3}}};
  a().Update(one, 1'000, kGrace);
  b().Update(two, 1'000, kGrace);
  EXPECT_EQ(OnlyIn(a(), b()).aspas.size(), 1U);
  b().Update(one, 1'001, kGrace);
  EXPECT_TRUE(OnlyIn(a(), b()).empty());
  EXPECT_TRUE(OnlyIn(b(), a()).empty());
}

TEST_F(RtrCompareTest, TheDocumentsSayBothSides) {
  a().Update(Set({Vrp(3), Vrp(1)}), 1'000, kGrace);
  b().Update(Set({Vrp(3)}), 1'000, kGrace);
  const auto json = nlohmann::json::parse(DifferenceJson(sides_));
  EXPECT_EQ(json["metadata-primary"]["serial"], 9);
  EXPECT_EQ(json["metadata-primary"]["count"], 2);
  EXPECT_FALSE(json["metadata-secondary"].contains("serial"));
  ASSERT_EQ(json["only-primary"].size(), 1U);
  EXPECT_EQ(json["only-primary"][0]["prefix"], "192.0.1.0/24");
  EXPECT_EQ(json["only-primary"][0]["max-length"], 24);
  EXPECT_EQ(json["only-primary"][0]["first-seen"], 1'000);
  EXPECT_TRUE(json["only-secondary"].empty());

  const std::string metrics = DifferenceMetrics(sides_, {0, 56}, 1'010);
  EXPECT_THAT(metrics, HasSubstr("\nrpki_vrps{server=\"primary\",url=\"tcp://a:323\",type=\"total\"} 2\n"));
  EXPECT_THAT(metrics, HasSubstr("\nrpki_vrps{server=\"primary\",url=\"tcp://a:323\",type=\"diff\"} 1\n"));
  EXPECT_THAT(
      metrics,
      HasSubstr("vrp_diff{lhs_url=\"tcp://a:323\",rhs_url=\"https://b/\\\"x\\\"\",visibility_seconds=\"0\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("visibility_seconds=\"56\"} 0\n"));
  EXPECT_THAT(metrics, HasSubstr("rtr_state{server=\"secondary\",url=\"https://b/\\\"x\\\"\"} 0\n"));
  EXPECT_THAT(metrics, HasSubstr("rtr_serial{server=\"primary\",url=\"tcp://a:323\"} 9\n"));
  EXPECT_THAT(metrics, testing::Not(HasSubstr("rtr_serial{server=\"secondary\"")));
}

}  // namespace
}  // namespace virp::virpctl
