#include "tests/testutil/every_role.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>

#include "lib/base/error_info.h"
#include "lib/service/errors.h"

namespace virp::testutil {
namespace {

constexpr std::string_view kLetIn = "let in", kDenied = "METHOD_DENIED";

grpc::Status Send(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                  const grpc::ByteBuffer& request) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return status;
}

// An empty request to any method: kLetIn, kDenied, or why it got to neither.
std::string Outcome(const std::shared_ptr<grpc::Channel>& channel, const std::string& method) {
  const grpc::Status status = Send(channel, method, grpc::ByteBuffer());
  const std::string reason = GetReason(service::FromGrpcStatus(status));
  if (status.error_code() == grpc::PERMISSION_DENIED && reason == kDenied) return std::string(kDenied);
  const bool reached = status.error_code() != grpc::UNIMPLEMENTED && status.error_code() != grpc::UNAUTHENTICATED &&
                       status.error_code() != grpc::DEADLINE_EXCEEDED && reason != kDenied;
  return reached ? std::string(kLetIn)
                 : fmt::format("error {} {}", static_cast<int>(status.error_code()), status.error_message());
}

}  // namespace

absl::Status EmptyCall(const std::shared_ptr<grpc::Channel>& channel, const std::string& method) {
  const grpc::Slice nothing;
  return service::FromGrpcStatus(Send(channel, method, grpc::ByteBuffer(&nothing, 1)));
}

std::vector<std::string> WrongRoles(TestPki& pki, const service::ServerRunner& server, service::Role server_role,
                                    const google::protobuf::ServiceDescriptor& service,
                                    const std::vector<service::MethodRule>& rows, const AllowedRoles& allowed) {
  std::vector<std::string> wrong;
  std::set<std::string> methods, with_rows;
  for (int i = 0; i < service.method_count(); ++i) methods.insert(std::string(service.method(i)->name()));
  const std::string prefix = fmt::format("/{}/", service.full_name());
  for (const service::MethodRule& row : rows) {
    const bool ours = row.method.starts_with(prefix) && methods.contains(std::string(row.method.substr(prefix.size())));
    if (!ours) wrong.push_back(fmt::format("{} has a row and is no method of {}", row.method, service.full_name()));
    if (!with_rows.insert(std::string(row.method)).second) wrong.push_back(fmt::format("{} has two rows", row.method));
  }
  for (const std::string& method : methods) {
    if (!with_rows.contains(prefix + method)) wrong.push_back(method + " has no row");
    if (!allowed.contains(method)) wrong.push_back(method + " is new: say who may call it");
  }
  for (const auto& [method, roles] : allowed) {
    if (!methods.contains(method)) wrong.push_back(method + " is no method any more");
  }
  methods.insert("Nonsense");
  for (const service::Role role : service::kAllRoles) {
    const auto channel = pki.Channel(server, role, "somebody", server_role);
    for (const std::string& method : methods) {
      const auto may = allowed.find(method);
      const std::string_view wanted = may != allowed.end() && may->second.contains(role) ? kLetIn : kDenied;
      const std::string got = Outcome(channel, prefix + method);
      if (got != wanted) wrong.push_back(fmt::format("{} by {}: {}; wanted {}", method, RoleName(role), got, wanted));
    }
  }
  return wrong;
}

void ExpectEveryRole(TestPki& pki, const service::ServerRunner& server, service::Role server_role,
                     const google::protobuf::ServiceDescriptor& service, const std::vector<service::MethodRule>& rows,
                     const AllowedRoles& allowed) {
  EXPECT_THAT(WrongRoles(pki, server, server_role, service, rows, allowed), testing::IsEmpty());
}

}  // namespace virp::testutil
