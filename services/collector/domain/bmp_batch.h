// Takes the observations of all routers to the outbox, a few hundred at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/deliver/outbox.h"
#include "services/collector/domain/bmp_router.h"
#include "services/collector/domain/bmp_table.h"

namespace virp::collector {

inline constexpr std::size_t kBmpBatch = 256;
inline constexpr std::size_t kBmpBatchBytes = std::size_t{1} << 20;

// Not thread-safe: all calls under the tables' lock, which Flush gives up while it waits. What it is given outlives it.
class BmpBatch final : public BmpOutput {
 public:
  // `stopping` ends waits.
  BmpBatch(BmpTables& tables, deliver::Outbox& outbox, const std::atomic<bool>& stopping);

  // Spools what is there when the batch is full. `source` must be one of the tables' names.
  deliver::Observation& Add(std::string_view source) override;
  deliver::Position Next(std::string_view source) const override;

  // Spools everything; waits while the outbox refuses. The error of the last try when it was told to stop: what is owed
  // stays owed, and is part of the next snapshot.
  absl::Status Flush();

  // Looks for epochs that others' frames opened (RouteFold states routes of these sources): now and then.
  void NoteEpochs();

  std::uint64_t last_number() const { return last_number_; }  // of the spool: to be synced
  // True once after a wait: nothing was read meanwhile.
  bool TakePaused() { return std::exchange(paused_, false); }
  const absl::Status& problem() const { return problem_; }  // why the last wait was
  // Sources for which a new epoch was opened since the last call.
  // Noticed by Flush and NoteEpochs.
  std::set<std::string> TakeOpenedEpochs() { return std::exchange(opened_, {}); }

 private:
  absl::Status TryFlush();
  void NoteEpoch(const std::string& source, std::uint64_t epoch);
  void WaitUnlocked() const;

  BmpTables& tables_;
  deliver::Outbox& outbox_;
  const std::atomic<bool>& stopping_;
  std::vector<deliver::Outbox::Item> items_;
  std::size_t bytes_ = 0;
  std::uint64_t last_number_ = 0;
  bool paused_ = false;
  absl::Status problem_;
  std::map<std::string, std::uint64_t> epochs_;
  std::set<std::string> opened_;
};

}  // namespace virp::collector
