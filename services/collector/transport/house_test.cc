#include "services/collector/transport/house.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/chain/break_glass.h"
#include "lib/chain/control.h"
#include "lib/deliver/outbox_fixture.h"
#include "lib/frame/payload.h"
#include "services/collector/transport/access.h"
#include "services/collector/transport/collector_handler.h"

namespace virp::collector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Answers GetStatus; nothing else is asked.
class StatusOnly final : public v1::CollectorService::Service {
 public:
  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*, v1::GetStatusResponse* response) override {
    response->set_name("collector-1");
    return grpc::Status::OK;
  }
};

class BreakGlassTest : public deliver::testing::OutboxTest {
 protected:
  absl::Status Up() {
    const std::string socket = folder_.File("break-glass/socket");
    ASSIGN_OR_RETURN(
        server_, StartBreakGlass(socket, "collector-1", *outbox_, {{&handler_, "virp.collector.v1.CollectorService"}}));
    stub_ = v1::CollectorService::NewStub(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
    return absl::OkStatus();
  }
  grpc::Status Ask(std::string* name = nullptr) {
    grpc::ClientContext context;
    v1::GetStatusResponse response;
    grpc::Status status = stub_->GetStatus(&context, {}, &response);
    if (name != nullptr) *name = response.name();
    return status;
  }

  StatusOnly handler_;
  std::unique_ptr<service::BreakGlassServer> server_;
  std::unique_ptr<v1::CollectorService::Stub> stub_;
};

TEST_F(BreakGlassTest, EveryUseIsAnObservationOfTheCollector) {
  ASSERT_OK(Open());
  ASSERT_OK(Up());
  std::string name;
  EXPECT_TRUE(Ask(&name).ok());
  EXPECT_EQ(name, "collector-1");
  EXPECT_EQ(outbox_->spool().stats().durable, 1);
  const auto frames = Spooled();
  ASSERT_THAT(Numbers(frames, "collector-1"), ElementsAre(1));
  const frame::Frame frame = frame::Decode(frames[0].bytes, frames[0].spelling).value();
  EXPECT_EQ(frame.header.type, frame::Type::kActionOutcome);
  EXPECT_EQ(frame.header.tier, frame::Tier::kYellow);
  EXPECT_EQ(frame.payload, chain::BuildBreakGlass({"/virp.collector.v1.CollectorService/GetStatus", ::geteuid(),
                                                   static_cast<std::uint64_t>(::getpid())}));
}

TEST_F(BreakGlassTest, OnlyStatusIsServed) {
  ASSERT_OK(Open());
  ASSERT_OK(Up());
  grpc::ClientContext context;
  v1::SubmitResponse response;
  EXPECT_EQ(stub_->Submit(&context, {}, &response).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Spooled().empty());
  for (const std::string& method : BreakGlassMethods()) EXPECT_THAT(method, ::testing::Not(HasSubstr("Submit")));
}

TEST_F(BreakGlassTest, AnswersWhenTheSpoolIsFull) {
  ASSERT_OK(Open({}, 1 << 20));
  deliver::Observation big;
  big.type = frame::Type::kSourceEvent;
  big.payload = R"({"x":")" + std::string(50'000, 'x') + "\"}";
  absl::Status filled;
  while (filled.ok()) filled = outbox_->Emit("collector-1", {big}).status();
  big.payload = "{}";
  for (filled = absl::OkStatus(); filled.ok();) filled = outbox_->Emit("collector-1", {big}).status();
  ASSERT_TRUE(absl::IsResourceExhausted(filled)) << filled;
  ASSERT_OK(Up());
  EXPECT_TRUE(Ask().ok());
}

TEST_F(BreakGlassTest, RefusesWhatItCannotRecord) {
  ASSERT_OK(Open());
  keys_.Remove("collector-1", 1);
  ASSERT_OK(Up());
  EXPECT_FALSE(Ask().ok());
}

using AlarmingObserverTest = deliver::testing::OutboxTest;

TEST_F(AlarmingObserverTest, WhatTheSpoolDidNotTakeIsToldLater) {
  ASSERT_OK(Open());
  AlarmingObserver observer("collector-1", *outbox_);
  observer.OnAuditFailure("entry 7 is missing");
  keys_.Remove("collector-1", 1);
  EXPECT_FALSE(observer.Flush().ok());
  keys_.Put("collector-1", {1, deliver::testing::KeyOf("collector-1"), 0, std::nullopt});
  ASSERT_OK(observer.Flush());
  ASSERT_OK(observer.Flush());
  const auto alarms = SpooledAlarms();
  ASSERT_EQ(alarms.size(), 1);
  EXPECT_EQ(alarms[0].cause, "AUDIT_FAILED");
  EXPECT_EQ(alarms[0].reason, "entry 7 is missing");
  EXPECT_EQ(alarms[0].count, 1);
}

// A spool that is full for days must not make a list of days.
TEST_F(AlarmingObserverTest, FindingsThatWaitAreBounded) {
  ASSERT_OK(Open());
  AlarmingObserver observer("collector-1", *outbox_);
  for (int i = 0; i < 1'000; ++i) {
    observer.OnAuditFailure("the same");
    observer.OnAuditFailure(fmt::format("entry {} is missing", i));
  }
  ASSERT_OK(observer.Flush());
  const auto alarms = SpooledAlarms();
  ASSERT_EQ(alarms.size(), 17);
  EXPECT_EQ(alarms[0].reason, "the same");
  EXPECT_EQ(alarms[0].count, 1'000);
  EXPECT_EQ(alarms[15].reason, "entry 14 is missing");
  EXPECT_EQ(alarms[16].count, 985);
  ASSERT_OK(observer.Flush());
  EXPECT_EQ(SpooledAlarms().size(), 17) << "and it begins anew";
}

TEST_F(AlarmingObserverTest, SourcesThatLostFramesAreToldOnceAFlush) {
  ASSERT_OK(Open());
  std::vector<std::string> told;
  AlarmingObserver observer("collector-1", *outbox_, nullptr,
                            [&](std::string_view source) { told.emplace_back(source); });
  for (const char* source : {"edge-b.bmp", "edge-a.bmp", "edge-b.bmp"})
    observer.OnRefused(source, frame::Reason::kBadTag);
  EXPECT_TRUE(told.empty());  // not from within the deliverer
  ASSERT_OK(observer.Flush());
  ASSERT_OK(observer.Flush());
  EXPECT_THAT(told, ::testing::ElementsAre("edge-a.bmp", "edge-b.bmp"));
}

TEST_F(BreakGlassTest, OffWithoutAPath) {
  ASSERT_OK(Open());
  EXPECT_THAT(StartBreakGlass("", "collector-1", *outbox_, {}), testutil::IsOkAndHolds(::testing::IsNull()));
}

}  // namespace
}  // namespace virp::collector
