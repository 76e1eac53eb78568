// Where a deliverer takes frames from: a durable, numbered log that somebody else fills. Spool is one, in files; a
// service whose frames live in its database is another.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/frame/frame.h"

namespace virp::deliver {

struct SpooledFrame {
  std::uint64_t number = 0;
  std::string source;
  std::uint64_t epoch = 0;
  frame::Spelling spelling = frame::Spelling::kV2;
  std::string bytes;
};

// Thread-safe.
class FrameLog {
 public:
  virtual ~FrameLog() = default;

  // Durable frames with numbers above `after`, in order, at most `frames` and `bytes`; owned copies.
  virtual absl::StatusOr<std::vector<SpooledFrame>> Read(std::uint64_t after, std::size_t frames,
                                                         std::size_t bytes) const = 0;
  // Waits until a durable frame with a number above `after` exists, or the deadline.
  virtual bool WaitFor(std::uint64_t after, std::chrono::steady_clock::time_point deadline) const = 0;
  // Everything up to `number` is provably in the chain.
  virtual absl::Status Free(std::uint64_t number) = 0;

  struct Ends {
    std::uint64_t first = 0;    // lowest number that is not freed; durable + 1 when all are
    std::uint64_t durable = 0;  // highest number of a frame that can be read; `first` - 1 when there is none
  };
  virtual Ends ends() const = 0;
};

}  // namespace virp::deliver
