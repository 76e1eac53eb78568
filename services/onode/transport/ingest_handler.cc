#include "services/onode/transport/ingest_handler.h"

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/service/errors.h"

namespace virp::onode {
namespace {

constexpr std::uint32_t kProtocolVersion = 1;

}  // namespace

grpc::Status IngestHandler::Deliver(grpc::ServerContext* context, DeliverySession::Stream* stream) {
  return service::ToGrpcStatus(Serve(*context, *stream), "onode");
}

absl::Status IngestHandler::Serve(grpc::ServerContext& context, DeliverySession::Stream& stream) {
  ASSIGN_OR_RETURN(const service::Identity caller, callers_->Resolve(context));
  service::StreamGuard guard(*callers_, caller, &context);
  ingest::v1::DeliverRequest request;
  if (!stream.Read(&request) || !request.has_hello())
    return InvalidArgument("the first request of a delivery is a hello");
  const ingest::v1::Hello hello = request.hello();
  if (hello.protocol_version() != kProtocolVersion) {
    return InvalidField("hello.protocol_version",
                        fmt::format("{}; this O-Node speaks {}", hello.protocol_version(), kProtocolVersion));
  }
  const std::string identity = caller.spiffe_id;
  if (hello.deliverer() != identity) {
    return WithReason(PermissionDenied("the hello names {}, the certificate {}", hello.deliverer(), identity),
                      "NOT_THE_CERTIFICATE");
  }
  ASSIGN_OR_RETURN(Chain* const chain, node_.Find(hello.origin()));
  if (!hello.checkpoint().empty()) chain->Audit(hello.checkpoint());
  RETURN_IF_ERROR(chain->CheckLeading());
  DeliverySession session(*chain, identity, context, stream, guard, limits_, counters_);
  return session.Serve(hello);
}

}  // namespace virp::onode
