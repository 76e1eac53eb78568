#include "lib/base/error_info.h"

#include <gtest/gtest.h>

#include "lib/base/status.h"

namespace virp {
namespace {

using namespace std::chrono_literals;

TEST(ErrorInfoTest, ReasonSurvivesAnnotation) {
  absl::Status status =
      WithReason(FailedPrecondition("not the leader"), "NOT_LEADER", {{"leader", "a:1"}, {"term", "7"}});
  status = Annotate(Annotate(status, "append"), "deliver");
  EXPECT_EQ(GetReason(status), "NOT_LEADER");
  EXPECT_EQ(GetMetadata(status), (std::map<std::string, std::string>{{"leader", "a:1"}, {"term", "7"}}));
  EXPECT_EQ(Message(status), "deliver: append: not the leader");
}

TEST(ErrorInfoTest, TheLastReasonCounts) {
  absl::Status status = WithReason(Aborted("x"), "FIRST", {{"a", "b"}});
  SetReason(status, "SECOND");
  EXPECT_EQ(GetReason(status), "SECOND");
  EXPECT_TRUE(GetMetadata(status).empty());
}

TEST(ErrorInfoTest, OkCarriesNothing) {
  absl::Status status;
  SetReason(status, "NEVER");
  AddField(status, "a", "b");
  SetRetryAfter(status, 1s);
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(GetReason(status), "");
  EXPECT_TRUE(GetFields(status).empty());
  EXPECT_FALSE(GetRetryAfter(status));
}

TEST(ErrorInfoTest, FieldsAddUp) {
  absl::Status status = InvalidField("claims[3].peer", "an address is missing");
  AddField(status, "max_age", "negative");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(status), "claims[3].peer: an address is missing");
  EXPECT_EQ(GetFields(status),
            (std::vector<FieldViolation>{{"claims[3].peer", "an address is missing"}, {"max_age", "negative"}}));
}

TEST(ErrorInfoTest, RetryAfter) {
  absl::Status status = ResourceExhausted("full");
  EXPECT_FALSE(GetRetryAfter(status));
  SetRetryAfter(status, 1500ms);
  EXPECT_EQ(GetRetryAfter(status), 1500ms);
}

TEST(ErrorInfoTest, HiddenStaysHidden) {
  absl::Status status = Unavailable("/var/lib/virp/x.db: locked");
  EXPECT_FALSE(IsHidden(status));
  Hide(status);
  EXPECT_TRUE(IsHidden(Annotate(status, "append")));
  EXPECT_TRUE(IsHidden(WithReason(status, "STORE_FULL")));
}

TEST(ErrorInfoTest, AForeignPayloadIsNotMisread) {
  absl::Status status = Internal("x");
  const std::string cut(
      "\xff\xff\xff\xff"
      "abc",
      7);
  status.SetPayload("virp/reason", absl::Cord(cut));
  EXPECT_EQ(GetReason(status), "");
  status.SetPayload("virp/retry", absl::Cord("short"));
  EXPECT_FALSE(GetRetryAfter(status));
}

}  // namespace
}  // namespace virp
