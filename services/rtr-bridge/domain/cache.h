// The heart of the bridge: from what sources say to what routers are told. Merges, applies SLURM, asks the guards,
// makes generations, puts them on record, and hands out snapshots.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/rtr/history.h"
#include "lib/vrp/slurm.h"
#include "services/rtr-bridge/domain/evidence.h"
#include "services/rtr-bridge/domain/generation.h"
#include "services/rtr-bridge/domain/guards.h"
#include "services/rtr-bridge/domain/source_table.h"

namespace virp::rtr_bridge {

struct CacheOptions {
  GuardOptions guards;
  std::optional<std::chrono::nanoseconds>
      hold_max;  // a held generation is served after this long; nothing: only by Accept
  bool drop_router_keys = false, drop_aspas = false;
  rtr::HistoryOptions history;
};

// What outlives the process. Written before anything of it is shown to a router: a serial that was used must never come
// to mean something else.
class StateFile {
 public:
  virtual ~StateFile() = default;
  virtual absl::Status Write(std::string_view state) = 0;  // durable when it returns OK
};

struct SlurmState {
  std::shared_ptr<const vrp::Slurm> slurm;  // null: there are no files
  absl::Status problem;                     // of the newest reading; the last good one stays applied
};

// Everything that status tells, of one moment.
struct CacheStatus {
  std::optional<Generation> serving;
  std::optional<HeldGeneration> held;
  std::vector<SourceState> sources;
  MergeRule rule;
  SlurmState slurm;
  absl::Status merge_problem;
};

// Thread-safe. Calls that change something are done one after the other, on the caller's thread.
class Cache {
 public:
  // Called with each new snapshot, under the cache's lock: must not call the cache.
  using OnSnapshot = std::function<void(const std::shared_ptr<const rtr::Snapshot>&, const Generation&)>;
  // Likewise when payloads of the snapshot expire at other times than was told before: the same set, with these
  // expiries. It is no news for routers, only for who passes payloads on.
  using OnRenewal = std::function<void(const std::shared_ptr<const rtr::Snapshot>&, const Generation&,
                                       const std::shared_ptr<const vrp::Payloads>&)>;

  // All outlive it. `slurm_files`: there are some, and nothing is served before they were read.
  Cache(CacheOptions options, SourceTable sources, bool slurm_files, rtr::RandomSession random, const Witness& witness,
        Recorder& recorder, StateFile& state, const Clock& clock, OnSnapshot on_snapshot,
        OnRenewal on_renewal = nullptr);

  // What Write was given before the last end; before the first source was read. Errors of rtr::History::Restore; the
  // cache then begins anew. Payloads are not part of it: until there are some the guards go by their numbers.
  absl::Status Restore(std::string_view state);

  void TakeGood(std::size_t source, Reading reading);
  void TakeUnchanged(std::size_t source);
  void TakeFailure(std::size_t source, absl::Status why);
  void TakeSlurm(absl::StatusOr<std::shared_ptr<const vrp::Slurm>> slurm);
  // Applies what time does: payloads and sources that expire, a hold that is over.
  void Tick();
  // The next moment at which Tick has something to do.
  std::optional<UnixNanos> NextTick() const;

  // Serves the held generation of that number. FailedPrecondition with reason NOT_HELD when it is not held.
  absl::Status Accept(std::uint64_t generation, const Request& request);

  // Puts on record that somebody had the sources read.
  void RecordRefresh(const Request& request);

  // Null while nothing is loaded.
  std::shared_ptr<const rtr::Snapshot> snapshot() const;
  CacheStatus status() const;
  std::vector<Generation> generations() const;  // of the window, the newest last
  // The moment of which what is served is true: of all sources that are used, the earliest. A source's is when its
  // document was made, or, where it does not say, was read last; of a feed that is up it is now.
  UnixNanos TrueAt() const;

 private:
  struct Candidate {
    std::shared_ptr<const vrp::Payloads> payloads;
    Hash sha256{};
    std::vector<NamedHash> sources, slurm;
  };
  void Rebuild() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Candidate> Make(UnixNanos now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the set is the one that routers have from the start before this one.
  bool IsAsBefore(const Hash& sha256) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<std::string> Objections(const vrp::Payloads& next) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Hold(Candidate candidate, std::vector<std::string> reasons, UnixNanos now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Serve(Candidate candidate, const std::optional<Request>& accepted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Resume(Candidate candidate) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Renew(const std::shared_ptr<const vrp::Payloads>& payloads) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Keep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Save() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RecordSourceChange(std::size_t source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const CacheOptions options_;
  const bool slurm_files_;
  const Witness& witness_;
  Recorder& recorder_;
  StateFile& state_;
  const Clock& clock_;
  const OnSnapshot on_snapshot_;
  const OnRenewal on_renewal_;

  mutable Mutex mutex_;
  SourceTable sources_ ABSL_GUARDED_BY(mutex_);
  SlurmState slurm_ ABSL_GUARDED_BY(mutex_);
  rtr::History history_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const vrp::Payloads> serving_ ABSL_GUARDED_BY(mutex_);  // with the newest expiries
  std::deque<Generation> generations_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<HeldGeneration> held_ ABSL_GUARDED_BY(mutex_);
  Candidate held_candidate_ ABSL_GUARDED_BY(mutex_);
  std::optional<UnixNanos> next_tick_ ABSL_GUARDED_BY(mutex_);
  absl::Status merge_problem_ ABSL_GUARDED_BY(mutex_);
  std::vector<bool> told_failed_ ABSL_GUARDED_BY(mutex_), told_expired_ ABSL_GUARDED_BY(mutex_);
  bool unsaved_ ABSL_GUARDED_BY(mutex_) = false;  // sessions run that the state file does not know
};

}  // namespace virp::rtr_bridge
