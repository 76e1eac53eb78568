// One chain as one O-Node holds it: opened and checked at start, followed or led, read by every API. The leader orders
// and commits; every replica answers from state that it derived from checked entries.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/distribution.h"
#include "lib/base/mutex.h"
#include "lib/base/pulse.h"
#include "lib/chain/alarm_aggregator.h"
#include "lib/chain/control.h"
#include "lib/chain/merkle.h"
#include "lib/chain/note.h"
#include "lib/chain/proof.h"
#include "lib/chain/source_book.h"
#include "lib/chain/walk.h"
#include "services/onode/domain/batch_builder.h"
#include "services/onode/domain/candidate.h"
#include "services/onode/domain/chain_store.h"
#include "services/onode/domain/checkpoint_vault.h"
#include "services/onode/domain/expected_builds.h"
#include "services/onode/domain/fact_book.h"
#include "services/onode/domain/key_cache.h"
#include "services/onode/domain/quarantine.h"
#include "services/onode/domain/rolled_keys.h"
#include "services/onode/domain/source_limits.h"
#include "services/onode/domain/tree_reader.h"

namespace virp::onode {

struct ChainOptions {
  std::string instance;  // unique per process start
  std::string address;   // where clients reach this O-Node
  std::chrono::milliseconds lease{5'000};
  std::chrono::milliseconds follow_interval{100};        // how often a follower looks for new entries
  std::chrono::milliseconds checkpoint_interval{1'000};  // while there is something new
  std::uint64_t checkpoint_entries = 4'096;
  std::size_t queue_frames = 16'384;                // waiting for the sequencer; beyond it Enqueue blocks
  std::size_t queue_bytes = std::size_t{64} << 20;  // likewise, of their frames
  std::size_t batch_frames = 1'024;
  bool read_only = false;                        // never lead: answers only
  unsigned reserve_percent = 5;                  // of the store, for alarms, key events and clearing
  std::shared_ptr<RateLimiter> source_limits;    // by source name; null: none
  std::shared_ptr<const ExpectedBuilds> builds;  // null: every build is
  std::size_t tree_cache_tiles = 4'096;          // full tiles of 16 KiB kept for proofs
};

// Numbers for metrics; monotonic but for the gauges. Thread-safe.
struct ChainCounters {
  std::atomic<std::uint64_t> appended{0}, duplicates{0}, fenced{0}, unknown_commits{0}, checkpoints{0};
  std::array<std::atomic<std::uint64_t>, frame::kReasons> refused{};  // by frame::Reason
  Distribution commit_seconds{LatencyBounds()};                       // of store appends, failed ones included
  Distribution commit_entries{ExponentialBounds(1, 2, 14)};
  std::atomic<std::uint64_t> store_used_bytes{0}, store_limit_bytes{0}, store_unindexed{0};
  std::atomic<bool> reserve_only{false};  // the store is full but for its reserve
};

// What readers see: state after `size` committed, checked entries. The tree over them is in the TreeReader.
struct ChainState {
  explicit ChainState(const std::string& origin) : book(origin), facts(origin) {}
  chain::SourceBook book;
  FactBook facts;
  std::vector<RolledKey> rolled;  // of the checkpoint key, in the order of their entries
  std::uint64_t size = 0;
  Hash head{};
  Hash root{};
  std::uint64_t received_us = 0;
};

class Chain {
 public:
  // Reads and checks the whole chain from the store: every byte that later answers rest on is hashed, linked and held
  // against the largest checkpoint known. DataLoss names the first break; a store that does not extend a known
  // checkpoint opens FROZEN. `store`, `keys`, `vault` and `clock` outlive the chain.
  static absl::StatusOr<std::unique_ptr<Chain>> Open(ChainInfo info, ChainStore& store, KeyCache& keys,
                                                     CheckpointVault& vault, std::vector<OwnKey> own_keys,
                                                     const Clock& clock, ChainOptions options);
  ~Chain();  // Stop()
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  void Start();  // threads: sequencer or follower, checkpointer
  void Stop();   // finishes what is queued, releases the lease

  const std::string& origin() const { return info_.origin; }
  const ChainInfo& info() const { return info_; }
  const ChainCounters& counters() const { return counters_; }
  const QuarantineCounters& quarantine_counters() const { return quarantine_.counters(); }

  // --- Ingest. `done` runs on the sequencer's thread after commit, with one outcome per frame in order, or with a
  // status when the batch was not processed and is to be sent again: FailedPrecondition reasons NOT_LEADER (metadata
  // leader) and CHAIN_FROZEN, ResourceExhausted STORE_FULL, Unavailable. `order` is the stream's: behind such a batch
  // nothing of it is taken. Blocks while the queue is full.
  using Done = std::function<void(absl::StatusOr<std::vector<FrameOutcome>>)>;
  void Enqueue(std::shared_ptr<DeliveryOrder> order, std::vector<Delivery> batch, const std::string& carrier,
               Done done);

  // --- Changes by operators: entries of the O-Node itself. `decide` runs on the sequencer's thread with the newest
  // book and gives the payloads to enter, in order, or an error; it may be called again after a lost race. Answers with
  // the chain sequences after commit. A request_id that the chain holds answers with the entry it made, without
  // `decide`.
  struct Mutation {
    std::vector<std::uint64_t> entries;  // chain sequences
    bool replayed = false;               // the chain held this request_id already
  };
  struct OwnEntry {
    frame::Type type{};
    frame::Tier tier = frame::Tier::kGreen;
    std::string payload;
  };
  using Decide = std::function<absl::StatusOr<std::vector<OwnEntry>>(const chain::SourceBook& book)>;
  absl::StatusOr<Mutation> Mutate(std::string request_id, Decide decide, std::chrono::nanoseconds timeout);

  // Enters the vault's next checkpoint key and waits for the checkpoint that covers the entry, signed by the keys
  // before it; from then on it signs, too. A request_id that the chain holds rolls nothing: it answers with the roll it
  // made. Errors of Mutate; NotFound when there is no key to roll to; AlreadyExists when the request_id is another
  // change's.
  absl::StatusOr<RolledKey> RollCheckpointKey(const std::string& request_id, std::string_view by,
                                              std::string_view reason, std::chrono::steady_clock::time_point deadline);

  // --- Reading. The state does not change while `read` runs; keep it short.
  template <typename F>
  auto Read(F&& read) const {
    const ReaderLock lock(state_mutex_);
    return read(*state_);
  }
  std::uint64_t size() const { return committed_size_.load(); }
  // Waits until `size` entries are committed here. DeadlineExceeded; Unavailable when stopping.
  absl::Status WaitForSize(std::uint64_t size, std::chrono::steady_clock::time_point deadline) const;
  // Waits until the size grows beyond `size` or the deadline; the size then.
  std::uint64_t WaitForGrowth(std::uint64_t size, std::chrono::steady_clock::time_point deadline) const;
  // Waits for a signed checkpoint of at least `size`. DeadlineExceeded.
  absl::StatusOr<StoredCheckpoint> WaitForCheckpoint(std::uint64_t size,
                                                     std::chrono::steady_clock::time_point deadline) const;

  // Chain sequence of the committed entry that holds exactly this frame; nullopt when none does.
  absl::StatusOr<std::optional<std::uint64_t>> FindHeld(std::uint64_t source, std::uint64_t epoch,
                                                        const frame::Header& header, std::string_view frame) const;
  bool stopping() const;

  // An entry whose bytes were proven against this O-Node's own root. OutOfRange; DataLoss.
  absl::StatusOr<EntryRow> ReadChecked(std::uint64_t sequence) const;
  TreeReader& tree() const { return *tree_; }
  ChainStore& store() const { return store_; }
  KeyCache& keys() const { return keys_; }
  CheckpointVault& vault() const { return vault_; }

  // The claim against the newest state. `now` 0: the clock's.
  absl::StatusOr<Answer> Evaluate(const Claim& claim, const Acceptance& acceptance, UnixNanos now) const;

  // FailedPrecondition with reason CHAIN_FROZEN or NOT_LEADER (metadata leader) unless entries are taken here.
  absl::Status CheckLeading() const;
  bool leading() const { return leading_.load(); }
  std::vector<std::string> limited_sources() const { return source_limits_.Limited(); }  // over their limit now
  std::uint64_t term() const { return term_.load(); }
  std::string leader() const;              // address; empty when unknown
  std::string frozen() const;              // why; empty when it is not
  std::string checkpoint_problem() const;  // why the last checkpoint could not be made; empty when it could
  // Why this O-Node takes no lead that it could have: a checkpoint key is missing here. Empty when nothing is.
  std::string cannot_lead() const;
  // Unavailable names the thread that stands still, sequencer or checkpointer. Takes no lock and asks no store.
  absl::Status CheckAlive() const { return CheckPulses({&sequencing_, &checkpointing_}); }
  void Freeze(std::string why);
  // A deliverer's note: verified with the chain's keys, and the chain must extend it, else the chain is frozen.
  void Audit(std::string_view note);
  std::optional<StoredCheckpoint> latest_checkpoint() const;
  // The chain's own key is the root of all that it says of others. DataLoss when `book` names none of the keys held
  // here: somebody else made that chain, whatever its hashes are.
  absl::Status CheckOwnKey(const chain::SourceBook& book) const;

 private:
  struct Work {  // one Enqueue or one Mutate
    std::shared_ptr<DeliveryOrder> order;
    std::vector<std::unique_ptr<Candidate>> frames;
    Done done;
    Decide decide;
    std::string request_id;
    std::function<void(absl::StatusOr<Mutation>)> decided;
  };
  struct Result {  // of one Work, to be told after commit
    absl::StatusOr<std::vector<FrameOutcome>> outcomes = std::vector<FrameOutcome>{};
    absl::StatusOr<Mutation> mutation = Mutation{};
  };

  Chain(ChainInfo info, ChainStore& store, KeyCache& keys, CheckpointVault& vault, std::vector<OwnKey> own_keys,
        const Clock& clock, ChainOptions options);

  // Start-up and following (chain_follow.cc).
  absl::Status Load();
  absl::StatusOr<std::optional<StoredCheckpoint>> LargestKnown();
  absl::Status ApplyUpTo(std::uint64_t size, bool check_tags);
  absl::Status ApplyRows(const std::vector<EntryRow>& rows, bool check_tags);
  absl::Status Follow();
  absl::Status CheckNewCheckpoint();
  absl::Status CheckExtends(const chain::Checkpoint& checkpoint) const;
  absl::Status ActivateCovered(std::uint64_t size);
  absl::Status LearnKeys();
  absl::Status LoadSignedByUnknown();
  absl::Status RefoldCompromised() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_mutex_);
  absl::StatusOr<HeldEntries> ReadHeld(const std::vector<FrameNumber>& numbers) const;
  void NotifyGrowth();
  absl::StatusOr<EntryRow> ReadCheckedAt(std::uint64_t sequence, std::uint64_t size, const Hash& root) const;
  absl::Status Prove(EntryRow& row, std::uint64_t size, const Hash& root) const;

  // The sequencer's thread (chain_sequence.cc).
  void Run(const std::stop_token& stop);
  void Lead(const std::stop_token& stop);
  bool Compete();
  bool CanSign();
  void Resign(std::string_view why);
  bool RenewIfDue();
  absl::Status MakeBuilder();
  std::vector<Work> NextWork(std::chrono::milliseconds wait);
  absl::Status Process(std::vector<Work>& work);
  absl::StatusOr<Result> Decided(Work& work);    // what an operator changes
  absl::StatusOr<Result> Delivered(Work& work);  // frames
  absl::Status Housekeep();
  absl::Status EnterRegistration();
  absl::Status EnterKeyEvent(const chain::KeyEvent& event);
  absl::Status EnterKeyChanges(const chain::Source& source);
  absl::Status EnterKeyVersions();
  absl::Status EnterOwnKeyVersion();
  absl::Status EnterAlarms();
  absl::Status Commit();
  absl::Status SettleUnknown(const AppendBatch& batch);
  void Publish(const AppendBatch& batch);
  void Tell(Work& work, Result& result);
  void SeedAlarms();
  absl::Status CheckReserve();
  static bool MayUseReserve(const OwnEntry& entry);
  absl::Status StoreFull() const;
  static void Fail(std::vector<Work>& work, const absl::Status& status);
  absl::Status NotLeader() const;

  // The checkpointer's thread (chain_checkpoint.cc).
  void RunCheckpoints(const std::stop_token& stop);
  std::uint64_t CheckpointDueAt() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ReadBack(std::uint64_t target);
  absl::Status MakeCheckpoint();

  const ChainInfo info_;
  ChainStore& store_;
  KeyCache& keys_;
  CheckpointVault& vault_;
  std::vector<OwnKey> own_keys_;  // ascending version; the newest that the chain knows signs
  const Clock& clock_;
  const ChainOptions options_;
  mutable ChainCounters counters_;

  mutable SharedMutex state_mutex_;
  std::unique_ptr<ChainState> state_ ABSL_GUARDED_BY(state_mutex_);
  std::unique_ptr<TreeReader> tree_;
  std::atomic<std::uint64_t> committed_size_{0};

  mutable Mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(mutex_);
  std::size_t queued_frames_ ABSL_GUARDED_BY(mutex_) = 0;
  std::size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string leader_ ABSL_GUARDED_BY(mutex_);
  std::string frozen_ ABSL_GUARDED_BY(mutex_);
  std::string checkpoint_problem_ ABSL_GUARDED_BY(mutex_);
  std::string cannot_lead_ ABSL_GUARDED_BY(mutex_);
  std::optional<StoredCheckpoint> checkpoint_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<bool> leading_{false};
  std::atomic<std::uint64_t> term_{0};

  // The sequencer's own.
  std::unique_ptr<BatchBuilder> builder_;
  chain::AlarmAggregator alarms_;
  SourceLimits source_limits_;
  Quarantine quarantine_;
  std::chrono::steady_clock::time_point lease_renewed_;
  std::chrono::steady_clock::time_point next_housekeeping_;
  std::pair<std::uint64_t, std::uint64_t> keys_seen_{~std::uint64_t{0}, 0};  // generations of provider and book

  // How far the store was read back, and what came of it; the checkpointer's own after Load.
  chain::Frontier read_back_;
  Hash read_back_head_{};
  std::vector<EntryRow> read_back_rows_;
  std::atomic<std::uint64_t> checkpointer_due_at_{0};  // the size that it waits for
  std::condition_variable_any checkpointer_due_;

  Pulse sequencing_{"the sequencer of " + info_.origin, clock_};
  Pulse checkpointing_{"the checkpointer of " + info_.origin, clock_};
  std::jthread sequencer_;
  std::jthread checkpointer_;
};

}  // namespace virp::onode
