#include "services/onode/domain/chain.h"

#include <future>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::onode {

Chain::Chain(ChainInfo info, ChainStore& store, KeyCache& keys, CheckpointVault& vault, std::vector<OwnKey> own_keys,
             const Clock& clock, ChainOptions options)
    : info_(std::move(info)),
      store_(store),
      keys_(keys),
      vault_(vault),
      own_keys_(std::move(own_keys)),
      clock_(clock),
      options_(std::move(options)),
      state_(std::make_unique<ChainState>(info_.origin)),
      tree_(std::make_unique<TreeReader>(store_.TilesOf(info_.id), options_.tree_cache_tiles)),
      source_limits_(options_.source_limits, clock_),
      quarantine_(store_, info_.id) {
  const WriterLock lock(state_mutex_);
  state_->head = chain::GenesisOf(info_.origin);
  state_->root = chain::EmptyRoot();
  read_back_head_ = state_->head;
}

absl::StatusOr<std::unique_ptr<Chain>> Chain::Open(ChainInfo info, ChainStore& store, KeyCache& keys,
                                                   CheckpointVault& vault, std::vector<OwnKey> own_keys,
                                                   const Clock& clock, ChainOptions options) {
  std::unique_ptr<Chain> chain(
      new Chain(std::move(info), store, keys, vault, std::move(own_keys), clock, std::move(options)));
  RETURN_IF_ERROR(chain->Load());
  return chain;
}

Chain::~Chain() {
  Stop();
}

void Chain::Start() {
  if (!options_.read_only) quarantine_.Start();
  sequencer_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  checkpointer_ = std::jthread([this](const std::stop_token& stop) { RunCheckpoints(stop); });
}

void Chain::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  checkpointer_due_.notify_one();
  for (std::jthread* thread : {&sequencer_, &checkpointer_}) {
    if (!thread->joinable()) continue;
    thread->request_stop();
    {
      const MutexLock lock(mutex_);
    }  // whoever tests the token under the lock must not miss this
    changed_.notify_all();
    checkpointer_due_.notify_one();
    thread->join();
  }
  std::vector<Work> left;
  {
    const MutexLock lock(mutex_);
    for (Work& work : queue_) left.push_back(std::move(work));
    queue_.clear();
  }
  Fail(left, Unavailable("the O-Node is stopping; connect again"));
  quarantine_.Stop();
}

void Chain::Enqueue(std::shared_ptr<DeliveryOrder> order, std::vector<Delivery> batch, const std::string& carrier,
                    Done done) {
  const auto refuse = [&order, &done](const absl::Status& why) {
    order->broken = true;
    done(why);
  };
  if (const absl::Status leads = CheckLeading(); !leads.ok()) return refuse(leads);
  const UnixNanos received = clock_.NowNanos();
  const auto [table, generation] =
      Read([](const ChainState& state) { return std::pair{state.book.table(), state.book.generation()}; });
  const auto identity = std::make_shared<const std::string>(carrier);
  Work work;
  work.frames.reserve(batch.size());
  for (Delivery& delivery : batch) {
    work.frames.push_back(CheckDelivery(std::move(delivery), identity, received, *table, generation, keys_));
  }
  std::size_t bytes = 0;
  for (const auto& candidate : work.frames) bytes += candidate->delivery.frame.size();
  work.order = order;
  work.done = done;
  bool stopping = false, queued = false;
  {
    const MutexLock lock(mutex_);
    changed_.wait(mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || !leading() ||
             (queued_frames_ < options_.queue_frames && queued_bytes_ < options_.queue_bytes);
    });
    stopping = stopping_;
    queued = !stopping && leading();  // who resigns empties the queue: behind that it would wait until we lead again
    if (queued) {
      queued_frames_ += work.frames.size();
      queued_bytes_ += bytes;
      queue_.push_back(std::move(work));
    }
  }
  if (!queued) return refuse(stopping ? Unavailable("the O-Node is stopping; connect again") : NotLeader());
  changed_.notify_all();
}

