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
  for (const absl::Status& status :
       {NotFound("no such chain"), WithReason(Aborted("x"), "FENCED"), InvalidField("size", "is zero")}) {
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

TEST(ErrorsTest, HiddenCausesKeepTheirReasonAndGetAnIncident) {
  static std::string logged;
  SetHiddenErrorSink([](const absl::Status& status, std::string_view service, std::string_view incident) {
    logged = std::string(service) + " " + std::string(incident) + " " + std::string(Message(status));
  });
  absl::Status store = WithReason(ResourceExhausted("/var/lib/x.db: disk full"), "STORE_FULL");
  Hide(store);
  const absl::Status seen = FromGrpcStatus(ToGrpcStatus(Annotate(store, "append"), "onode"));
  SetHiddenErrorSink(nullptr);
  EXPECT_EQ(seen.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetReason(seen), "STORE_FULL");
  EXPECT_EQ(Message(seen).find("x.db"), std::string_view::npos);
  EXPECT_EQ(logged, "onode " + GetMetadata(seen).at("incident") + " append: /var/lib/x.db: disk full");
  EXPECT_EQ(GetMetadata(seen).at("incident").size(), 16U);
  EXPECT_EQ(GetRetryAfter(seen), std::chrono::milliseconds(1'000));
}

TEST(ErrorsTest, WhatIsSentIsBoundedAndText) {
  absl::Status status = InvalidArgument("{}", std::string(100'000, 'x') + "\xff");
  AddField(status, "first", "a description with a stray \xff");
  for (int i = 0; i < 50; ++i) AddField(status, std::string(300, 'f'), "\xff\xfe");
  std::map<std::string, std::string> metadata{{"!fits", "yes"}};
  for (int i = 0; i < 50; ++i) metadata[std::to_string(i)] = std::string(300, '\xff');
  metadata["!huge"] = std::string(100'000, 'x');
  SetReason(status, "MANY", metadata);
  const grpc::Status sent = ToGrpcStatus(status, "onode");
  EXPECT_LE(sent.error_message().size(), 512U);
  EXPECT_LE(sent.error_details().size(), 5U * 1024U);
  const absl::Status seen = FromGrpcStatus(sent);
  EXPECT_EQ(GetReason(seen), "MANY");
  EXPECT_GE(GetFields(seen).size(), 2U);
  EXPECT_EQ(GetFields(seen)[0].field, "first");
  EXPECT_EQ(GetMetadata(seen).at("!fits"), "yes");
  EXPECT_EQ(GetMetadata(seen).at("!huge").size(), 512U);
}

TEST(ErrorsTest, AReasonMayLeadTheMessage) {
  const absl::Status refused =
      FromGrpcStatus(grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "METHOD_DENIED: reader may not: Append"));
  EXPECT_EQ(GetReason(refused), "METHOD_DENIED");
  EXPECT_EQ(Message(refused), "reader may not: Append");
  const absl::Status plain = FromGrpcStatus(grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed: fd 7"));
  EXPECT_EQ(GetReason(plain), "");
  EXPECT_EQ(Message(plain), "Socket closed: fd 7");
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
