// The way to an O-Node: an mTLS channel that accepts nobody but an O-Node of the trust domain, and calls with a
// deadline.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>

#include "absl/status/statusor.h"
#include "lib/service/errors.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

// InvalidArgument names the option that is missing; errors of the certificate files.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const Connection& connection);

// One unary call, such as Call(connection, *stub, &Stub::GetChain, request, response).
template <typename Stub, typename Request, typename Response>
absl::Status Call(const Connection& connection, Stub& stub,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), const Request& request,
                  Response& response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + connection.timeout);
  return service::FromGrpcStatus((stub.*method)(&context, request, &response));
}

}  // namespace virp::virpctl
