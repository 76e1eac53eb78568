#include "lib/service/errors.h"

#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::service {
namespace {

TEST(ErrorsTest, EverythingComesBack) {
  absl::Status status = WithReason(FailedPrecondition("not the leader"), "NOT_LEADER", {{"leader", "node-2:8443"}});
  AddField(status, "claims[3].peer", "is empty");
  SetRetryAfter(status, std::chrono::milliseconds(1'500));
  const absl::Status back = FromGrpcStatus(ToGrpcStatus(status, "onode"));
  EXPECT_EQ(back.code(), status.code());
  EXPECT_EQ(Message(back), "not the leader");
  EXPECT_EQ(GetReason(back), "NOT_LEADER");
  EXPECT_EQ(GetMetadata(back).at("leader"), "node-2:8443");
  EXPECT_EQ(GetFields(back), GetFields(status));
  EXPECT_EQ(GetRetryAfter(back), std::chrono::milliseconds(1'500));
}

TEST(ErrorsTest, EachErrorHasExactlyOneErrorInfo) {
  for (const absl::Status& status : {NotFound("no such chain"), WithReason(Aborted("x"), "FENCED"), InvalidField("size", "is zero")}) {
    google::rpc::Status details;
    ASSERT_TRUE(details.ParseFromString(ToGrpcStatus(status, "onode").error_details()));
    int infos = 0;
    for (const auto& detail : details.details()) infos += detail.Is<google::rpc::ErrorInfo>() ? 1 : 0;
    EXPECT_EQ(infos, 1) << status;
    google::rpc::ErrorInfo info;
    ASSERT_TRUE(details.details(0).UnpackTo(&info));
    EXPECT_EQ(info.domain(), "onode.virp");
    EXPECT_FALSE(info.reason().empty());
  }
}

TEST(ErrorsTest, CausesOfOurBugsStayInside) {
  const grpc::Status status = ToGrpcStatus(Internal("password of the pool is {}", "hunter2"), "onode");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message().find("hunter2"), std::string::npos);
  EXPECT_EQ(status.error_details().find("hunter2"), std::string::npos);
}

TEST(ErrorsTest, OkStaysOkAndGarbageIsNoCrash) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus(), "onode").ok());
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
  const absl::Status odd = FromGrpcStatus(grpc::Status(grpc::StatusCode::ABORTED, "x", "not a proto \xff"));
  EXPECT_TRUE(absl::IsAborted(odd));
  EXPECT_EQ(GetReason(odd), "");
}

}  // namespace
}  // namespace virp::service
