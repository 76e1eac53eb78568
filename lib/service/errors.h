// Statuses on the wire: absl::Status with the facts of lib/base/error_info.h to grpc::Status with google.rpc details, and
// back. Every error that leaves a service goes through ToGrpcStatus, so each has exactly one ErrorInfo. Thread-safe.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace virp::service {

// `service` is the first part of ErrorInfo.domain: "onode" gives "onode.virp". Reason: what SetReason said, else the code's name.
// Fields become BadRequest, a retry delay RetryInfo. Internal and Unknown errors keep their code and lose their text, which is for
// our log (the caller logs it) and not for the peer.
grpc::Status ToGrpcStatus(const absl::Status& status, std::string_view service);

// The same as a serialized google.rpc.Status, for a stream's last message; and back. A text that is none is Unavailable.
std::string ToStatusProto(const absl::Status& status, std::string_view service);
absl::Status FromStatusProto(std::string_view serialized);

// The status that a peer sent, with reason, metadata, fields and delay restored. Codes are equal.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace virp::service
