// The platform's real parts in one process, for tests: an O-Node on SQLite behind mutual TLS, and a collector's outbox
// with its deliverer. Nothing starts before the test says so; everything ends with the test.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>

#include "lib/base/mutex.h"
#include "lib/deliver/deliverer.h"
#include "lib/deliver/grpc_connection.h"
#include "lib/deliver/outbox.h"
#include "services/collector/domain/heart.h"
#include "services/onode/transport/access.h"
#include "tests/testutil/onode_lab.h"
#include "tests/testutil/process.h"
#include "tests/testutil/skipping_clock.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::e2e {

using namespace std::chrono_literals;
using service::Role;

inline constexpr const char* kOrigin = "virp.example.net/site1";
inline constexpr const char* kPeerUp =
    R"({"domain":"bgp","event":"peer_state_change","peer_addr":"192.0.2.2","peer_as":64501,"old_state":"OpenConfirm","new_state":"Established","router_id":"192.0.2.1"})";
inline constexpr const char* kPeerDown =
    R"({"domain":"bgp","event":"peer_down","peer_addr":"192.0.2.2","peer_as":64501,"last_state":"Established","router_id":"192.0.2.1"})";

class PlatformTest : public ::testing::Test, public deliver::DeliveryObserver {
 protected:
  PlatformTest() {
    site_.AddKey("edge-a.bmp", frame::Suite::kEd25519);
    site_.AddKey("collector-1", frame::Suite::kHmacSha256);
  }
  ~PlatformTest() override {
    StopCollector();
    StopONode();
  }
  void OnRefused(std::string_view, frame::Reason) override {}
  void OnAuditFailure(std::string_view what) override { audit_failures_.emplace_back(what); }

  void StartONode() {
    testutil::OnodeLabOptions options{.store_url = "sqlite:" + dir_ + "/chain.db"};
    options.store = store_options_;
    options.chain = chain_options_;
    options.chain.instance = std::to_string(++instances_);
    options.chain.checkpoint_interval = 50ms;
    options.delivery = delivery_limits_;
    onode_ = std::make_unique<testutil::OnodeLab>(site_, std::move(options));
    store_ = &onode_->store();
    node_ = &onode_->node();
    chain_ = &onode_->chain();
    ingest_ = &onode_->ingest();
    server_ = &onode_->server();
    {
      const MutexLock lock(mutex_);
      address_ = server_->address();
    }
    ASSERT_TRUE(onode_->AwaitLeading());
  }
  void StopONode() { onode_.reset(); }

  void Register(const std::string& name, source::v1::Suite suite, source::v1::Vantage vantage,
                std::vector<std::uint32_t> types, bool router) {
    testutil::LabSource source{.name = name, .suite = suite, .vantage = vantage, .types = std::move(types)};
    if (router) {
      source.router = "edge-a";
      source.bgp_id = "192.0.2.1";
    }
    EXPECT_EQ(onode_->Register(source).name(), name);
  }

