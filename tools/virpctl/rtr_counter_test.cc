#include "tools/virpctl/rtr_counter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testutil/status_matchers.h"

namespace virp::virpctl {
namespace {

using testutil::StatusIs;

std::string Answer(int records, std::uint32_t serial) {
  std::string out;
  rtr::AppendCacheResponse(out, 1, 7);
  for (int i = 0; i < records; ++i)
    rtr::AppendPrefix(
        out, 1, true,
        vrp::Vrp4{.address = static_cast<std::uint32_t>(i) << 8, .as = 1, .length = 24, .max_length = 24});
  rtr::AppendEndOfData(out, 1, 7, serial, {});
  return out;
}

TEST(RtrCounterTest, CountsAndFollows) {
  RtrCounter counter(1);
  std::string query;
  rtr::AppendResetQuery(query, 1);
  EXPECT_EQ(counter.output(), query);
  counter.output().clear();
  for (const char octet : Answer(5, 3)) ASSERT_OK(counter.Feed({&octet, 1}));
  EXPECT_EQ(counter.updates(), 1U);
  EXPECT_EQ(counter.records(), 5U);
  EXPECT_TRUE(counter.output().empty());

  std::string notify;
  rtr::AppendSerialNotify(notify, 1, 7, 4);
  ASSERT_OK(counter.Feed(notify));
  query.clear();
  rtr::AppendSerialQuery(query, 1, 7, 3);
  EXPECT_EQ(counter.output(), query);
  counter.output().clear();
  // One that comes before the answer is answered by it; one that comes within it is not.
  std::string delta = notify + Answer(2, 4);
  delta.insert(delta.size() - 24, notify);
  ASSERT_OK(counter.Feed(delta));
  EXPECT_EQ(counter.updates(), 2U);
  EXPECT_EQ(counter.notifies(), 3U);
  EXPECT_EQ(counter.records(), 2U);
  EXPECT_EQ(counter.bytes(), Answer(5, 3).size() + notify.size() + delta.size());
  query.clear();
  rtr::AppendSerialQuery(query, 1, 7, 4);
  EXPECT_EQ(counter.output(), query);
}

TEST(RtrCounterTest, WhatEndsASession) {
  std::string error, other, reset;
  rtr::AppendErrorReport(error, 1, rtr::ErrorCode::kInternalError, "", "oops");
  rtr::AppendCacheResponse(other, 2, 7);
  EXPECT_THAT(RtrCounter(1).Feed(error), StatusIs(absl::StatusCode::kAborted, testing::HasSubstr("oops")));
  EXPECT_THAT(RtrCounter(1).Feed(other), StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(RtrCounter(1).Feed("GET / HTTP/1.1"), StatusIs(absl::StatusCode::kAborted));
  RtrCounter counter(1);
  counter.output().clear();
  rtr::AppendCacheReset(reset, 1);
  ASSERT_OK(counter.Feed(reset));
  EXPECT_EQ(counter.output().size(), 8U);
}

}  // namespace
}  // namespace virp::virpctl
