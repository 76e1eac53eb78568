// From an RPC to a Call of the ledger: who calls comes from the certificate, why and the idempotency key from the
// request.
#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/server_context.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/service/caller.h"
#include "lib/service/errors.h"
#include "services/keymgr/domain/audit_frame.h"
#include "services/keymgr/domain/ledger.h"

namespace virp::keymgr {

inline grpc::Status Reply(const absl::Status& status) {
  return service::ToGrpcStatus(status, "keymgr");
}

// For a request with the fields `request_id` and `reason`, both required. `method` is the RPC's full name without the
// slash in front. InvalidArgument names the field.
template <typename Request>
absl::StatusOr<Call> CallOf(const service::CallerResolver& callers, const grpc::ServerContextBase& context,
                            std::string_view method, const Request& request) {
  if (request.request_id().empty()) return InvalidField("request_id", "is empty; make a new UUID for each change");
  ASSIGN_OR_RETURN(const service::Identity caller, callers.Resolve(context));
  Call call;
  call.actor = caller.break_glass ? "break-glass" : caller.spiffe_id;
  call.method = method;
  call.reason = request.reason();
  call.request_id = request.request_id();
  call.digest = crypto::Sha256({method, "\n", request.SerializeAsString()});
  RETURN_IF_ERROR(CheckCall(call));
  return call;
}

}  // namespace virp::keymgr
