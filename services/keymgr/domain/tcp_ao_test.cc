#include "services/keymgr/domain/tcp_ao.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;

TcpAoPair Pair() {
  TcpAoPair pair;
  pair.id = "edge-a/core-1";
  pair.sides[0] = {"edge-a", *IpAddress::Parse("192.0.2.1"), "spiffe://example.net/collector/edge-a"};
  pair.sides[1] = {"core-1", *IpAddress::Parse("192.0.2.2"), ""};
  return pair;
}

TEST(TcpAo, PairsOutOfTheLimitsAreRefused) {
  EXPECT_OK(CheckPair(Pair()));
  const auto refused = [](auto change, const char* why) {
    TcpAoPair pair = Pair();
    change(pair);
    EXPECT_THAT(CheckPair(pair), StatusIs(StatusCode::kInvalidArgument, HasSubstr(why))) << why;
  };
  refused([](TcpAoPair& p) { p.sides[0].device = "Edge A"; }, "device");
  refused([](TcpAoPair& p) { p.sides[1].address = p.sides[0].address; }, "both ends");
  refused([](TcpAoPair& p) { p.sides[1].address = *IpAddress::Parse("2001:db8::1"); }, "two families");
  refused([](TcpAoPair& p) { p.sides[1].address = *IpAddress::Parse("0.0.0.0"); }, "every address");
  refused([](TcpAoPair& p) { p.octets = 15; }, "octets");
  refused([](TcpAoPair& p) { p.octets = 33; }, "octets");
  refused([](TcpAoPair& p) { p.hold = 9 * kSecond; }, "hold");
  refused([](TcpAoPair& p) { p.hold = 3'601 * kSecond; }, "hold");
  refused([](TcpAoPair& p) { p.deadline = 59 * kSecond; }, "deadline");
  refused([](TcpAoPair& p) { p.quarantine = 366 * 86'400 * kSecond; }, "quarantine");
}

TEST(TcpAo, WhatOneEndSendsByTheOtherReceivesBy) {
  const TcpAoIds ids{7, 9};
  for (const TcpAoEnd end : {TcpAoEnd::kA, TcpAoEnd::kB}) {
    EXPECT_EQ(ids.SendId(end), ids.RecvId(Other(end)));
    EXPECT_NE(ids.SendId(end), ids.RecvId(end));
  }
}

// 127 keys in turn, each used while the one before is still in use, then in quarantine.
TEST(TcpAo, AnIdentifierRestsUntilAllOthersWereUsed) {
  std::vector<TcpAoUsedId> used;
  std::set<std::uint8_t> seen;
  std::uint8_t last = 0;
  for (int key = 0; key < 127; ++key) {
    ASSERT_OK_AND_ASSIGN(const TcpAoIds ids, AllocateTcpAoIds(used, last, 1'000));
    EXPECT_TRUE(seen.insert(ids.from_a).second);
    EXPECT_TRUE(seen.insert(ids.from_b).second);
    for (const std::uint8_t id : {ids.from_a, ids.from_b}) used.push_back({id, key < 126 ? 2'000 * kSecond : 0});
    last = ids.from_b;
  }
  ASSERT_OK_AND_ASSIGN(const TcpAoIds rest, AllocateTcpAoIds(used, last, 1'000));
  for (const std::uint8_t id : {rest.from_a, rest.from_b}) used.push_back({id, 3'000 * kSecond});
  EXPECT_THAT(AllocateTcpAoIds(used, rest.from_b, 1'000 * kSecond).status(),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("for 1000 s more")));
  ASSERT_OK_AND_ASSIGN(const TcpAoIds again, AllocateTcpAoIds(used, rest.from_b, 2'000 * kSecond));
  EXPECT_EQ(again, (TcpAoIds{1, 2}));
  for (TcpAoUsedId& entry : used) entry.until = 0;
  EXPECT_THAT(AllocateTcpAoIds(used, 0, 1), StatusIs(StatusCode::kResourceExhausted, HasSubstr("in use")));
}

TEST(TcpAo, TheLastFreeIdentifierIsNoPair) {
  std::vector<TcpAoUsedId> used;
  for (unsigned id = 0; id < 255; ++id) used.push_back({static_cast<std::uint8_t>(id), 0});
  EXPECT_THAT(AllocateTcpAoIds(used, 3, 1).status(), StatusIs(StatusCode::kResourceExhausted));
  used[5].until = 1;
  ASSERT_OK_AND_ASSIGN(const TcpAoIds ids, AllocateTcpAoIds(used, 3, 1));
  EXPECT_EQ(ids, (TcpAoIds{5, 255}));
}

}  // namespace
}  // namespace virp::keymgr
