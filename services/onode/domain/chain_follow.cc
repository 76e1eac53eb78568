// Start-up and following: everything that was not committed by this process is checked before it counts.
#include <algorithm>

#include "lib/base/status.h"
#include "services/onode/domain/chain.h"

namespace virp::onode {
namespace {

constexpr std::size_t kRowsAtOnce = 1'024;

}  // namespace

// The largest checkpoint that anyone kept: the store's newest, and the one beside it. What counts is what a verified
// note says: the row around it is as easily changed as any other. NotFound when only keys that are not known yet signed
// one.
absl::StatusOr<std::optional<StoredCheckpoint>> Chain::LargestKnown() {
  const std::vector<chain::VerifierKey> keys = vault_.Verifiers();
  std::optional<StoredCheckpoint> largest;
  absl::Status unknown;
  const auto consider = [&](const std::string& note) {
    const auto opened = chain::OpenCheckpoint(note, keys);
    if (absl::IsNotFound(opened.status())) {
      unknown = opened.status();
    } else if (!opened.ok()) {
      Freeze(fmt::format("CHECKPOINT_SIGNATURE: the largest checkpoint does not verify: {}", Message(opened.status())));
    } else if (!largest || opened->size > largest->size) {
      largest = StoredCheckpoint{opened->size, opened->root, note};
    }
  };
  if (auto stored = store_.LatestCheckpoint(info_.id); stored.ok()) {
    consider(stored->note);
  } else if (!absl::IsNotFound(stored.status())) {
    return stored.status();
  }
  if (auto kept = vault_.Largest(); !kept.ok()) {
    Freeze(fmt::format("the checkpoint beside the database cannot be used: {}", Message(kept.status())));
  } else if (*kept) {
    consider(**kept);
  }
  RETURN_IF_ERROR(unknown);
  return largest;
}

absl::Status Chain::CheckOwnKey(const chain::SourceBook& book) const {
  if (own_keys_.empty() || book.size() == 0) return absl::OkStatus();  // this O-Node only reads, or the chain is new
  const auto self = book.FindByName(info_.origin);
  bool known = false;
  for (const OwnKey& own : own_keys_) {
    if (self == nullptr) break;
    const auto named = self->keys.find(own.version);
    if (named == self->keys.end()) continue;
    known = named->second.statement.public_key == own.key->public_key();
    if (!known) break;
  }
  if (known) return absl::OkStatus();
  return DataLoss(
      "SOURCE_RULES at entry 0: the chain's own key is none of those that this O-Node holds; name its folder with "
      "--own-key, or this is "
      "another chain's store");
}

absl::Status Chain::Load() {
  ASSIGN_OR_RETURN(const ChainHead head, store_.ReadHead(info_.id));
  const auto known = LargestKnown();
  const bool signed_by_unknown = absl::IsNotFound(known.status());
  if (!signed_by_unknown) RETURN_IF_ERROR(known.status());
  const std::optional<StoredCheckpoint> largest = signed_by_unknown ? std::nullopt : *known;
  std::uint64_t signed_size = 0;
  if (largest && largest->size > head.size) {
    Freeze(fmt::format("TAIL_MISSING: a checkpoint of {} entries is known, the store ends at {}", largest->size,
                       head.size));
  } else if (largest) {
    signed_size = largest->size;
  }

  // Up to the checkpoint hashes are enough, since its root is signed; behind it tags are checked, too.
  absl::Status walked = ApplyUpTo(signed_size, /*check_tags=*/false);
  if (walked.ok() && signed_size > 0) {
    const bool fits = Read([&](const ChainState& state) { return state.root == largest->root; });
    if (!fits) walked = DataLoss("CHECKPOINT_ROOT: the root at size {} is not the signed one", signed_size);
  }
  if (walked.ok() && signed_size > 0) {
    read_back_ = tree_->Edge().frontier();
    read_back_head_ = Read([](const ChainState& state) { return state.head; });
    const MutexLock lock(mutex_);
    checkpoint_ = largest;
  }
  if (walked.ok()) walked = ApplyUpTo(head.size, /*check_tags=*/true);
  if (walked.ok()) {
    const bool fits = Read([&](const ChainState& state) { return state.head == head.head; });
    if (!fits) walked = DataLoss("the store's head is not the leaf hash of its newest entry");
  }
  if (walked.ok()) walked = signed_by_unknown ? LoadSignedByUnknown() : ActivateCovered(signed_size);
  if (absl::IsDataLoss(walked)) {
    Freeze(std::string(Message(walked)));  // it answers, says so in every answer, and appends nothing
    return absl::OkStatus();
  }
  return walked;
}

// The chain rolled its checkpoint key since this replica was last here, to keys that it does not have. The entries and
// the checkpoints that cover them say which, from a key that it has on.
absl::Status Chain::LoadSignedByUnknown() {
  RETURN_IF_ERROR(LearnKeys());
  const auto largest = LargestKnown();
  if (absl::IsNotFound(largest.status())) {
    return DataLoss("CHECKPOINT_SIGNATURE: the largest checkpoint does not verify: {}", Message(largest.status()));
  }
  RETURN_IF_ERROR(largest.status());
  if (!*largest) return absl::OkStatus();
  if ((*largest)->size > size()) {
    return DataLoss("TAIL_MISSING: a checkpoint of {} entries is known, the store ends at {}", (*largest)->size,
                    size());
  }
  RETURN_IF_ERROR(CheckExtends({info_.origin, (*largest)->size, (*largest)->root}));
  RETURN_IF_ERROR(ActivateCovered((*largest)->size));
  const MutexLock lock(mutex_);
  checkpoint_ = *largest;
  return absl::OkStatus();
}

// What rolls the checkpoint key counts from the first checkpoint on that covers it, which keys before it signed.
absl::Status Chain::ActivateCovered(std::uint64_t size) {
  std::vector<chain::VerifierKey> keys;
  Read([&](const ChainState& state) {
    for (const RolledKey& roll : state.rolled) {
      if (roll.entry < size) keys.push_back(roll.key);
    }
  });
  return keys.empty() ? absl::OkStatus() : vault_.Activate(keys);
}

// Roll by roll, as far as the stored checkpoints lead.
absl::Status Chain::LearnKeys() {
  static_cast<void>(vault_.Refresh());  // the keys that were there stay
  for (const RolledKey& roll : Read([](const ChainState& state) { return state.rolled; })) {
    const auto known = vault_.Known();
    if (std::find(known.begin(), known.end(), roll.key) != known.end()) continue;
    const auto stored = store_.CheckpointAtOrAfter(info_.id, roll.entry + 1);
    if (absl::IsNotFound(stored.status())) return absl::OkStatus();
    RETURN_IF_ERROR(stored.status());
    const auto opened = chain::OpenCheckpoint(stored->note, vault_.Verifiers());
    if (!opened.ok() || opened->size > size()) return absl::OkStatus();  // whoever asked says that it does not verify
    RETURN_IF_ERROR(CheckExtends(*opened));
    RETURN_IF_ERROR(ActivateCovered(opened->size));
  }
  return absl::OkStatus();
}

absl::Status Chain::CheckExtends(const chain::Checkpoint& checkpoint) const {
  const auto [now_size, root] = Read([](const ChainState& state) { return std::pair{state.size, state.root}; });
  ASSIGN_OR_RETURN(const auto proof, tree_->Consistency(checkpoint.size, now_size));
  if (chain::VerifyConsistency(checkpoint.size, checkpoint.root, now_size, root, proof).ok()) return absl::OkStatus();
  return DataLoss("CHECKPOINT_ROOT: the signed root at size {} is not that of the entries", checkpoint.size);
}

absl::Status Chain::ApplyUpTo(std::uint64_t to, bool check_tags) {
  while (size() < to) {
    sequencing_.Beat();
    ASSIGN_OR_RETURN(const auto rows,
                     store_.ReadEntries(info_.id, size(), std::min<std::uint64_t>(kRowsAtOnce, to - size())));
    if (rows.empty()) return DataLoss("TAIL_MISSING: the head says {} entries, the store has {}", to, size());
    RETURN_IF_ERROR(ApplyRows(rows, check_tags));
  }
  return Read([this](const ChainState& state) { return CheckOwnKey(state.book); });
}

absl::Status Chain::ApplyRows(const std::vector<EntryRow>& rows, bool check_tags) {
  absl::Status result;
  {
    const WriterLock lock(state_mutex_);
    ChainState& state = *state_;
    chain::WalkOptions options;
    options.check_tags = check_tags;
    options.keys = &keys_.provider();
    chain::ChainWalk walk(std::move(state.book), tree_->Edge().frontier(), state.head, options);
    walk.SetObserver([&](const chain::Entry& entry, const frame::Frame& frame, const chain::Statement& statement,
                         const std::optional<frame::Value>& payload) {
      state.facts.Apply(entry, frame, statement, payload, walk.book());
      if (auto roll = ReadRoll(info_.origin, entry, frame, payload)) state.rolled.push_back(*std::move(roll));
      state.received_us = entry.header.received_us;
      tree_->Append(chain::LeafHash(entry.bytes));
    });
    for (const EntryRow& row : rows) {
      walk.Add(row.bytes, &row.leaf, &row.index);
      if (walk.first_break()) break;
    }
    if (const auto& found = walk.first_break()) {
      result = DataLoss("{} at entry {}: {}", chain::BreakKindName(found->kind), found->sequence, found->detail);
    }
    // A broken entry was not folded: the state is that of the good part.
    state.size = walk.size();
    state.head = walk.head();
    state.root = walk.Root();
    state.book = std::move(walk).TakeBook();
    if (const absl::Status refolded = RefoldCompromised(); result.ok()) result = refolded;
    committed_size_ = state.size;
  }
  NotifyGrowth();
  return result;
}

// A key was marked compromised: what it verified from then on must go, and older facts count again.
absl::Status Chain::RefoldCompromised() {
  return state_->facts.Refold(
      state_->book,
      [this, size = state_->size, root = state_->root](std::uint64_t sequence) -> absl::StatusOr<std::string> {
        sequencing_.Beat();
        ASSIGN_OR_RETURN(EntryRow row, ReadCheckedAt(sequence, size, root));
        return std::move(row.bytes);
      });
}

void Chain::NotifyGrowth() {
  bool stopping = false;
  {
    const MutexLock lock(mutex_);  // whoever tests the size under it must not miss this
    stopping = stopping_;
  }
  changed_.notify_all();
  if (stopping || size() >= checkpointer_due_at_) checkpointer_due_.notify_one();
}

absl::Status Chain::Follow() {
  ASSIGN_OR_RETURN(const ChainHead head, store_.ReadHead(info_.id));
  {
    const MutexLock lock(mutex_);
    leader_ = head.lease_valid ? head.holder_address : "";
  }
  if (head.size < size())
    return DataLoss("TAIL_MISSING: the store ends at {}, {} entries were seen", head.size, size());
  RETURN_IF_ERROR(ApplyUpTo(head.size, /*check_tags=*/true));
  return CheckNewCheckpoint();
}

// Another replica signed it; it has to fit what was seen here.
absl::Status Chain::CheckNewCheckpoint() {
  const auto stored = store_.LatestCheckpoint(info_.id);
  if (absl::IsNotFound(stored.status())) return absl::OkStatus();
  RETURN_IF_ERROR(stored.status());
  const auto known = latest_checkpoint();
  if (known && known->note == stored->note) return absl::OkStatus();
  auto opened = chain::OpenCheckpoint(stored->note, vault_.Verifiers());
  if (absl::IsNotFound(opened.status())) {
    // By keys that the chain rolled to, in entries that may be newer than those seen here.
    ASSIGN_OR_RETURN(const ChainHead head, store_.ReadHead(info_.id));
    RETURN_IF_ERROR(ApplyUpTo(head.size, /*check_tags=*/true));
    RETURN_IF_ERROR(LearnKeys());
    opened = chain::OpenCheckpoint(stored->note, vault_.Verifiers());
  }
  if (!opened.ok()) return DataLoss("CHECKPOINT_SIGNATURE: {}", Message(opened.status()));
  if (known && known->size >= opened->size) return absl::OkStatus();
  if (opened->size > size()) return absl::OkStatus();  // next time
  RETURN_IF_ERROR(CheckExtends(*opened));
  RETURN_IF_ERROR(ActivateCovered(opened->size));
  RETURN_IF_ERROR(vault_.Keep(stored->note));
  {
    const MutexLock lock(mutex_);
    checkpoint_ = StoredCheckpoint{opened->size, opened->root, stored->note};
  }
  changed_.notify_all();
  return absl::OkStatus();
}

}  // namespace virp::onode
