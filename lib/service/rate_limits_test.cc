#include "lib/service/rate_limits.h"

#include <gtest/gtest.h>

#include "lib/base/status.h"

namespace virp::service {
namespace {

TEST(RateLimits, AFileSaysWhatItChanges) {
  const auto limits = ParseRateLimits(R"({
    // one router with full tables
    "sources": {"others": {"entries_per_second": 500, "burst": 1000},
                "named": {"edge-a.bmp": {"burst": 2000000, "bytes_per_day": 10000000000}}}})");
  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->sources.others, (RateLimit{500, 1'000, 0}));
  EXPECT_EQ(limits->sources.named.at("edge-a.bmp"), (RateLimit{500, 2'000'000, 10'000'000'000}));
  EXPECT_EQ(limits->deliverers.others, DefaultRateLimits().deliverers.others);
}

TEST(RateLimits, WhatIsNotUnderstoodIsRefusedWithItsPlace) {
  for (const auto& [text, place] : std::vector<std::pair<const char*, const char*>>{
           {"[]", "limits"},
           {R"({"source": {}})", "source"},
           {R"({"sources": {"edge": {}}})", "edge"},
           {R"({"sources": {"others": {"entries_per_second": -1}}})", "entries_per_second"},
           {R"({"sources": {"others": {"burst": 1.5}}})", "burst"},
           {R"({"deliverers": {"named": {"spiffe://x/y": {"bytes_per_day": "1GB"}}}})", "spiffe://x/y"},
           {R"({"deliverers": {"named": []}})", "named"},
           {R"({"sources": {"others": {"burst": 99999999999999999}}})", "burst"}}) {
    const auto limits = ParseRateLimits(text);
    ASSERT_FALSE(limits.ok()) << text;
    EXPECT_NE(Message(limits.status()).find(place), std::string::npos) << Message(limits.status());
  }
}

TEST(RateLimits, WithoutAFileTheDefaultsHold) {
  EXPECT_EQ(ReadRateLimits("")->sources.others, DefaultRateLimits().sources.others);
  EXPECT_FALSE(ReadRateLimits("/nowhere/limits.json").ok());
}

}  // namespace
}  // namespace virp::service