absl::StatusOr<Chain::Mutation> Chain::Mutate(std::string request_id, Decide decide, std::chrono::nanoseconds timeout) {
  RETURN_IF_ERROR(CheckLeading());
  auto promise = std::make_shared<std::promise<absl::StatusOr<Mutation>>>();
  auto future = promise->get_future();
  Work work;
  work.request_id = std::move(request_id);
  work.decide = std::move(decide);
  work.decided = [promise](absl::StatusOr<Mutation> result) { promise->set_value(std::move(result)); };
  {
    const MutexLock lock(mutex_);
    if (stopping_) return Unavailable("the O-Node is stopping; try another one");
    queue_.push_back(std::move(work));
  }
  changed_.notify_all();
  if (future.wait_for(timeout) != std::future_status::ready) {
    return DeadlineExceeded("no commit within the deadline; ask again with the same request_id");
  }
  return future.get();
}

absl::Status Chain::CheckLeading() const {
  if (const std::string why = frozen(); !why.empty()) {
    return WithReason(FailedPrecondition("chain {} is frozen: {}", origin(), why), "CHAIN_FROZEN");
  }
  return leading() ? absl::OkStatus() : NotLeader();
}

absl::Status Chain::NotLeader() const {
  const std::string address = leader();
  return WithReason(FailedPrecondition("this O-Node does not lead chain {}; the leader is at '{}'", origin(), address),
                    "NOT_LEADER", {{"leader", address}});
}

absl::Status Chain::WaitForSize(std::uint64_t wanted, std::chrono::steady_clock::time_point deadline) const {
  const MutexLock lock(mutex_);
  const bool reached = changed_.wait_until(
      mutex_, deadline, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || size() >= wanted; });
  if (size() >= wanted) return absl::OkStatus();
  if (reached) return Unavailable("the O-Node is stopping; try another one");
  return DeadlineExceeded("chain {} has {} entries, not {}", origin(), size(), wanted);
}

std::uint64_t Chain::WaitForGrowth(std::uint64_t known, std::chrono::steady_clock::time_point deadline) const {
  const MutexLock lock(mutex_);
  changed_.wait_until(mutex_, deadline,
                      [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || size() > known; });
  return size();
}

absl::StatusOr<StoredCheckpoint> Chain::WaitForCheckpoint(std::uint64_t wanted,
                                                          std::chrono::steady_clock::time_point deadline) const {
  const MutexLock lock(mutex_);
  const auto covered = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return checkpoint_.has_value() && checkpoint_->size >= wanted;
  };
  changed_.wait_until(mutex_, deadline, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || covered(); });
  if (covered()) return *checkpoint_;
  if (stopping_) return Unavailable("the O-Node is stopping; try another one");
  return DeadlineExceeded("no checkpoint of chain {} covers {} entries yet", origin(), wanted);
}

absl::StatusOr<EntryRow> Chain::ReadChecked(std::uint64_t sequence) const {
  const auto [size, root] = Read([](const ChainState& state) { return std::pair{state.size, state.root}; });
  return ReadCheckedAt(sequence, size, root);
}

absl::StatusOr<EntryRow> Chain::ReadCheckedAt(std::uint64_t sequence, std::uint64_t size, const Hash& root) const {
  if (sequence >= size) return OutOfRange("chain {} has {} entries; {} is beyond its end", origin(), size, sequence);
  ASSIGN_OR_RETURN(EntryRow row, store_.ReadEntry(info_.id, sequence));
  row.sequence = sequence;
  RETURN_IF_ERROR(Prove(row, size, root));
  return row;
}

// By the bytes of a row that the store gave and by its place alone; the leaf hash is then theirs.
absl::Status Chain::Prove(EntryRow& row, std::uint64_t size, const Hash& root) const {
  row.leaf = chain::LeafHash(row.bytes);
  ASSIGN_OR_RETURN(const std::vector<Hash> path, tree_->Inclusion(row.sequence, size));
  const absl::Status proven = chain::VerifyInclusion(row.leaf, row.sequence, size, path, root);
  if (proven.ok()) return absl::OkStatus();
  return DataLoss("entry {} of chain {} is not what was committed: {}", row.sequence, origin(), Message(proven));
}

