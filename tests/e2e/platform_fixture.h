// The platform's real parts in one process, for tests: an O-Node on SQLite behind mutual TLS, and a collector's outbox
// with its deliverer. Nothing starts before the test says so; everything ends with the test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "lib/base/status.h"
#include "lib/deliver/deliverer.h"
#include "lib/deliver/grpc_connection.h"
#include "lib/frame/key_directory.h"
#include "services/collector/domain/heart.h"
#include "services/collector/domain/outbox.h"
#include "services/onode/domain/node.h"
#include "services/onode/storage/file_vault.h"
#include "services/onode/storage/open.h"
#include "services/onode/transport/access.h"
#include "services/onode/transport/chain_admin_handler.h"
#include "services/onode/transport/chain_handler.h"
#include "services/onode/transport/ingest_handler.h"
#include "services/onode/transport/source_handler.h"
#include "services/onode/transport/verify_handler.h"
#include "tests/testutil/test_pki.h"

namespace virp::e2e {

using namespace std::chrono_literals;
using service::Role;

inline constexpr const char* kOrigin = "virp.example.net/site1";
inline constexpr const char* kPeerUp =
    R"({"domain":"bgp","event":"peer_state_change","peer_addr":"192.0.2.2","peer_as":64501,"old_state":"OpenConfirm","new_state":"Established","router_id":"192.0.2.1"})";
inline constexpr const char* kPeerDown =
    R"({"domain":"bgp","event":"peer_down","peer_addr":"192.0.2.2","peer_as":64501,"last_state":"Established","router_id":"192.0.2.1"})";

// The system's clock, which a test may set forward: everything runs on, and hours pass in no time.
class SkippingClock final : public Clock {
 public:
  UnixNanos NowNanos() const override { return system_.NowNanos() + static_cast<UnixNanos>(skipped_.load()); }
  std::chrono::steady_clock::time_point Steady() const override {
    return system_.Steady() + std::chrono::nanoseconds(skipped_.load());
  }
  void Skip(std::chrono::nanoseconds by) { skipped_ += by.count(); }

 private:
  const SystemClock system_;
  std::atomic<std::int64_t> skipped_{0};
};

class PlatformTest : public ::testing::Test, public deliver::DeliveryObserver {
 protected:
  PlatformTest() : security_(pki_.MakeSecurity(onode::AccessTable(), "", kScopes)) {
    std::string pattern = std::filesystem::temp_directory_path() / "platform-XXXXXX";
    dir_ = mkdtemp(pattern.data());
    const UnixNanos from = clock_.NowNanos() - 3'600'000'000'000ULL;
    for (const char* folder : {"own", "checkpoint"}) {
      EXPECT_TRUE(frame::CreateKeyFile(dir_ + "/" + folder, kOrigin, 1, frame::Suite::kEd25519, from).ok());
    }
    EXPECT_TRUE(frame::CreateKeyFile(dir_ + "/keys", "edge-a.bmp", 1, frame::Suite::kEd25519, from).ok());
    EXPECT_TRUE(frame::CreateKeyFile(dir_ + "/keys", "collector-1", 1, frame::Suite::kHmacSha256, from).ok());
  }
  ~PlatformTest() override {
    StopCollector();
    StopONode();
    std::filesystem::remove_all(dir_);
  }
  void OnRefused(std::string_view, frame::Reason) override {}
  void OnAuditFailure(std::string_view what) override { audit_failures_.emplace_back(what); }

