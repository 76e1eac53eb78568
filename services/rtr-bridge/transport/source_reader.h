// Reads a file or a URL and decodes what it says.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "services/rtr-bridge/domain/source_table.h"
#include "services/rtr-bridge/transport/source_options.h"

namespace virp::rtr_bridge {

// For one thread at a time.
class SourceReader {
 public:
  virtual ~SourceReader() = default;
  // The data; nothing when they are the same as at the last reading that was good. Any error leaves the last good data
  // in use: NotFound and the like for the file, those of http::HttpFetch::Get, InvalidArgument for what it says,
  // FailedPrecondition with reason TOO_OLD (also of data that are the same), Unauthenticated with reason BAD_SIGNATURE.
  // Cancelled once `stop` is set.
  virtual absl::StatusOr<std::optional<Reading>> Read(const std::atomic<bool>& stop) = 0;
  // Whether it is worth reading before its time: the file has changed.
  virtual bool Changed() { return false; }
};

// Whether data that were made then are young enough for `options`. FailedPrecondition with reason TOO_OLD, also when
// they were made more than an hour from now: a clock is wrong.
absl::Status CheckAge(const SourceOptions& options, UnixNanos built, UnixNanos now);

// InvalidArgument for a location or a key file that does not do. `clock` outlives it.
absl::StatusOr<std::unique_ptr<SourceReader>> MakeReader(const SourceOptions& options, const Clock& clock);

}  // namespace virp::rtr_bridge
