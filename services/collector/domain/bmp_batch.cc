#include "services/collector/domain/bmp_batch.h"

#include <chrono>
#include <thread>

#include "lib/base/status.h"

namespace virp::collector {
namespace {

constexpr std::chrono::milliseconds kRetry{20};

}  // namespace

BmpBatch::BmpBatch(BmpTables& tables, deliver::Outbox& outbox, const std::atomic<bool>& stopping)
    : tables_(tables), outbox_(outbox), stopping_(stopping) {
  for (const std::string& source : tables.names()) epochs_[source] = outbox.signing(source).epoch;
}

deliver::Observation& BmpBatch::Add(std::string_view source) {
  OwedBatch& owed = tables_.owed();
  if (!owed.empty()) bytes_ += owed[owed.size() - 1].observation.payload.size();
  // Told to stop, it keeps what is left of the message at hand.
  if (owed.size() >= kBmpBatch || bytes_ >= kBmpBatchBytes) (void)Flush();
  OwedObservation& item = owed.Add();
  item.source = tables_.NameOf(source);
  return item.observation;
}

deliver::Position BmpBatch::Next(std::string_view source) const {
  deliver::Position next = outbox_.signing(source);
  ++next.last_sequence;  // what is owed may be folded and then has no number, so it does not count
  return next;
}

absl::Status BmpBatch::Flush() {
  absl::Status done = TryFlush();
  while (!done.ok() && !stopping_) {
    paused_ = true;
    problem_ = done;
    WaitUnlocked();
    done = TryFlush();
  }
  return done;
}

// The lock is given up: tables and what is owed agree, so a snapshot may be taken, and status read.
void BmpBatch::WaitUnlocked() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  tables_.mutex().unlock();
  std::this_thread::sleep_for(kRetry);
  tables_.mutex().lock();
}

absl::Status BmpBatch::TryFlush() {
  OwedBatch& owed = tables_.owed();
  if (owed.empty()) return absl::OkStatus();
  items_.clear();
  for (std::size_t i = 0; i < owed.size(); ++i) items_.push_back({*owed[i].source, &owed[i].observation});
  const auto emitted = outbox_.Emit(items_);
  if (absl::IsAborted(emitted.status())) {
    // A new epoch: what is bound to the old one is void, and is said again with all else.
    opened_.merge(owed.DropBound());
    return TryFlush();
  }
  RETURN_IF_ERROR(emitted.status());
  const std::vector<deliver::Receipt>& receipts = *emitted;
  last_number_ = receipts.back().number;
  for (std::size_t i = 0; i < receipts.size(); ++i) {
    if (i == 0 || owed[i].source != owed[i - 1].source || receipts[i].epoch != receipts[i - 1].epoch) {
      NoteEpoch(*owed[i].source, receipts[i].epoch);
    }
  }
  owed.Clear();
  bytes_ = 0;
  return absl::OkStatus();
}

void BmpBatch::NoteEpochs() {
  for (const std::string& source : tables_.names()) NoteEpoch(source, outbox_.signing(source).epoch);
}

// What was said in an epoch that is over has to be said again, but for a source that had none before.
void BmpBatch::NoteEpoch(const std::string& source, std::uint64_t epoch) {
  const std::uint64_t before = std::exchange(epochs_[source], epoch);
  if (before != 0 && before != epoch) opened_.insert(source);
}

}  // namespace virp::collector
