// Times between domain values and the API's messages.
#include "lib/base/error_info.h"
#include "services/onode/transport/wire.h"

namespace virp::onode {
namespace {

constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;
constexpr std::int64_t kMaxSeconds = 9'000'000'000;  // fits 64 bits of nanoseconds

}  // namespace

google::protobuf::Timestamp TimestampOf(UnixNanos nanos) {
  google::protobuf::Timestamp time;
  time.set_seconds(static_cast<std::int64_t>(nanos / kNanosPerSecond));
  time.set_nanos(static_cast<std::int32_t>(nanos % kNanosPerSecond));
  return time;
}

absl::StatusOr<UnixNanos> NanosOf(const google::protobuf::Timestamp& time, std::string_view field) {
  const bool fits = time.seconds() >= 0 && time.seconds() <= kMaxSeconds && time.nanos() >= 0 &&
                    time.nanos() < static_cast<std::int64_t>(kNanosPerSecond);
  if (!fits) return InvalidField(field, "is not a time between 1970 and 2255");
  return static_cast<UnixNanos>(time.seconds()) * kNanosPerSecond + static_cast<UnixNanos>(time.nanos());
}

}  // namespace virp::onode
