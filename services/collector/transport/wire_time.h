// Times as protobuf writes them.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "lib/base/clock.h"

namespace virp::collector {

inline google::protobuf::Timestamp WireTime(UnixNanos nanos) {
  constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;
  google::protobuf::Timestamp time;
  time.set_seconds(static_cast<std::int64_t>(nanos / kNanosPerSecond));
  time.set_nanos(static_cast<std::int32_t>(nanos % kNanosPerSecond));
  return time;
}

}  // namespace virp::collector
