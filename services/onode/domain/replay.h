// The state of a chain as it was when it had fewer entries: for claims that name a chain size. It is folded anew from
// entries, and a few such states are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/mutex.h"
#include "lib/chain/source_book.h"
#include "lib/frame/payload.h"
#include "services/onode/domain/fact_book.h"

namespace virp::onode {

// Both books after some number of entries. Not thread-safe but for const use.
class PastState {
 public:
  explicit PastState(const std::string& origin);

  // Folds the next entry. DataLoss when its bytes are no entry, do not link to the one before, or break a rule of the
  // chain; the state is not to be used any more then.
  absl::Status Add(std::string_view entry_bytes);
  // Call when all entries are in and before the books are asked (FactBook::Refold).
  absl::Status Settle(const FactBook::EntryReader& read) { return facts_.Refold(sources_, read); }

  std::uint64_t size() const { return sources_.size(); }
  const Hash& head() const { return head_; }  // leaf hash of the newest entry, or the genesis value
  const chain::SourceBook& sources() const { return sources_; }
  const FactBook& facts() const { return facts_; }

 private:
  chain::SourceBook sources_;
  FactBook facts_;
  Hash head_;
  frame::PayloadReader payloads_;
};

// Thread-safe. One replay runs at a time; what is kept is answered without waiting for it.
class ReplayCache {
 public:
  struct Options {
    std::size_t states = 4;                      // kept at most ...
    std::size_t bytes = std::size_t{512} << 20;  // ... and together (FactBook::MemoryBytes)
  };
  ReplayCache(std::string origin, Options options) : origin_(std::move(origin)), options_(options) {}

  // Entries [first, first + some), at least one; first is below the size that was asked for. An error (the caller's
  // deadline) ends the replay; what was done is kept, and the next call goes on from there.
  using EntrySource = std::function<absl::StatusOr<std::vector<std::string>>(std::uint64_t first)>;

  // The state after `size` entries of a chain in which `head` is the leaf hash of entry size - 1: so the caller, who
  // knows that hash from its own checked tree, need not trust the entries' source. Errors: the source's; DataLoss.
  absl::StatusOr<std::shared_ptr<const PastState>> At(std::uint64_t size, const Hash& head, const EntrySource& read);

 private:
  std::shared_ptr<const PastState> Find(std::uint64_t size, const Hash& head) ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<PastState> TakeNearest(std::uint64_t size) ABSL_LOCKS_EXCLUDED(mutex_);
  void Keep(std::shared_ptr<PastState> state) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string origin_;
  const Options options_;
  Mutex replaying_;  // held for a whole replay; taken before mutex_
  Mutex mutex_;
  std::list<std::shared_ptr<PastState>> kept_ ABSL_GUARDED_BY(mutex_);  // most recently used first
};

}  // namespace virp::onode
