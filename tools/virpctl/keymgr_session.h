// What commands about keys of a key manager have in common.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/time_util.h"
#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/random.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"

namespace virp::virpctl {

inline Connection ToKeymgr(const Options& options) {
  Connection to = options.connection;
  to.onode = options.keymgr;
  to.to_keymgr = true;
  return to;
}

// `given`, or random, so that a repeat by hand is a new change unless --request-id says otherwise.
inline std::string RequestId(const std::string& given) {
  return given.empty() ? HexEncode(crypto::RandomBytes(16)) : given;
}

// A change, with what all of them say: why, and which one it is, so that it can be repeated.
template <typename Request, typename From>
Request Change(const From& from) {
  Request request;
  request.set_reason(from.reason);
  request.set_request_id(RequestId(from.request_id));
  return request;
}

// An answer in JSON, or as `text` tells it to people.
template <typename Response, typename Text>
absl::StatusOr<Exit> Show(const Options& options, const absl::StatusOr<Response>& response, const Text& text) {
  RETURN_IF_ERROR(response.status());
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(*response));
  } else {
    Print(text(*response));
  }
  return Exit::kYes;
}

inline absl::StatusOr<google::protobuf::Timestamp> TimestampIn(const std::string& text, std::string_view option) {
  google::protobuf::Timestamp time;
  if (!google::protobuf::util::TimeUtil::FromString(text, &time))
    return InvalidArgument("{}: '{}' is no time such as 2026-12-01T06:00:00Z", option, text);
  return time;
}

}  // namespace virp::virpctl
