// RtrService over mutual TLS, with nothing behind it but a cache that a test fills.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/service/errors.h"
#include "services/rtr-bridge/transport/access.h"
#include "services/rtr-bridge/transport/router_fixture.h"
#include "services/rtr-bridge/transport/rtr_handler.h"
#include "tests/testutil/test_pki.h"
#include "tests/testutil/unary_call.h"

namespace virp::rtr_bridge::testing {

namespace pb = ::virp::rtr::v1;

class RtrHandlerTest : public RouterServerTest {
 protected:
  using Role = service::Role;
  using Stub = pb::RtrService::Stub;

  void SetUp() override {
    RouterServerTest::SetUp();
    // Without data: what a test serves it publishes.
    ASSERT_OK_AND_ASSIGN(server_, RouterServer::Start(options_, log_, clock_));
    SourceState source;
    source.name = "validator-a";
    source.location = dir_.File("vrps.json");
    source.expire = expire_;
    cache_ = std::make_unique<Cache>(
        cache_options_, SourceTable({source}, {}), slurm_, [this] { return ++session_; }, witness_, recorder_, state_,
        clock_,
        [this](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation) {
          server_->Publish(snapshot);
          if (snapshot == nullptr) return board_.Clear();
          board_.Publish(snapshot, generation);
        },
        [this](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation,
               const std::shared_ptr<const vrp::Payloads>& payloads) { board_.Renew(snapshot, generation, payloads); });
    SourceOptions options;
    options.name = source.name;
    options.location = source.location;
    options.max_age.reset();
    ASSERT_OK_AND_ASSIGN(sources_, SourceRunner::Make({options}, {}, {}, *cache_, clock_));
    const service::Security security = pki_.MakeSecurity(AccessTable());
    handler_ = std::make_unique<RtrHandler>(RtrHandlerParts{.name = "bridge-1",
                                                            .cache = *cache_,
                                                            .board = board_,
                                                            .routers = *server_,
                                                            .sessions = log_,
                                                            .sources = *sources_,
                                                            .clock = clock_,
                                                            .callers = security.callers,
                                                            .prove = [this](const std::string& frame) {
                                                              const MutexLock lock(proof_mutex_);
                                                              asked_for_ = frame;
                                                              return proof_;
                                                            }});
    grpc_ = pki_.StartServer(Role::kRtrBridge, security, {{handler_.get(), "virp.rtr.v1.RtrService"}});
    channel_ = pki_.Channel(*grpc_, Role::kOperator, "noc-1", Role::kRtrBridge);
  }
  void TearDown() override {
    sources_->Stop();
    server_->Stop();
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    return testutil::UnaryCall(channel_, method, request);
  }
  // What the chain answers from now on, and which frame it was asked for last.
  void Prove(absl::StatusOr<std::string> proof) {
    const MutexLock lock(proof_mutex_);
    proof_ = std::move(proof);
  }
  std::string AskedFor() const {
    const MutexLock lock(proof_mutex_);
    return asked_for_;
  }
  void Serve(const std::vector<Roa>& roas) { cache_->TakeGood(0, ReadingOf(SetOf(roas))); }
  absl::StatusOr<pb::ListVrpsResponse> Page(int size, const std::string& token, const std::string& prefix = "") {
    pb::ListVrpsRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    request.set_prefix(prefix);
    return Call(&Stub::ListVrps, request);
  }
  static pb::RefreshRequest RefreshOf(const std::string& id, std::uint64_t accept = 0, const std::string& sha256 = "") {
    pb::RefreshRequest request;
    request.set_reason("a test");
    request.set_request_id(id);
    request.set_accept_generation(accept);
    request.set_accept_sha256(sha256);
    return request;
  }

  testutil::TestPki pki_;
  CacheOptions cache_options_;
  std::optional<std::chrono::nanoseconds> expire_;
  bool slurm_ = false;
  std::uint16_t session_ = 100;
  FakeRecorder recorder_;
  FakeState state_;
  Board board_;
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<SourceRunner> sources_;
  mutable Mutex proof_mutex_;
  absl::StatusOr<std::string> proof_ ABSL_GUARDED_BY(proof_mutex_) = absl::UnavailableError("not in the chain yet");
  std::string asked_for_ ABSL_GUARDED_BY(proof_mutex_);
  std::unique_ptr<RtrHandler> handler_;
  std::unique_ptr<service::ServerRunner> grpc_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace virp::rtr_bridge::testing