absl::StatusOr<HeldEntries> Chain::ReadHeld(const std::vector<FrameNumber>& numbers) const {
  const auto [size, root] = Read([](const ChainState& state) { return std::pair{state.size, state.root}; });
  ASSIGN_OR_RETURN(auto rows, store_.FindByNumber(info_.id, numbers));
  HeldEntries held;
  for (EntryRow& row : rows) {
    if (row.sequence >= size)
      return OutOfRange("chain {} has {} entries; {} is beyond its end", origin(), size, row.sequence);
    RETURN_IF_ERROR(Prove(row, size, root));
    ASSIGN_OR_RETURN(const chain::Entry entry, chain::DecodeEntry(row.bytes));
    const chain::EntryHeader& header = entry.header;
    const FrameNumber number{header.source, header.source_epoch, header.source_sequence};
    if (number != FrameOf(row)) {
      return DataLoss("INDEX at entry {}: the index names another frame than the entry holds", row.sequence);
    }
    held.try_emplace(number, HeldEntry{row.sequence, row.leaf, std::move(row.bytes)});
  }
  return held;
}

absl::StatusOr<std::optional<std::uint64_t>> Chain::FindHeld(std::uint64_t source, std::uint64_t epoch,
                                                             const frame::Header& header,
                                                             std::string_view frame) const {
  // A version 1 frame says no epoch: that of the run it would belong to is looked for among those that are known.
  std::vector<std::uint64_t> epochs{epoch};
  if (header.spelling != frame::Spelling::kV2) {
    epochs = Read([&](const ChainState& state) {
      std::vector<std::uint64_t> known;
      if (const chain::Channel* channel = state.book.FindChannel(source)) {
        for (const auto& [number, of] : channel->epochs) known.push_back(number);
      }
      return known;
    });
  }
  for (const std::uint64_t one : epochs) {
    ASSIGN_OR_RETURN(const auto held, ReadHeld({{source, one, header.sequence}}));
    if (!held.empty() && held.begin()->second.frame() == frame) return held.begin()->second.sequence;
  }
  return std::nullopt;
}

bool Chain::stopping() const {
  const MutexLock lock(mutex_);
  return stopping_;
}

absl::StatusOr<Answer> Chain::Evaluate(const Claim& claim, const Acceptance& acceptance, UnixNanos now) const {
  const bool is_frozen = !frozen().empty();
  const auto checkpoint = latest_checkpoint();
  if (now == 0) now = clock_.NowNanos();
  const ReaderLock lock(state_mutex_);
  const std::uint64_t size = state_->size;
  const Hash root = state_->root;
  return state_->facts.Evaluate(claim, acceptance, state_->book, now, is_frozen, checkpoint ? checkpoint->size : 0,
                                [&](std::uint64_t sequence) -> absl::StatusOr<std::string> {
                                  ASSIGN_OR_RETURN(EntryRow row, ReadCheckedAt(sequence, size, root));
                                  return std::move(row.bytes);
                                });
}

std::string Chain::leader() const {
  const MutexLock lock(mutex_);
  return leader_;
}

std::string Chain::frozen() const {
  const MutexLock lock(mutex_);
  return frozen_;
}

std::string Chain::checkpoint_problem() const {
  const MutexLock lock(mutex_);
  return checkpoint_problem_;
}

std::string Chain::cannot_lead() const {
  const MutexLock lock(mutex_);
  return cannot_lead_;
}

void Chain::Freeze(std::string why) {
  {
    const MutexLock lock(mutex_);
    if (!frozen_.empty()) return;
    frozen_ = std::move(why);
  }
  changed_.notify_all();
}

std::optional<StoredCheckpoint> Chain::latest_checkpoint() const {
  const MutexLock lock(mutex_);
  return checkpoint_;
}

void Chain::Audit(std::string_view note) {
  const auto checkpoint = chain::OpenCheckpoint(note, vault_.Verifiers());
  if (!checkpoint.ok() || checkpoint->origin != origin()) return;  // what is not signed by us says nothing about us
  const auto [size, root] = Read([](const ChainState& state) { return std::pair{state.size, state.root}; });
  if (checkpoint->size > size) {
    // A follower may be behind; the leader has read all there is.
    if (leading())
      Freeze(fmt::format("a deliverer holds a checkpoint of {} entries, the store ends at {}: rolled back",
                         checkpoint->size, size));
    return;
  }
  const auto proof = tree_->Consistency(checkpoint->size, size);
  if (proof.ok() && chain::VerifyConsistency(checkpoint->size, checkpoint->root, size, root, *proof).ok()) return;
  Freeze(fmt::format("a deliverer holds a checkpoint of {} entries that this chain does not extend", checkpoint->size));
}

}  // namespace virp::onode
