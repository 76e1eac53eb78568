// Checkpoints: what is signed was read back from the store and recomputed, and its intent was committed first, so that
// two roots for one size can never be signed.
#include <algorithm>

#include "lib/base/status.h"
#include "services/onode/domain/chain.h"

namespace virp::onode {
namespace {

constexpr std::uint64_t kReadBackAtOnce = 512;  // entries

}  // namespace

// What was committed is read back as it comes, whoever leads. So a checkpoint finds little left to do, where thousands
// of entries in one go would take a core from the commits, and who takes over can sign at once.
void Chain::RunCheckpoints(const std::stop_token& stop) {
  using Steady = std::chrono::steady_clock;
  const AtWork work(checkpointing_);
  auto next = Steady::now() + options_.checkpoint_interval;
  bool hurries = false;  // who could not read back or sign waits the interval, however much there is to do
  while (!stop.stop_requested()) {
    bool sign = false;
    {
      const AtRest rest(checkpointing_);  // the interval may be any
      const MutexLock lock(mutex_);
      checkpointer_due_.wait_until(mutex_, next, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        checkpointer_due_at_ =
            hurries ? std::min(read_back_.size() + kReadBackAtOnce, CheckpointDueAt()) : ~std::uint64_t{0};
        return stop.stop_requested() || size() >= checkpointer_due_at_;
      });
      sign = leading() && (Steady::now() >= next || size() >= CheckpointDueAt());
    }
    if (sign || Steady::now() >= next) next = Steady::now() + options_.checkpoint_interval;
    if (!frozen().empty()) continue;
    const absl::Status done = sign ? MakeCheckpoint() : ReadBack(size());
    if (absl::IsDataLoss(done)) Freeze(std::string(Message(done)));
    hurries = done.ok();
    if (!sign && done.ok()) continue;
    const MutexLock lock(mutex_);
    checkpoint_problem_ = done.ok() ? "" : std::string(Message(done));
  }
}

// Only a leader signs. While the sequencer drains, whatever is uncovered is signed at once: no later beat will do it.
std::uint64_t Chain::CheckpointDueAt() const {
  const std::uint64_t covered = checkpoint_ ? checkpoint_->size : 0;
  return leading() ? covered + (stopping_ ? 1 : options_.checkpoint_entries) : ~std::uint64_t{0};
}

absl::Status Chain::ReadBack(std::uint64_t target) {
  while (read_back_.size() < target) {
    checkpointing_.Beat();
    const std::uint64_t first = read_back_.size();
    RETURN_IF_ERROR(
        store_.ReadEntriesInto(info_.id, first, std::min(kReadBackAtOnce, target - first), read_back_rows_));
    if (read_back_rows_.empty()) return DataLoss("TAIL_MISSING: entry {} was committed and is not in the store", first);
    for (const EntryRow& row : read_back_rows_) {
      const std::uint64_t at = read_back_.size();
      const auto entry = chain::DecodeEntry(row.bytes);
      const bool linked = entry.ok() && entry->header.previous == read_back_head_ && entry->header.sequence == at;
      if (!linked) return DataLoss("PREVIOUS_HASH at entry {}: the store no longer holds what was committed", at);
      const Hash leaf = chain::LeafHash(row.bytes);
      if (leaf != row.leaf) return DataLoss("LEAF_HASH at entry {}: the store no longer holds what was committed", at);
      read_back_.Append(leaf);
      read_back_head_ = leaf;
    }
  }
  return absl::OkStatus();
}

absl::Status Chain::MakeCheckpoint() {
  const std::uint64_t term = term_.load();
  const auto [target, root] = Read([](const ChainState& state) { return std::pair{state.size, state.root}; });
  RETURN_IF_ERROR(ReadBack(target));
  if (read_back_.Root() != root)
    return DataLoss("CHECKPOINT_ROOT: entries up to {} read back differ from what was committed", target);
  // One size has one note: that of the leader before, when nothing came since.
  if (const auto known = latest_checkpoint(); known && known->size == target) return absl::OkStatus();

  RETURN_IF_ERROR(store_.PutCheckpointIntent(info_.id, term, target, root));
  ASSIGN_OR_RETURN(const std::string note, vault_.Sign({info_.origin, target, root}));
  RETURN_IF_ERROR(vault_.Keep(note));
  RETURN_IF_ERROR(store_.PutCheckpointNote(info_.id, target, note));
  RETURN_IF_ERROR(ActivateCovered(target));
  ++counters_.checkpoints;
  {
    const MutexLock lock(mutex_);
    checkpoint_ = StoredCheckpoint{target, root, note};
  }
  changed_.notify_all();
  return absl::OkStatus();
}

absl::StatusOr<RolledKey> Chain::RollCheckpointKey(const std::string& request_id, std::string_view by,
                                                   std::string_view reason,
                                                   std::chrono::steady_clock::time_point deadline) {
  const auto find = [&](const ChainState& state) -> std::optional<RolledKey> {
    for (const RolledKey& roll : state.rolled) {
      if (roll.request_id == request_id) return roll;
    }
    return std::nullopt;
  };
  RETURN_IF_ERROR(CheckLeading());
  std::optional<RolledKey> roll = Read(find);
  if (!roll) {
    // One roll at a time: the one before it is covered, and its key signs, before the next key is chosen.
    RETURN_IF_ERROR(WaitForCheckpoint(size(), deadline).status());
    ASSIGN_OR_RETURN(const chain::VerifierKey next, vault_.NextKey());
    const auto decide = [payload = BuildRoll(next, by, reason, request_id)](const chain::SourceBook&) {
      return absl::StatusOr<std::vector<OwnEntry>>({{frame::Type::kForeignCheckpoint, frame::Tier::kGreen, payload}});
    };
    RETURN_IF_ERROR(Mutate(request_id, decide, deadline - std::chrono::steady_clock::now()).status());
    roll = Read(find);
    if (!roll) return AlreadyExists("request_id {} is another change's; make a new one for each", request_id);
  }
  RETURN_IF_ERROR(WaitForCheckpoint(roll->entry + 1, deadline).status());
  return *std::move(roll);
}

}  // namespace virp::onode
