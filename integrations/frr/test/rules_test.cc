#include "rules.h"

#include <gtest/gtest.h>

#include <string>

namespace virp::frr {
namespace {

std::uint32_t OriginOf(const std::string& path) {
  return ::virp_rules_origin_of(path.data(), path.size());
}

TEST(FrrRules, TheOriginIsTheLastAsOfThePath) {
  EXPECT_EQ(OriginOf("64501 64510"), 64510u);
  EXPECT_EQ(OriginOf("4294967295"), 4294967295u);
  EXPECT_EQ(OriginOf("64501 {64510,64511}"), 0u);
  EXPECT_EQ(OriginOf("64501 (64510)"), 0u);
  EXPECT_EQ(OriginOf("1 99999999999"), 0u);
  EXPECT_EQ(OriginOf(""), 0u);
}

TEST(FrrRules, MoreThanNSessionsWithinT) {
  virp_rules rules{};
  EXPECT_FALSE(::virp_rules_session_lost(&rules, 1));  // no rule
  rules.lost_more_than = 2;
  rules.lost_within = 10;
  rules.lost_count = 0;
  EXPECT_FALSE(::virp_rules_session_lost(&rules, 100));
  EXPECT_FALSE(::virp_rules_session_lost(&rules, 101));
  EXPECT_TRUE(::virp_rules_session_lost(&rules, 110));
  EXPECT_FALSE(::virp_rules_session_lost(&rules, 112));
  EXPECT_FALSE(::virp_rules_session_lost(&rules, 121));
  EXPECT_TRUE(::virp_rules_session_lost(&rules, 122));
}

TEST(FrrRules, ListsKnowTheirOrigins) {
  virp_rules rules{};
  EXPECT_TRUE(::virp_rules_protect(&rules, "OURS", 64500));
  EXPECT_TRUE(::virp_rules_protect(&rules, "OURS", 64500));
  EXPECT_TRUE(::virp_rules_protect(&rules, "OURS", 64501));
  EXPECT_EQ(rules.list_count, 1u);
  EXPECT_EQ(rules.lists[0].origin_count, 2u);
  EXPECT_FALSE(::virp_rules_protect(&rules, std::string(VIRP_LIST_NAME_MAX, 'x').c_str(), 1));
  EXPECT_TRUE(::virp_rules_protect(&rules, "OTHERS", 1));
  EXPECT_TRUE(::virp_rules_unprotect(&rules, "OURS"));
  EXPECT_FALSE(::virp_rules_unprotect(&rules, "OURS"));
  ASSERT_EQ(rules.list_count, 1u);
  EXPECT_TRUE(::virp_rules_origin_known(&rules.lists[0], 1));
  for (std::uint32_t i = 2; i <= VIRP_ORIGINS_MAX; ++i) EXPECT_TRUE(::virp_rules_protect(&rules, "OTHERS", i));
  EXPECT_FALSE(::virp_rules_protect(&rules, "OTHERS", 99));
}

}  // namespace
}  // namespace virp::frr
