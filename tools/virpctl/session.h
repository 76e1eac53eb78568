// The way to an O-Node or a collector: an mTLS channel that accepts nobody but such a service of the trust domain, and
// calls with a deadline.
#pragma once

#include <google/protobuf/repeated_field.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>

#include "absl/status/statusor.h"
#include "lib/base/status.h"
#include "lib/service/errors.h"
#include "lib/service/identity.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

// InvalidArgument names the option that is missing; errors of the certificate files.
absl::Status CheckTls(const Connection& connection);
// By the map's file, else the default of the trust domain. Errors as service::LoadIdentities.
absl::StatusOr<std::shared_ptr<const service::IdentityMap>> IdentitiesOf(const Connection& connection);
// As CheckTls and IdentitiesOf.
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

// The same on a channel of its own: for commands that ask once.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Ask(const Connection& connection,
                             grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                             const Request& request) {
  ASSIGN_OR_RETURN(const auto channel, Connect(connection));
  Stub stub(channel);
  Response response;
  RETURN_IF_ERROR(Call(connection, stub, method, request, response));
  return response;
}

// Pages of a list as one answer, with at most `most` items; `items` is the answer's list, such as
// &Response::mutable_sources. Its next_page_token is not empty where there are more.
template <typename Stub, typename Request, typename Response, typename Item>
absl::StatusOr<Response> AskPages(const Connection& connection,
                                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                  Request request, google::protobuf::RepeatedPtrField<Item>* (Response::*items)(),
                                  std::uint32_t most = std::numeric_limits<std::uint32_t>::max()) {
  constexpr std::uint32_t kPage = 1'000;  // the most that services give at once
  ASSIGN_OR_RETURN(const auto channel, Connect(connection));
  Stub stub(channel);
  Response all;
  std::uint32_t left = most;
  do {
    request.set_page_size(static_cast<std::int32_t>(std::min(left, kPage)));
    Response page;
    RETURN_IF_ERROR(Call(connection, stub, method, request, page));
    for (Item& item : *(page.*items)()) {
      if (left == 0) break;
      *(all.*items)()->Add() = std::move(item);
      --left;
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && left > 0);
  all.set_next_page_token(request.page_token());
  return all;
}

}  // namespace virp::virpctl
