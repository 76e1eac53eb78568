#include "lib/base/error_info.h"

#include <gtest/gtest.h>

#include "lib/base/status.h"

namespace virp {
namespace {

TEST(ErrorInfo, KeepsTheReasonThroughCopiesAndAnnotations) {
  const absl::Status status = WithReason(NotFound("no source {}", "edge-a"), "SOURCE_UNKNOWN");
  EXPECT_EQ(GetReason(status), "SOURCE_UNKNOWN");
  EXPECT_EQ(GetReason(Annotate(status, "frame 7")), "SOURCE_UNKNOWN");
  EXPECT_EQ(Message(status), "no source edge-a");
}

TEST(ErrorInfo, TheLastReasonStands) {
  absl::Status status = WithReason(NotFound("x"), "FIRST");
  SetReason(status, "SECOND");
  EXPECT_EQ(GetReason(status), "SECOND");
}

TEST(ErrorInfo, NoneOnOkAndOnPlainStatus) {
  absl::Status ok;
  SetReason(ok, "ANY");
  EXPECT_EQ(ok, absl::OkStatus());
  EXPECT_EQ(GetReason(ok), "");
  EXPECT_EQ(GetReason(Internal("x")), "");
}

}  // namespace
}  // namespace virp
