// Statuses on the wire: absl::Status with the facts of lib/base/error_info.h to grpc::Status with google.rpc details,
// and back. Every error that leaves a service goes through ToGrpcStatus, so each has exactly one ErrorInfo.
// Thread-safe.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace virp::service {

// `service` is the first part of ErrorInfo.domain: "onode" gives "onode.virp". Reason: what SetReason said, else the
// code's name. Fields become BadRequest, a retry delay RetryInfo (ResourceExhausted has one always: a second).
//
// Causes stay inside: of Internal, Unknown and DataLoss, and of any status that Hide() was called for (as lib/store
// does), the text is replaced; it goes to the hidden-error sink under a random incident number, which is in the
// metadata under "incident", so that an operator finds one by the other. A reason set on such a status is kept.
//
// What is sent fits into the 8 KiB of metadata that a client takes: 512 bytes of message, 4 KiB of details (what does
// not fit is left out), all of it UTF-8.
grpc::Status ToGrpcStatus(const absl::Status& status, std::string_view service);

// The same as a serialized google.rpc.Status, for a stream's last message; and back. A text that is none is
// Unavailable.
std::string ToStatusProto(const absl::Status& status, std::string_view service);
absl::Status FromStatusProto(std::string_view serialized);

// Who hears of hidden causes: SetUpLogging sets it to write them to the log. Null for nobody.
using HiddenErrorSink = void (*)(const absl::Status& status, std::string_view service, std::string_view incident);
void SetHiddenErrorSink(HiddenErrorSink sink);

// The status that a peer sent, with reason, metadata, fields and delay restored. Codes are equal. A message that begins
// with a reason ("METHOD_DENIED: ...") gives it too, when there are no details.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace virp::service
