#include "lib/rtr/version.h"

#include <gtest/gtest.h>

namespace virp::rtr {
namespace {

TEST(Version, CarriesTheTypesOfItsDocument) {
  for (std::uint8_t version = 0; version <= kMaxVersion; ++version) {
    const VersionRules& rules = RulesOf(version);
    EXPECT_EQ(rules.version, version);
    for (const auto type : {PduType::kSerialNotify, PduType::kSerialQuery, PduType::kResetQuery,
                            PduType::kCacheResponse, PduType::kIpv4Prefix, PduType::kIpv6Prefix, PduType::kEndOfData,
                            PduType::kCacheReset, PduType::kErrorReport}) {
      EXPECT_TRUE(rules.Carries(type));
    }
    EXPECT_FALSE(rules.Carries(static_cast<PduType>(5)));
    EXPECT_EQ(rules.Carries(PduType::kRouterKey), version >= 1);
    EXPECT_EQ(rules.Carries(PduType::kAspa), version == 2);
    EXPECT_EQ(rules.end_of_data_timers, version >= 1);
    EXPECT_EQ(rules.order_required, version == 2);
    EXPECT_EQ(rules.shutdown_reports, version == 2);
    EXPECT_EQ(rules.max_pdu, 65'535U);
  }
}

TEST(Version, HasTheErrorsOfItsDocument) {
  EXPECT_TRUE(RulesOf(0).Has(ErrorCode::kDuplicateAnnouncement));
  EXPECT_FALSE(RulesOf(0).Has(ErrorCode::kUnexpectedVersion));
  EXPECT_EQ(RulesOf(0).version_change, ErrorCode::kInvalidRequest);
  EXPECT_TRUE(RulesOf(1).Has(ErrorCode::kUnexpectedVersion));
  EXPECT_FALSE(RulesOf(1).Has(ErrorCode::kAspaProviderList));
  EXPECT_EQ(RulesOf(1).version_change, ErrorCode::kUnexpectedVersion);
  EXPECT_TRUE(RulesOf(2).Has(ErrorCode::kCacheShutdown));
}

TEST(Version, NamesAndFatality) {
  EXPECT_EQ(PduTypeName(0), "Serial Notify");
  EXPECT_EQ(PduTypeName(5), "reserved");
  EXPECT_EQ(PduTypeName(11), "ASPA");
  EXPECT_EQ(PduTypeName(12), "unknown");
  EXPECT_EQ(ErrorCodeName(0), "Corrupt Data");
  EXPECT_EQ(ErrorCodeName(13), "Cache Shutdown");
  EXPECT_EQ(ErrorCodeName(14), "unknown");
  for (std::uint16_t code = 0; code < 20; ++code)
    EXPECT_EQ(IsFatal(code), code != 2 && code != 4 && code != 12) << code;
}

TEST(Version, TimersHaveRanges) {
  EXPECT_EQ(WhyWrong({}), "");
  EXPECT_EQ(WhyWrong({.refresh = 1, .retry = 1, .expire = 600}), "");
  EXPECT_EQ(WhyWrong({.refresh = 86'400, .retry = 7'200, .expire = 172'800}), "");
  EXPECT_NE(WhyWrong({.refresh = 0, .retry = 600, .expire = 7200}), "");
  EXPECT_NE(WhyWrong({.refresh = 86'401, .retry = 600, .expire = 172'800}), "");
  EXPECT_NE(WhyWrong({.refresh = 3600, .retry = 0, .expire = 7200}), "");
  EXPECT_NE(WhyWrong({.refresh = 3600, .retry = 7201, .expire = 172'800}), "");
  EXPECT_NE(WhyWrong({.refresh = 1, .retry = 1, .expire = 599}), "");
  EXPECT_NE(WhyWrong({.refresh = 1, .retry = 1, .expire = 172'801}), "");
  EXPECT_NE(WhyWrong({.refresh = 3600, .retry = 600, .expire = 3600}), "");
  EXPECT_NE(WhyWrong({.refresh = 600, .retry = 3600, .expire = 3600}), "");
}

TEST(Version, SerialsWrap) {
  EXPECT_TRUE(SerialLess(1, 2));
  EXPECT_FALSE(SerialLess(2, 2));
  EXPECT_TRUE(SerialLess(0xffff'ffff, 0));
  EXPECT_TRUE(SerialLess(0xffff'fff0, 5));
  EXPECT_FALSE(SerialLess(5, 0xffff'fff0));
  EXPECT_FALSE(SerialLess(0, 0x8000'0000));
  EXPECT_FALSE(SerialLess(0x8000'0000, 0));
  EXPECT_EQ(SerialDistance(0xffff'fffe, 1), 3U);
}

}  // namespace
}  // namespace virp::rtr
