#include "lib/service/wire.h"

#include <gmock/gmock.h>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "tests/testutil/status_matchers.h"

namespace virp::service {
namespace {

using ::testing::HasSubstr;
using testutil::IsOkAndHolds;
using testutil::StatusIs;

google::protobuf::Timestamp Time(std::int64_t seconds, std::int32_t nanos) {
  google::protobuf::Timestamp time;
  time.set_seconds(seconds);
  time.set_nanos(nanos);
  return time;
}

TEST(WireTime, ThereAndBack) {
  for (const UnixNanos nanos : {UnixNanos{0}, UnixNanos{1}, UnixNanos{999'999'999}, UnixNanos{1'000'000'000},
                                UnixNanos{1'790'000'000'123'456'789}, UnixNanos{9'000'000'000'999'999'999}}) {
    EXPECT_THAT(NanosOf(TimestampOf(nanos), "at"), IsOkAndHolds(nanos));
  }
  EXPECT_EQ(TimestampOf(1'500'000'000).seconds(), 1);
  EXPECT_EQ(TimestampOf(1'500'000'000).nanos(), 500'000'000);
}

TEST(WireTime, WhatIsNoTimeIsRefusedByItsField) {
  for (const auto& wrong :
       {Time(-1, 0), Time(0, -1), Time(0, 1'000'000'000), Time(9'000'000'001, 0),
        Time(std::numeric_limits<std::int64_t>::max(), 0), Time(std::numeric_limits<std::int64_t>::min(), 0)}) {
    const absl::Status status = NanosOf(wrong, "compromised_since").status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << wrong.ShortDebugString();
    ASSERT_EQ(GetFields(status).size(), 1U);
    EXPECT_EQ(GetFields(status)[0].field, "compromised_since");
  }
}

TEST(WirePage, Sizes) {
  EXPECT_THAT(PageSizeOf(0), IsOkAndHolds(100U));
  EXPECT_THAT(PageSizeOf(1), IsOkAndHolds(1U));
  EXPECT_THAT(PageSizeOf(1'000), IsOkAndHolds(1'000U));
  EXPECT_THAT(PageSizeOf(1'001), IsOkAndHolds(1'000U));
  EXPECT_THAT(PageSizeOf(std::numeric_limits<std::int32_t>::max()), IsOkAndHolds(1'000U));
  EXPECT_THAT(PageSizeOf(-1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_size")));
  EXPECT_THAT(PageSizeOf(std::numeric_limits<std::int32_t>::min()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(WirePage, TokensAreReadForTheFilterTheyWereMadeFor) {
  const std::string cursor("edge-a.bgpd\n\0\xff", 14);
  const std::string token = MakePageToken(cursor, "alarmed");
  EXPECT_THAT(ReadPageToken(token, "alarmed"), IsOkAndHolds(cursor));
  EXPECT_THAT(ReadPageToken("", "alarmed"), IsOkAndHolds(std::string()));
  EXPECT_THAT(ReadPageToken(token, "all"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_token")));
}

TEST(WirePage, WhatIsNoTokenIsRefused) {
  const std::string token = MakePageToken("cursor", "all");
  for (std::size_t size = 1; size < token.size(); ++size) {
    const auto read = ReadPageToken(token.substr(0, size), "all");
    EXPECT_FALSE(read.ok() && *read == "cursor") << size;
  }
  std::string other = Base64Decode(token).value();
  other[0] = 2;
  for (const std::string& wrong : {std::string("x"), std::string("\n"), std::string(10'000, 'A'), "\xff" + token,
                                   Base64Encode(other), MakePageToken("", "all")}) {
    EXPECT_THAT(ReadPageToken(wrong, "all"), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong.substr(0, 40);
  }
}

}  // namespace
}  // namespace virp::service
