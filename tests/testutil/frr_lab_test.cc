// The lab's own promises: without them a live test proves nothing.
#include "tests/testutil/frr_lab.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testutil/status_matchers.h"

namespace virp::testutil {
namespace {

using ::testing::HasSubstr;

TEST(FrrLab, PeersAnnounceWithdrawAndComeBackAfterAKill) {
  FrrLab lab(0);
  ASSERT_OK(lab.Start());
  ASSERT_OK(lab.Announce("203.0.113.0/24", 10));
  ASSERT_OK(lab.AwaitRoute("203.0.113.0/24", true));
  const auto path = lab.edge_a().Show("show bgp ipv4 unicast 203.0.113.0/24");
  ASSERT_OK(path);
  EXPECT_THAT(*path, HasSubstr("64501 64510"));
  ASSERT_OK(lab.Withdraw("203.0.113.0/24"));
  ASSERT_OK(lab.AwaitRoute("203.0.113.0/24", false));

  lab.edge_b().Kill();
  ASSERT_OK(lab.AwaitSession("Active"));
  EXPECT_FALSE(lab.edge_b().Show("show bgp summary").ok());
  ASSERT_OK(lab.edge_b().Start());
  ASSERT_OK(lab.AwaitSession("Established"));
}

TEST(FrrLab, WhatBgpdRefusesIsAnErrorThatNamesTheLine) {
  FrrLab lab(0);
  ASSERT_OK(lab.edge_a().Start());
  const absl::Status refused = lab.edge_a().Configure({"router bgp 64500", "no such line"});
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no such line"));
  EXPECT_OK(lab.edge_a().Show("show bgp summary"));  // and the vty goes on
}

}  // namespace
}  // namespace virp::testutil
