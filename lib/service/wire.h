// What all services say in the same words on the wire: times, and pages of lists. Thread-safe.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"

namespace virp::service {

google::protobuf::Timestamp TimestampOf(UnixNanos nanos);
// InvalidField when it is before the epoch or out of range.
absl::StatusOr<UnixNanos> NanosOf(const google::protobuf::Timestamp& time, std::string_view field);

// 0 gives the default of 100; more than 1,000 are cut to it; InvalidField when negative.
absl::StatusOr<std::size_t> PageSizeOf(std::int32_t asked);

// Page tokens: an opaque cursor, which is not empty, bound to the filter that it was made for. Reading gives an empty
// cursor for the empty token of a first page, InvalidField for anything that was not made for the filter.
std::string MakePageToken(std::string_view cursor, std::string_view filter);
absl::StatusOr<std::string> ReadPageToken(std::string_view token, std::string_view filter);

}  // namespace virp::service
