// What both back ends refuse before they touch a database, and the numbers they share. Thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "services/onode/domain/chain_store.h"

namespace virp::onode {

inline constexpr std::size_t kMaxBatchRows = 4'096;
inline constexpr std::size_t kMaxReadBytes = 16 * 1024 * 1024;  // entry or frame bytes that one call returns
inline constexpr std::size_t kMaxReadRows = 1'048'576;          // hashes or sequences that one call returns
inline constexpr std::size_t kMaxQuarantinedFrame = 1024 * 1024;
inline constexpr std::uint64_t kQuarantineFrames = 1'000;  // per path
inline constexpr std::uint64_t kQuarantineBytes = 16 * 1024 * 1024;
inline constexpr std::chrono::hours kMaxLease{24};
inline constexpr std::uint64_t kMaxSequence = (std::uint64_t{1} << 63) - 1;

// Fills a vector of rows anew and uses the memory of those that it held.
class RowSink {
 public:
  explicit RowSink(std::vector<EntryRow>& rows) : rows_(rows) {}
  ~RowSink() { rows_.resize(used_); }
  RowSink(const RowSink&) = delete;
  RowSink& operator=(const RowSink&) = delete;

  std::size_t size() const { return used_; }
  const EntryRow& back() const { return rows_[used_ - 1]; }
  // The next row, with whatever it held before.
  EntryRow& Next() {
    if (used_ == rows_.size()) rows_.emplace_back();
    return rows_[used_++];
  }
  void TakeBack() { --used_; }  // the row that Next() gave

 private:
  std::vector<EntryRow>& rows_;
  std::size_t used_ = 0;
};

// Both databases have signed integers: the same 64 bits, there and back.
inline std::int64_t ToSigned(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}
inline std::uint64_t ToUnsigned(std::int64_t value) {
  return static_cast<std::uint64_t>(value);
}

// InvalidArgument unless the batch holds 1 to 4,096 rows that continue `old_size` without a hole, entries of at most
// 65,535 bytes, a new head that is the last row's leaf hash, a frontier of popcount(new size) hashes and full tiles.
// Hashes are not recomputed: the chain's code made them, and reads check them.
absl::Status CheckBatch(const AppendBatch& batch);

absl::Status CheckLease(std::string_view instance, std::string_view address, std::chrono::milliseconds duration);
absl::Status CheckLeaseDuration(std::chrono::milliseconds duration);
absl::Status CheckSize(std::uint64_t size);  // of a tree: at most 2^63 - 1
absl::Status CheckNote(std::string_view note);
absl::Status CheckQuarantined(const QuarantinedFrame& frame);
absl::Status CheckReadCount(std::size_t count);
absl::Status CheckNumbers(const std::vector<FrameNumber>& numbers);

absl::Status NoSuchChain(ChainId chain);
absl::Status Fenced(ChainId chain, std::uint64_t term);
absl::Status LeaseHeld(ChainId chain, std::string_view holder);
absl::Status AnotherRoot(ChainId chain, std::uint64_t size);
absl::Status BeyondHead(ChainId chain, std::uint64_t size);
absl::Status NoIntent(ChainId chain, std::uint64_t size);
absl::Status MissingLeaves(ChainId chain, std::uint64_t first, std::size_t count);
// A batch that the database's own rules refused, although the head was the right one.
absl::Status DoesNotFit(ChainId chain, const absl::Status& refused);
absl::Status OpenedReadOnly();

}  // namespace virp::onode
