// The heart of the bridge: from what sources say to what routers are told. Merges, applies SLURM, asks the guards,
// makes generations, puts them on record, and hands out snapshots.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/rtr/history.h"
#include "lib/vrp/slurm.h"
#include "services/rtr-bridge/domain/candidate.h"
#include "services/rtr-bridge/domain/evidence.h"
#include "services/rtr-bridge/domain/generation.h"
#include "services/rtr-bridge/domain/guards.h"
#include "services/rtr-bridge/domain/pace.h"
#include "services/rtr-bridge/domain/quarantine.h"
#include "services/rtr-bridge/domain/reference.h"
#include "services/rtr-bridge/domain/source_table.h"

namespace virp::rtr_bridge {

// What routers get once too few sources have data that still count (none, or with quorum fewer than that).
enum class WhenStale : std::uint8_t {
  kServe,  // the last set, each payload until it expires by itself; error 2 when none is left
  kStop,   // error 2, at once
};

struct CacheOptions {
  GuardOptions guards;
  WhenStale when_stale = WhenStale::kServe;
  PaceOptions pace;
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
  // Durable when it returns OK. DataLoss: a start may find it all the same, or what was there before; other errors: it
  // finds what was there before.
  virtual absl::Status Write(std::string_view state) = 0;
};

struct SlurmState {
  std::shared_ptr<const vrp::Slurm> slurm;  // null: there are no files
  absl::Status problem;                     // of the newest reading; the last good one stays applied
  bool told_failed = false;                 // on record
};

// Everything that status tells, of one moment.
struct CacheStatus {
  std::optional<Generation> serving;
  std::optional<HeldGeneration> held;
  std::vector<SourceState> sources;
  std::vector<std::string> left_out;  // of the newest set: payloads that did not fit together, a sentence each
  MergeRule rule;
  SlurmState slurm;
  absl::Status merge_problem;
  ServingState state = ServingState::kNothing;
  std::optional<UnixNanos> stale_since;  // of kStale and kStopped
  absl::Status state_problem;            // the state cannot be written: after a restart routers reload
};

// Thread-safe. Calls that change something are done one after the other, on the caller's thread.
class Cache {
 public:
  // Called with each new snapshot, and with null when nothing is served any more (the generation is then the last one),
  // under the cache's lock: must not call the cache.
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

  // Serves the held generation of that number and that set. FailedPrecondition with reason NOT_HELD when it is not
  // held, or is another one by now; what has only lost payloads that expired by themselves is still the same.
  absl::Status Accept(std::uint64_t generation, const Hash& sha256, const Request& request);

  // Puts on record that somebody had the sources read.
  void RecordRefresh(const Request& request);

  // Null while nothing is served.
  std::shared_ptr<const rtr::Snapshot> snapshot() const;
  CacheStatus status() const;
  std::vector<Generation> generations() const;  // of the window, the newest last
  // The moment of which what is served is true: of all sources that are used, the earliest. A source's is when its
  // document was made, or, where it does not say, was read last; a feed that is up says it, or else it is now.
  UnixNanos TrueAt() const;

 private:
  using Set = std::shared_ptr<const vrp::Payloads>;
  void Rebuild() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Schedule() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Candidate> Make(UnixNanos now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Consider(Candidate candidate, UnixNanos now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What is served, without what is expired by itself; the same pointer when nothing is.
  Set Lasting(UnixNanos now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes what is expired by itself out of what is served.
  void ServeLasting(const Set& lasting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ServeWithoutSources(UnixNanos now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Stop(std::string_view problem) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enter(ServingState state, std::string_view problem) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the set is the one that routers have from the start before this one.
  bool IsAsBefore(const Hash& sha256) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Objection> Objections(const Set& lasting, Candidate& next, UnixNanos now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What is served goes on, and expires by itself; the candidate is held.
  void ServeOn(Candidate candidate, std::vector<Objection> objections, UnixNanos now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Hold(Candidate candidate, std::vector<Objection> objections, UnixNanos now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ServeHeld(const Request& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ServeCurrent(Candidate candidate, const std::optional<Request>& accepted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Serve(Candidate candidate, const std::optional<Request>& accepted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Resume(Candidate candidate) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Renew(const Set& payloads) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellRenewed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RecordServed(const std::optional<Request>& accepted, ServedWhen when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Keep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteState() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void KeepLater(UnixNanos now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
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
  Set serving_ ABSL_GUARDED_BY(mutex_);  // with the newest expiries; of kStopped: what was served last
  ServingState serving_state_ ABSL_GUARDED_BY(mutex_) = ServingState::kNothing;
  std::optional<UnixNanos> stale_since_ ABSL_GUARDED_BY(mutex_);
  Reference reference_ ABSL_GUARDED_BY(mutex_);
  std::deque<Generation> generations_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  Quarantine quarantine_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> left_out_ ABSL_GUARDED_BY(mutex_);
  Pace pace_ ABSL_GUARDED_BY(mutex_);
  bool put_off_ ABSL_GUARDED_BY(mutex_) = false;              // there may be news, and the pace does not allow them yet
  std::vector<std::size_t> made_of_ ABSL_GUARDED_BY(mutex_);  // sources that counted at the last Make
  std::optional<UnixNanos> next_tick_ ABSL_GUARDED_BY(mutex_);
  absl::Status merge_problem_ ABSL_GUARDED_BY(mutex_);
  absl::Status state_problem_ ABSL_GUARDED_BY(mutex_);       // of the last writing
  bool file_knows_sessions_ ABSL_GUARDED_BY(mutex_) = true;  // a start may find the sessions that run
  struct Unrecorded {
    std::optional<Request> accepted;
  };
  std::optional<Unrecorded> unrecorded_ ABSL_GUARDED_BY(mutex_);  // the newest generation, for want of room
  bool frame_unsaved_ ABSL_GUARDED_BY(mutex_) = false;  // the newest generation's record is not in the state yet
  UnixNanos next_save_ ABSL_GUARDED_BY(mutex_) = 0;     // when the state is tried again
};

}  // namespace virp::rtr_bridge
