#include "services/rtr-bridge/transport/door.h"

#include <gtest/gtest.h>

#include <vector>

namespace virp::rtr_bridge {
namespace {

const IpAddress kOne = IpAddress::V4(0xC0000201U), kOther = IpAddress::V4(0xC0000202U);

TEST(Door, ASeatIsGivenBackOnceByWhoeverLetsItGoLast) {
  Door door({.connections = 2, .per_address = 0, .strangers_per_address = 0});
  const Door::Count count = std::make_shared<std::atomic<std::size_t>>(0);
  auto first = door.Admit(kOne, count, false);
  auto second = door.Admit(kOne, count, false);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(*count, 2U);
  EXPECT_EQ(door.Admit(kOther, count, false), nullptr);
  const auto also = first;
  first.reset();
  EXPECT_EQ(door.Admit(kOther, count, false), nullptr) << "somebody sits on it still";
  second.reset();
  EXPECT_NE(door.Admit(kOther, count, false), nullptr);
  EXPECT_EQ(door.counters().accepted, 3U);
  EXPECT_EQ(door.counters().too_many, 2U);
  EXPECT_EQ(*count, 1U);
}

TEST(Door, AnAddressHasSoManySeats) {
  Door door({.connections = 100, .per_address = 2, .strangers_per_address = 0});
  const Door::Count count = std::make_shared<std::atomic<std::size_t>>(0);
  auto first = door.Admit(kOne, count, false);
  const auto second = door.Admit(kOne, count, true);
  EXPECT_EQ(door.Admit(kOne, count, false), nullptr);
  EXPECT_NE(door.Admit(kOther, count, false), nullptr);
  first.reset();
  EXPECT_NE(door.Admit(kOne, count, false), nullptr);
  // A proxy on this host brings many.
  for (const char* own : {"127.0.0.1", "::1"}) {
    const auto peer = *IpAddress::Parse(own);
    const std::vector<std::shared_ptr<Door::Seat>> seats{door.Admit(peer, count, false), door.Admit(peer, count, false),
                                                         door.Admit(peer, count, false)};
    for (const auto& seat : seats) EXPECT_NE(seat, nullptr) << own;
  }
}

TEST(Door, StrangersOfAnAddressAreFewUntilTheyLogIn) {
  Door door({.connections = 100, .per_address = 0, .strangers_per_address = 2});
  const Door::Count count = std::make_shared<std::atomic<std::size_t>>(0);
  const auto first = door.Admit(kOne, count, true);
  auto second = door.Admit(kOne, count, true);
  EXPECT_EQ(door.Admit(kOne, count, true), nullptr);
  EXPECT_NE(door.Admit(kOne, count, false), nullptr) << "it is no stranger";
  EXPECT_NE(door.Admit(kOther, count, true), nullptr);
  first->LogIn();
  first->LogIn();
  auto third = door.Admit(kOne, count, true);
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(door.Admit(kOne, count, true), nullptr);
  second.reset();
  EXPECT_NE(door.Admit(kOne, count, true), nullptr);
}

}  // namespace
}  // namespace virp::rtr_bridge
