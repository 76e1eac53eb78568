// Status constructors with a format string, and bridges between std:: and Debian's Abseil, whose string_view is not
// std::string_view. Use these instead of absl::*Error so that messages can be built from std types.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace virp {

// The message of a status as a std type; valid as long as the status.
inline std::string_view Message(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

template <typename... Args>
absl::Status MakeStatus(absl::StatusCode code, fmt::format_string<Args...> format, Args&&... args) {
  return absl::Status(code, fmt::format(format, std::forward<Args>(args)...));
}

#define VIRP_STATUS_MAKER(NAME, CODE)                                               \
  template <typename... Args>                                                       \
  absl::Status NAME(fmt::format_string<Args...> format, Args&&... args) {           \
    return MakeStatus(absl::StatusCode::CODE, format, std::forward<Args>(args)...); \
  }
VIRP_STATUS_MAKER(InvalidArgument, kInvalidArgument)        // the caller's input is wrong, whatever the state
VIRP_STATUS_MAKER(OutOfRange, kOutOfRange)                  // beyond the end of what exists
VIRP_STATUS_MAKER(NotFound, kNotFound)                      // the named thing does not exist
VIRP_STATUS_MAKER(AlreadyExists, kAlreadyExists)            // a thing with that name, and other content, exists
VIRP_STATUS_MAKER(PermissionDenied, kPermissionDenied)      // this identity may not
VIRP_STATUS_MAKER(Unauthenticated, kUnauthenticated)        // no or no usable identity
VIRP_STATUS_MAKER(FailedPrecondition, kFailedPrecondition)  // wrong state; the same call fails until something is done
VIRP_STATUS_MAKER(Aborted, kAborted)                        // lost a race (fenced, etag); read again and retry
VIRP_STATUS_MAKER(ResourceExhausted, kResourceExhausted)    // a limit; retry after a delay
VIRP_STATUS_MAKER(Unavailable, kUnavailable)                // a dependency is down; retry
VIRP_STATUS_MAKER(DeadlineExceeded, kDeadlineExceeded)      // not in the time given
VIRP_STATUS_MAKER(DataLoss, kDataLoss)                      // stored bytes are not what was written
VIRP_STATUS_MAKER(Internal, kInternal)                      // a bug of ours
VIRP_STATUS_MAKER(Unknown, kUnknown)                        // outcome unknown: settle it by reading
#undef VIRP_STATUS_MAKER

// Puts "context: " in front of the message of a failed status; OK stays OK. Payloads are kept.
inline absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status out(status.code(), fmt::format("{}: {}", context, Message(status)));
  status.ForEachPayload([&](auto url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

// The same message and payloads under another code; OK stays OK.
inline absl::Status WithCode(const absl::Status& status, absl::StatusCode code) {
  if (status.ok()) return status;
  absl::Status out(code, status.message());
  status.ForEachPayload([&](auto url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

}  // namespace virp

#define VIRP_CONCAT_(a, b) a##b
#define VIRP_CONCAT(a, b) VIRP_CONCAT_(a, b)

// Returns the status from the enclosing function when the expression is not OK.
#define RETURN_IF_ERROR(expr)                    \
  do {                                           \
    ::absl::Status virp_status_ = (expr);        \
    if (!virp_status_.ok()) return virp_status_; \
  } while (false)

// ASSIGN_OR_RETURN(auto x, F()): moves the value out, or returns the status.
#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_(VIRP_CONCAT(virp_statusor_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_(var, lhs, expr) \
  auto var = (expr);                      \
  if (!var.ok()) return var.status();     \
  lhs = *std::move(var)
