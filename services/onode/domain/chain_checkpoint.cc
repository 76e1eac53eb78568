// Checkpoints: what is signed was read back from the store and recomputed, and its intent was committed first, so that
// two roots for one size can never be signed.
#include <algorithm>

#include "lib/base/status.h"
#include "services/onode/domain/chain.h"

namespace virp::onode {
namespace {

constexpr std::size_t kRowsAtOnce = 1'024;

}  // namespace

void Chain::RunCheckpoints(const std::stop_token& stop) {
  const AtWork work(checkpointing_);
  bool hurries = false;  // one that does not lead, or could not sign, waits the interval however much is uncovered
  while (!stop.stop_requested()) {
    {
      const AtRest rest(checkpointing_);  // the interval may be any
      const MutexLock lock(mutex_);
      changed_.wait_for(mutex_, options_.checkpoint_interval, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        const std::uint64_t covered = checkpoint_ ? checkpoint_->size : 0;
        // While the sequencer drains, whatever is uncovered is signed at once: no later beat will do it.
        const std::uint64_t due = covered + (stopping_ ? 1 : options_.checkpoint_entries);
        return stop.stop_requested() || (hurries && size() >= due);
      });
    }
    hurries = leading() && frozen().empty();
    if (!hurries) continue;
    const absl::Status made = MakeCheckpoint();
    if (absl::IsDataLoss(made)) Freeze(std::string(Message(made)));
    hurries = made.ok();
    const MutexLock lock(mutex_);
    checkpoint_problem_ = made.ok() ? "" : std::string(Message(made));
  }
}

absl::Status Chain::MakeCheckpoint() {
  const std::uint64_t term = term_.load();
  const auto [target, root] = Read([](const ChainState& state) { return std::pair{state.size, state.root}; });
  if (target == checkpointed_.size()) return absl::OkStatus();
  // One size has one note: that of the leader before, when nothing came since.
  if (const auto known = latest_checkpoint(); known && known->size == target) return absl::OkStatus();

  chain::Frontier frontier = checkpointed_;
  Hash head = checkpointed_head_;
  while (frontier.size() < target) {
    checkpointing_.Beat();
    const std::uint64_t first = frontier.size();
    ASSIGN_OR_RETURN(const auto rows,
                     store_.ReadEntries(info_.id, first, std::min<std::uint64_t>(kRowsAtOnce, target - first)));
    if (rows.empty()) return DataLoss("TAIL_MISSING: entry {} was committed and is not in the store", first);
    for (const EntryRow& row : rows) {
      const auto entry = chain::DecodeEntry(row.bytes);
      const bool linked = entry.ok() && entry->header.previous == head && entry->header.sequence == frontier.size();
      if (!linked)
        return DataLoss("PREVIOUS_HASH at entry {}: the store no longer holds what was committed", frontier.size());
      head = chain::LeafHash(row.bytes);
      if (head != row.leaf)
        return DataLoss("LEAF_HASH at entry {}: the store no longer holds what was committed", frontier.size());
      frontier.Append(head);
    }
  }
  if (frontier.Root() != root)
    return DataLoss("CHECKPOINT_ROOT: entries up to {} read back differ from what was committed", target);

  RETURN_IF_ERROR(store_.PutCheckpointIntent(info_.id, term, target, root));
  ASSIGN_OR_RETURN(const std::string note, vault_.Sign({info_.origin, target, root}));
  RETURN_IF_ERROR(vault_.Keep(note));
  RETURN_IF_ERROR(store_.PutCheckpointNote(info_.id, target, note));
  RETURN_IF_ERROR(ActivateCovered(target));
  checkpointed_head_ = head;
  ++counters_.checkpoints;
  {
    const MutexLock lock(mutex_);
    checkpointed_ = std::move(frontier);
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
