// Operators at a key manager, as a test needs them: one asks, the other approves. For a running virp-keymgr or a
// handler in this process.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/status.h"
#include "lib/service/errors.h"
#include "tests/testutil/wait.h"
#include "virp/keymgr/v1/observation_key.grpc.pb.h"

namespace virp::testutil {

class KeyDesk {
 public:
  using Stub = keymgr::v1::ObservationKeyService::Stub;

  KeyDesk(const std::shared_ptr<grpc::Channel>& one, const std::shared_ptr<grpc::Channel>& other)
      : one_(keymgr::v1::ObservationKeyService::NewStub(one)),
        other_(keymgr::v1::ObservationKeyService::NewStub(other)) {}

  absl::Status Create(const std::string& source, const std::vector<std::string>& signers,
                      const std::vector<std::string>& carriers = {}) {
    auto request = Asking<keymgr::v1::CreateObservationKeyRequest>();
    request.mutable_key()->set_source(source);
    for (const std::string& id : signers) request.mutable_key()->add_signers(id);
    for (const std::string& id : carriers) request.mutable_key()->add_carriers(id);
    return Call<keymgr::v1::CreateObservationKeyResponse>(*one_, &Stub::CreateObservationKey, request).status();
  }
  absl::StatusOr<std::uint32_t> Prepare(const std::string& source, keymgr::v1::KeySuite suite,
                                        std::uint32_t version = 0) {
    auto request = Asking<keymgr::v1::PrepareObservationKeyRequest>(source, version);
    request.set_suite(suite);
    ASSIGN_OR_RETURN(const auto response,
                     Call<keymgr::v1::PrepareObservationKeyResponse>(*one_, &Stub::PrepareObservationKey, request));
    return response.version();
  }
  absl::Status Approve(const std::string& source, std::uint32_t version) {
    return Call<keymgr::v1::ApproveObservationKeyResponse>(
               *other_, &Stub::ApproveObservationKey, Asking<keymgr::v1::ApproveObservationKeyRequest>(source, version))
        .status();
  }
  absl::Status Activate(const std::string& source, std::uint32_t version, std::chrono::seconds sign_for,
                        std::chrono::seconds accept_for) {
    auto request = Asking<keymgr::v1::ActivateObservationKeyRequest>(source, version);
    request.mutable_sign_for()->set_seconds(sign_for.count());
    request.mutable_accept_for()->set_seconds(accept_for.count());
    return Call<keymgr::v1::ActivateObservationKeyResponse>(*one_, &Stub::ActivateObservationKey, request).status();
  }
  absl::Status Taint(const std::string& source, std::uint32_t version) {
    return Call<keymgr::v1::TaintObservationKeyResponse>(
               *one_, &Stub::TaintObservationKey, Asking<keymgr::v1::TaintObservationKeyRequest>(source, version))
        .status();
  }
  absl::Status Revoke(const std::string& source, std::uint32_t version) {
    return Call<keymgr::v1::RevokeObservationKeyResponse>(
               *one_, &Stub::RevokeObservationKey, Asking<keymgr::v1::RevokeObservationKeyRequest>(source, version))
        .status();
  }
  absl::StatusOr<keymgr::v1::ObservationKey> Get(const std::string& source) {
    keymgr::v1::GetObservationKeyRequest request;
    request.set_source(source);
    ASSIGN_OR_RETURN(auto response,
                     Call<keymgr::v1::GetObservationKeyResponse>(*one_, &Stub::GetObservationKey, request));
    return std::move(*response.mutable_key());
  }

  // That version as the manager has it, once `condition` holds of it; nothing after half a minute.
  using Version = keymgr::v1::ObservationKeyVersion;
  std::optional<Version> Await(const std::string& source, std::uint32_t version,
                               const std::function<bool(const Version&)>& condition) {
    std::optional<Version> found;
    WaitUntil(std::chrono::seconds(30), [&] {
      const auto key = Get(source);
      if (!key.ok()) return false;
      for (const Version& one : key->versions()) {
        if (one.version() == version && condition(one)) found = one;
      }
      return found.has_value();
    });
    return found;
  }
  // The whole way of a version into use: asked for, made, approved where nothing vouches for it, in a chain, activated.
  absl::StatusOr<std::uint32_t> Roll(const std::string& source, keymgr::v1::KeySuite suite, std::uint32_t first = 0,
                                     std::chrono::seconds sign_for = std::chrono::seconds(2),
                                     std::chrono::seconds accept_for = std::chrono::hours(1)) {
    ASSIGN_OR_RETURN(const std::uint32_t version, Prepare(source, suite, first));
    const auto made = Await(source, version, [](const Version&) { return true; });
    if (!made) return Unavailable("nobody made version {} of {}", version, source);
    if (made->state() == keymgr::v1::OBSERVATION_KEY_STATE_PENDING) RETURN_IF_ERROR(Approve(source, version));
    if (!Await(source, version, [](const Version& one) { return one.known_by_size() > 0; }))
      return Unavailable("no chain has version {} of {}", version, source);
    RETURN_IF_ERROR(Activate(source, version, sign_for, accept_for));
    return version;
  }

 private:
  template <typename Request>
  Request Asking(const std::string& source = "", std::uint32_t version = 0) {
    Request request;
    if constexpr (requires { request.set_source(source); }) request.set_source(source);
    if constexpr (requires { request.set_version(version); }) request.set_version(version);
    request.set_reason("a test");
    request.set_request_id(fmt::format("desk-{}", next_++));
    return request;
  }
  template <typename Response, typename Method, typename Request>
  static absl::StatusOr<Response> Call(Stub& stub, Method method, const Request& request) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    Response response;
    RETURN_IF_ERROR(service::FromGrpcStatus((stub.*method)(&context, request, &response)));
    return response;
  }

  const std::unique_ptr<Stub> one_, other_;
  static inline std::atomic<std::uint64_t> next_{1};  // of all desks: two managers may share a database
};

}  // namespace virp::testutil