  void StartONode() {
    keys_ = *frame::KeyDirectory::Open(dir_ + "/keys");
    store_options_.clock = &clock_;
    store_ = *onode::OpenStore({store::Backend::kSqlite, dir_ + "/chain.db"}, store_options_);
    onode::ChainOptions options = chain_options_;
    options.instance = std::to_string(++instances_);
    options.address = "localhost";
    options.checkpoint_interval = 50ms;
    node_ = std::make_unique<onode::Node>(
        *store_, *keys_, clock_, options, [this](const std::string& origin) -> absl::StatusOr<onode::ChainCustody> {
          onode::ChainCustody custody;
          ASSIGN_OR_RETURN(custody.vault, onode::FileVault::Open(dir_ + "/checkpoint", dir_ + "/state", origin));
          ASSIGN_OR_RETURN(const auto own, frame::KeyDirectory::Open(dir_ + "/own"));
          for (const auto& version : own->Versions(origin)) custody.own_keys.push_back({version.version, version.key});
          return custody;
        });
    ASSERT_TRUE(node_->Open().ok());
    if (node_->chains().empty()) {
      const auto made = node_->Create(kOrigin, "", std::chrono::steady_clock::now() + 10s);
      ASSERT_TRUE(made.ok()) << made.status();
    }
    chain_ = *node_->Find(kOrigin);
    ingest_ = std::make_unique<onode::IngestHandler>(*node_, security_.callers, delivery_limits_);
    verify_ = std::make_unique<onode::VerifyHandler>(*node_, security_.callers, clock_);
    chains_ = std::make_unique<onode::ChainHandler>(*node_);
    admin_ = std::make_unique<onode::ChainAdminHandler>(*node_, security_.callers);
    sources_ = std::make_unique<onode::SourceHandler>(*node_, security_.callers, security_.scopes, clock_);
    server_ = pki_.StartServer(Role::kOnode, security_,
                               {{ingest_.get(), "virp.ingest.v1.IngestService"},
                                {verify_.get(), "virp.verify.v1.VerifyService"},
                                {chains_.get(), "virp.chain.v1.ChainService"},
                                {admin_.get(), "virp.chain.v1.ChainAdminService"},
                                {sources_.get(), "virp.source.v1.SourceService"}});
    ASSERT_TRUE(Until([this] { return chain_->leading(); }));
  }
  void StopONode() {
    if (server_) server_->Drain(0ms, 200ms);
    server_.reset();
    if (node_) node_->Stop();
    node_.reset();
    store_.reset();
  }

  void Register(const std::string& name, source::v1::Suite suite, source::v1::Vantage vantage,
                std::vector<std::uint32_t> types, bool router) {
    const auto stub = source::v1::SourceService::NewStub(pki_.Channel(*server_, Role::kOperator));
    source::v1::RegisterSourceRequest request;
    request.set_request_id(fmt::format("00000000-0000-4000-8000-{:012}", ++requests_));
    source::v1::Source& source = *request.mutable_source();
    source.set_name(name);
    source.set_suite(suite);
    source.set_key_version(1);
    source.set_vantage(vantage);
    for (const std::uint32_t type : types) source.add_types(type);
    source.add_carried_by(pki_.Id(Role::kCollector));
    if (router) {
      source.add_routers()->set_name("edge-a");
      source.mutable_routers(0)->add_bgp_ids("192.0.2.1");
    }
    source::v1::RegisterSourceResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->RegisterSource(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.source().name(), name);
  }

  void StartCollector() {
    deliver::SpoolOptions spool;
    spool.directory = dir_ + "/spool";
    outbox_ = *collector::Outbox::Open(spool, *keys_, clock_, {});
    liveness_ = std::make_unique<collector::Liveness>(clock_);
    liveness_->Add("edge-a.bmp", collector::Path::kBmp, true);
    connector_ = std::make_unique<deliver::GrpcConnector>(
        [this](const std::string&) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
          return pki_.Channel(*server_, Role::kCollector);
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
  bool Until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
  void RegisterBoth() {
    Register("edge-a.bmp", source::v1::SUITE_ED25519, source::v1::VANTAGE_BMP, {1, 2, 3, 4, 22}, true);
    Register("collector-1", source::v1::SUITE_HMAC_SHA256, source::v1::VANTAGE_SERVICE, {22, 23, 24}, false);
  }

  static constexpr const char* kScopes =
      R"({"scopes": [{"role": "operator", "name": "*", "origins": ["**"], "sources": ["**", "*"]}]})";
  SkippingClock clock_;
  // To be changed before StartONode.
  onode::StoreOptions store_options_;
  onode::ChainOptions chain_options_;
  onode::DeliveryLimits delivery_limits_;
  testutil::TestPki pki_;
  service::Security security_;
  std::string dir_;
  int instances_ = 0;
  int requests_ = 0;
  std::vector<std::string> audit_failures_;
  std::unique_ptr<frame::KeyDirectory> keys_;
  std::unique_ptr<onode::ChainStore> store_;
  std::unique_ptr<onode::Node> node_;
  onode::Chain* chain_ = nullptr;
  std::unique_ptr<onode::IngestHandler> ingest_;
  std::unique_ptr<onode::VerifyHandler> verify_;
  std::unique_ptr<onode::ChainHandler> chains_;
  std::unique_ptr<onode::ChainAdminHandler> admin_;
  std::unique_ptr<onode::SourceHandler> sources_;
  std::unique_ptr<service::ServerRunner> server_;
  std::unique_ptr<collector::Outbox> outbox_;
  std::unique_ptr<collector::Liveness> liveness_;
  std::unique_ptr<deliver::GrpcConnector> connector_;
  std::unique_ptr<deliver::Deliverer> deliverer_;
};

}  // namespace virp::e2e
