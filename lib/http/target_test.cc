#include "lib/http/target.h"

#include <gmock/gmock.h>

#include "tests/testutil/status_matchers.h"

namespace virp::http {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using testutil::IsOkAndHolds;
using testutil::StatusIs;
constexpr auto kWrong = absl::StatusCode::kInvalidArgument;

TEST(TargetTest, PathAndQueryAreDecoded) {
  ASSERT_OK_AND_ASSIGN(const Target target, ParseTarget("/a%2fb/c+d?asn=AS1&prefix=192.0.2.0%2F24&&flag&x=a=b"));
  EXPECT_EQ(target.path, "/a/b/c+d");
  EXPECT_THAT(target.query,
              ElementsAre(Pair("asn", "AS1"), Pair("prefix", "192.0.2.0/24"), Pair("flag", ""), Pair("x", "a=b")));
  EXPECT_THAT(target.Parameter("asn"), IsOkAndHolds("AS1"));
  EXPECT_TRUE(target.Has("flag"));
  EXPECT_FALSE(target.Has("serial"));
}

TEST(TargetTest, NoQuery) {
  ASSERT_OK_AND_ASSIGN(const Target target, ParseTarget("/rpki.json"));
  EXPECT_EQ(target.path, "/rpki.json");
  EXPECT_TRUE(target.query.empty());
  EXPECT_TRUE(ParseTarget("/rpki.json?")->query.empty());
}

TEST(TargetTest, RefusesWhatIsNone) {
  for (const char* wrong : {"/%", "/%2", "/%g0", "/%0g", "/a%00b", "/%0a", "/%7f", "/x?a=%", "/x?%zz=1"})
    EXPECT_THAT(ParseTarget(wrong), StatusIs(kWrong)) << wrong;
  ASSERT_OK_AND_ASSIGN(const Target target, ParseTarget("/x?a=1&a=2"));
  EXPECT_THAT(target.Parameter("a"), StatusIs(kWrong));
  EXPECT_THAT(target.Parameter("b"), StatusIs(kWrong));
}

}  // namespace
}  // namespace virp::http
