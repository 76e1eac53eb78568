// Submit over mutual TLS: when it answers, what a repeat gets, and who is told to wait.
#include "services/collector/transport/collector_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <condition_variable>
#include <future>
#include <mutex>

#include "lib/base/error_info.h"
#include "lib/deliver/outbox_fixture.h"
#include "lib/service/errors.h"
#include "services/collector/transport/access.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/wait.h"

namespace {

// The disk's last word, which a test may hold back.
class Disk {
 public:
  void Hold(bool hold) {
    const std::lock_guard lock(mutex_);
    held_ = hold;
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.wait(lock, [this] { return !held_; });
    --waiting_;
  }
  int waiting() {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  int waiting_ = 0;
};
Disk disk;

}  // namespace

// In place of the C library's, for this program: the spool knows nothing of it.
extern "C" int fdatasync(int fd) {
  disk.Pass();
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

namespace virp::collector {
namespace {

using service::Role;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testutil::Eventually;

constexpr const char* kRequest = "6f1f0a2e-0d3b-4f43-9a38-6a2a2f1d0c11";

class NoConnector final : public deliver::Connector {
 public:
  absl::StatusOr<std::unique_ptr<deliver::Connection>> Connect(const std::string&) override {
    return absl::UnavailableError("nobody is there");
  }
};
class NoObserver final : public deliver::DeliveryObserver {
 public:
  void OnRefused(std::string_view, frame::Reason) override {}
  void OnAuditFailure(std::string_view) override {}
};

class SubmitTest : public deliver::testing::OutboxTest {
 protected:
  SubmitTest() {
    EXPECT_OK(Open({&submissions_}));
    deliver::DelivererOptions options;
    options.identity = pki_.Id(Role::kCollector);
    options.origin = "example.net/site1";
    options.addresses = {"127.0.0.1:1"};
    options.state_directory = folder_.File("audit");
    options.verifiers = {chain::VerifierKey::Make(options.origin, std::string(32, '\1')).value()};
    deliverer_ = deliver::Deliverer::Make(options, outbox_->spool(), connector_, observer_, clock_).value();
    const std::vector<ProducerBinding> producers{
        {pki_.Id(Role::kProducer, "alice"), {"edge-a.bgpd", "edge-b.bgpd"}, {16, 64}},
        {pki_.Id(Role::kProducer, "bob"), {"edge-a.bgpd"}, {16}}};
    const service::Security security = pki_.MakeSecurity(AccessTable());
    handler_ = std::make_unique<CollectorHandler>("collector-1", *outbox_, submissions_, liveness_, bmp_, *deliverer_,
                                                  producers, security.callers, clock_, &limits_);
    server_ = pki_.StartServer(Role::kCollector, security, {{handler_.get(), "virp.collector.v1.CollectorService"}});
  }
  ~SubmitTest() override { disk.Hold(false); }

  static v1::SubmitRequest Ask(std::string_view payload = "{\"n\":1}", std::string_view id = kRequest,
                               std::string_view source = "edge-a.bgpd") {
    v1::SubmitRequest request;
    request.set_request_id(std::string(id));
    v1::Observation& observation = *request.add_observations();
    observation.set_source(std::string(source));
    observation.set_type(16);
    observation.set_payload(std::string(payload));
    return request;
  }
  absl::StatusOr<v1::SubmitResponse> Submit(const v1::SubmitRequest& request, std::string_view who = "alice") {
    const auto stub = v1::CollectorService::NewStub(pki_.Channel(*server_, Role::kProducer, who, Role::kCollector));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    v1::SubmitResponse response;
    const grpc::Status status = stub->Submit(&context, request, &response);
    if (!status.ok()) return service::FromGrpcStatus(status);
    return response;
  }
  std::vector<std::uint64_t> Signed(std::string_view source = "edge-a.bgpd") { return Numbers(Spooled(), source); }

  testutil::TestPki pki_;
  Submissions submissions_;
  Liveness liveness_{clock_};
  BmpIngest bmp_{{}, clock_};
  EdgeLimits limits_{RateLimitTable{}, clock_};
  NoConnector connector_;
  NoObserver observer_;
  std::unique_ptr<deliver::Deliverer> deliverer_;
  std::unique_ptr<CollectorHandler> handler_;
  std::unique_ptr<service::ServerRunner> server_;
};

TEST_F(SubmitTest, AnswersWhenTheSpoolIsOnDiskAndNotBefore) {
  disk.Hold(true);
  auto answer = std::async(std::launch::async, [this] { return Submit(Ask()); });
  ASSERT_TRUE(Eventually([] { return disk.waiting() > 0; }));
  EXPECT_EQ(outbox_->spool().stats().last, 2) << "observation and request id are written";
  EXPECT_EQ(outbox_->spool().stats().durable, 0);
  EXPECT_EQ(answer.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  disk.Hold(false);
  const auto response = answer.get();
  ASSERT_OK(response);
  ASSERT_EQ(response->receipts_size(), 1);
  EXPECT_EQ(response->receipts(0).sequence(), 1);
  EXPECT_EQ(outbox_->spool().stats().durable, 2);
}

TEST_F(SubmitTest, ARepeatWaitsForTheDiskAsTheFirstDid) {
  disk.Hold(true);
  auto first = std::async(std::launch::async, [this] { return Submit(Ask()); });
  ASSERT_TRUE(Eventually([] { return disk.waiting() > 0; }));
  auto repeat = std::async(std::launch::async, [this] { return Submit(Ask()); });
  EXPECT_EQ(repeat.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  disk.Hold(false);
  ASSERT_OK(first.get());
  ASSERT_OK(repeat.get());
  EXPECT_THAT(Signed(), ElementsAre(1));
}

TEST_F(SubmitTest, ARepeatGetsTheFirstAnswer) {
  const auto first = Submit(Ask());
  ASSERT_OK(first);
  clock_.Advance(std::chrono::hours(1));
  const auto repeat = Submit(Ask());
  ASSERT_OK(repeat);
  EXPECT_EQ(repeat->SerializeAsString(), first->SerializeAsString());
  EXPECT_THAT(Signed(), ElementsAre(1));
}

TEST_F(SubmitTest, RequestIdsAreEachProducersOwn) {
  ASSERT_OK(Submit(Ask("{\"n\":1}"), "alice"));
  ASSERT_OK(Submit(Ask("{\"n\":2}"), "bob"));
  EXPECT_THAT(Signed(), ElementsAre(1, 2));
}

TEST_F(SubmitTest, ARequestIdIsNotUsedForSomethingElse) {
  ASSERT_OK(Submit(Ask("{\"n\":1}")));
  EXPECT_THAT(Submit(Ask("{\"n\":2}")), testutil::ReasonIs("REQUEST_ID_REUSED"));
  EXPECT_THAT(Signed(), ElementsAre(1));
}

TEST_F(SubmitTest, BindingsHold) {
  EXPECT_THAT(Submit(Ask("{}", kRequest, "edge-b.bgpd"), "bob"), testutil::ReasonIs("SCOPE_DENIED"));
  v1::SubmitRequest other_type = Ask();
  other_type.mutable_observations(0)->set_type(64);
  EXPECT_THAT(Submit(other_type, "bob"), testutil::ReasonIs("SCOPE_DENIED"));
  EXPECT_THAT(Submit(Ask(), "carol"), testutil::ReasonIs("SCOPE_DENIED"));
  EXPECT_THAT(Spooled(), IsEmpty());
  ASSERT_OK(Submit(other_type, "alice"));
}

TEST_F(SubmitTest, WhatIsNoObservationIsRefusedWhole) {
  const auto refused = [&](const v1::SubmitRequest& request) { return Submit(request).status(); };
  EXPECT_TRUE(absl::IsInvalidArgument(refused(Ask("[1]"))));
  EXPECT_TRUE(absl::IsInvalidArgument(refused(Ask("{\"a\":1,\"a\":2}"))));
  EXPECT_TRUE(absl::IsInvalidArgument(refused(Ask("{}", ""))));
  v1::SubmitRequest half = Ask();
  *half.add_observations() = half.observations(0);
  half.mutable_observations(1)->set_tier(4);
  EXPECT_TRUE(absl::IsInvalidArgument(refused(half)));
  v1::SubmitRequest none;
  none.set_request_id(kRequest);
  EXPECT_TRUE(absl::IsInvalidArgument(refused(none)));
  EXPECT_THAT(Spooled(), IsEmpty());
}

TEST_F(SubmitTest, OverItsLimitAProducerIsToldHowLongToWait) {
  limits_.Replace({{}, {{"edge-a.bgpd", {.entries_per_second = 1, .burst = 2}}}});
  v1::SubmitRequest two = Ask();
  *two.add_observations() = two.observations(0);
  ASSERT_OK(Submit(two));
  const absl::Status over = Submit(Ask("{}", "another")).status();
  EXPECT_TRUE(absl::IsResourceExhausted(over)) << over;
  EXPECT_EQ(GetReason(over), "OVER_LIMIT");
  ASSERT_TRUE(GetRetryAfter(over));
  EXPECT_GE(*GetRetryAfter(over), std::chrono::milliseconds(1'000));
  EXPECT_LE(*GetRetryAfter(over), std::chrono::milliseconds(1'001));
  EXPECT_EQ(limits_.pushed_back(), 1);
  ASSERT_OK(Submit(Ask("{}", "third", "edge-b.bgpd")));
  ASSERT_OK(Submit(two)) << "what was answered is answered again";
  clock_.Advance(*GetRetryAfter(over));
  ASSERT_OK(Submit(Ask("{}", "another")));
  EXPECT_THAT(Signed(), ElementsAre(1, 2, 3));
}

TEST_F(SubmitTest, TheONodesWordCountsTheSame) {
  limits_.Told("edge-a.bgpd");
  EXPECT_THAT(Submit(Ask()), testutil::ReasonIs("OVER_LIMIT"));
  clock_.Advance(EdgeLimits::kToldHolds);
  ASSERT_OK(Submit(Ask()));
}

}  // namespace
}  // namespace virp::collector