  // `states` take part in the outbox's snapshots and replay, as a collector's intakes do.
  void StartCollector(std::vector<deliver::OutboxState*> states = {}, deliver::EmitGate* gate = nullptr) {
    deliver::SpoolOptions spool;
    spool.directory = dir_ + "/spool";
    outbox_ = *deliver::Outbox::Open(spool, *keys_, clock_, std::move(states), gate);
    liveness_ = std::make_unique<collector::Liveness>(clock_);
    liveness_->Add("edge-a.bmp", collector::Path::kBmp, true);
    connector_ = std::make_unique<deliver::GrpcConnector>(
        [this](const std::string&) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
          const MutexLock lock(mutex_);
          return pki_.Channel(address_, pki_.Files(Role::kCollector),
                              {.role = Role::kOnode, .spiffe_id = "", .check_host = true});
        });
    deliver::DelivererOptions options;
    options.identity = pki_.Id(Role::kCollector);
    options.origin = kOrigin;
    options.addresses = {"test"};
    options.verifiers = chain_->vault().Verifiers();
    options.state_directory = dir_ + "/audit";
    options.backoff_min = 1ms;
    options.backoff_max = 20ms;
    options.retry_held = 200ms;
    deliverer_ = *deliver::Deliverer::Make(options, outbox_->spool(), *connector_, *this, clock_);
    deliverer_->Start();
  }
  void StopCollector() {
    deliverer_.reset();
    outbox_.reset();
  }

  void Observe(const char* payload, frame::Type type, frame::Tier tier = frame::Tier::kGreen) {
    const auto receipts = outbox_->Emit("edge-a.bmp", {{type, tier, payload}});
    ASSERT_TRUE(receipts.ok()) << receipts.status();
    ASSERT_TRUE(outbox_->Sync(receipts->back().number).ok());
  }
  void Beat() {
    collector::Heart heart("collector-1", *outbox_, *liveness_, clock_);
    ASSERT_TRUE(heart.Tick().ok());
    ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s)) << deliverer_->status().problem;
  }
  verify::v1::ClaimAnswer Ask(bool negate = false) {
    const auto stub = verify::v1::VerifyService::NewStub(pki_.Channel(*server_, Role::kReader));
    verify::v1::VerifyClaimRequest request;
    verify::v1::PeerClaim& claim = *request.mutable_claim()->mutable_peer();
    claim.set_router("edge-a");
    claim.set_peer_address("192.0.2.2");
    claim.set_negate(negate);
    verify::v1::VerifyClaimResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->VerifyClaim(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.answer();
  }
  chain::v1::VerifyReport VerifyChain(bool subjects) {
    const auto stub = chain::v1::ChainService::NewStub(pki_.Channel(*server_, Role::kReader));
    chain::v1::VerifyChainRequest request;
    request.set_check_subjects(subjects);
    grpc::ClientContext context;
    const auto stream = stub->VerifyChain(&context, request);
    chain::v1::VerifyChainResponse response;
    chain::v1::VerifyReport report;
    while (stream->Read(&response)) {
      if (response.has_report()) report = response.report();
    }
    EXPECT_TRUE(stream->Finish().ok());
    return report;
  }
  bool Until(const std::function<bool()>& condition) { return testutil::WaitUntil(10s, condition); }
  void RegisterBoth() {
    Register("edge-a.bmp", source::v1::SUITE_ED25519, source::v1::VANTAGE_BMP, {1, 2, 3, 4, 22}, true);
    Register("collector-1", source::v1::SUITE_HMAC_SHA256, source::v1::VANTAGE_SERVICE, {22, 23, 24}, false);
  }

  testutil::SkippingClock clock_;
  testutil::OnodeSite site_{kOrigin, clock_};
  const std::string dir_ = site_.dir();
  testutil::TestPki& pki_ = site_.pki();
  frame::KeyDirectory* const keys_ = &site_.keys();
  // To be changed before StartONode.
  onode::StoreOptions store_options_;
  onode::ChainOptions chain_options_;
  onode::DeliveryLimits delivery_limits_;
  int instances_ = 0;
  std::vector<std::string> audit_failures_;
  // Of the O-Node that runs.
  std::unique_ptr<testutil::OnodeLab> onode_;
  onode::ChainStore* store_ = nullptr;
  onode::Node* node_ = nullptr;
  onode::Chain* chain_ = nullptr;
  const onode::IngestHandler* ingest_ = nullptr;
  const service::ServerRunner* server_ = nullptr;
  Mutex mutex_;
  std::string address_ ABSL_GUARDED_BY(mutex_);  // of the O-Node that runs, or ran last: the deliverer asks at any time
  std::unique_ptr<deliver::Outbox> outbox_;
  std::unique_ptr<collector::Liveness> liveness_;
  std::unique_ptr<deliver::GrpcConnector> connector_;
  std::unique_ptr<deliver::Deliverer> deliverer_;
};

}  // namespace virp::e2e
