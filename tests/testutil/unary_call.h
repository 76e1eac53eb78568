// One unary call over a channel, with a deadline: the response, or the error as the service named it.
//
//   UnaryCall(channel, &v1::KeyAdminService::Stub::Seal, request)
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>

#include "absl/status/statusor.h"
#include "lib/service/errors.h"

namespace virp::testutil {

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> UnaryCall(const std::shared_ptr<grpc::Channel>& channel,
                                   grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                   const Request& request) {
  Stub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) return service::FromGrpcStatus(status);
  return response;
}

}  // namespace virp::testutil
