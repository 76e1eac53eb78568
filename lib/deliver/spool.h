// A durable, ordered log of frames between the moment they exist and the moment the O-Node's chain provably holds them
// (docs/formats/spool.md). Segmented files of checksummed records; used by collector, key manager and RTR bridge.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/deliver/frame_log.h"
#include "lib/frame/frame.h"

namespace virp::deliver {

// One thing that was spooled. Records other than frames carry what the owner needs to rebuild its state on replay
// (request ids, table resets ...); they are never delivered.
struct Record {
  enum class Kind : std::uint8_t { kFrame = 1, kNote = 2 };
  Kind kind = Kind::kFrame;
  std::uint64_t number = 0;  // delivery number: 1, 2, 3 ... over the spool's whole life, notes included
  std::string_view source;   // source name; of a note: the owner's tag
  std::uint64_t epoch = 0;   // the frame's run or boot epoch
  frame::Spelling spelling = frame::Spelling::kV2;
  std::string_view bytes;  // frame, or the note's content
};

struct SpoolOptions {
  std::string directory;  // created 0700
  std::uint64_t max_bytes = 1ULL << 30;
  std::uint64_t segment_bytes = 64ULL << 20;
  const Clock* clock = nullptr;  // for CheckAlive; null is the system's. Outlives the spool
};

struct SpoolStats {
  std::uint64_t first = 0;    // lowest number that is not freed; last + 1 when all are
  std::uint64_t last = 0;     // highest number given
  std::uint64_t durable = 0;  // highest number that is fsynced
  // The same of frames alone, behind which there may be notes of the owner; `first` - 1 when no frame is left.
  std::uint64_t last_frame = 0, durable_frame = 0;
  std::uint64_t bytes = 0;  // on disk
  std::uint64_t limit = 0;
  bool full = false;  // the newest append was refused for want of room
};

// Thread-safe. Append from any thread; one group fsync serves all that wait.
class Spool final : public FrameLog {
 public:
  // Called on Open for the owner's snapshot (once, may be empty) and then for every record behind it, in order.
  struct Replay {
    std::function<absl::Status(std::string_view snapshot)> snapshot;
    std::function<absl::Status(const Record& record)> record;
  };

  // Recovers: a torn tail of the last segment is cut at the last whole record; a bad checksum before that is DataLoss.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(SpoolOptions options, const Replay& replay);
  ~Spool() override;

  // Appends all records or none, in order, also over a crash; the number of the first. Not durable yet.
  // ResourceExhausted with reason SPOOL_FULL when the bound is reached, and when the disk is full: nothing was taken
  // then.
  absl::StatusOr<std::uint64_t> Append(const std::vector<Record>& records);
  // Waits until every record up to `number` is fsynced. Once it failed, the spool refuses everything until it is opened
  // again: what fsync did with the pages is not known. Open writes them again.
  absl::Status Sync(std::uint64_t number);

  using SpooledFrame = deliver::SpooledFrame;
  absl::StatusOr<std::vector<SpooledFrame>> Read(std::uint64_t after, std::size_t frames,
                                                 std::size_t bytes) const override;
  bool WaitFor(std::uint64_t after, std::chrono::steady_clock::time_point deadline) const override;

  // Everything up to `number` may go; files go as soon as the owner's snapshot is behind them, too.
  absl::Status Free(std::uint64_t number) override;
  Ends ends() const override {
    const SpoolStats now = stats();
    return {now.first, now.durable_frame};
  }

  // Keeps the owner's state as of `number`, durably; replay starts behind it from now on.
  absl::Status WriteSnapshot(std::uint64_t number, std::string_view snapshot);

  SpoolStats stats() const;
  // Why nothing is taken any more, whatever becomes of the room: a failed fsync, see Sync. Only Open helps.
  absl::Status problem() const;
  // Unavailable while an append or an fsync does not come back (lib/base/pulse.h). Takes no lock.
  absl::Status CheckAlive() const;

 private:
  struct Impl;
  explicit Spool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::deliver
