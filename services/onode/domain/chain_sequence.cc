// The sequencer: leads when it may, orders what is queued, commits, answers. While one commit is in flight the next
// batch collects.
#include <algorithm>
#include <span>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "services/onode/domain/chain.h"

namespace virp::onode {
namespace {

constexpr std::chrono::milliseconds kHousekeeping{1'000};
constexpr std::chrono::milliseconds kRetry{50};
constexpr std::size_t kBatchBytes = 4 << 20;
constexpr std::size_t kLongestSourceName = 128;

}  // namespace

void Chain::Run(const std::stop_token& stop) {
  const AtWork work(sequencing_);
  while (!stop.stop_requested()) {
    sequencing_.Beat();
    if (!options_.read_only && frozen().empty() && CanSign() && Compete()) {
      Lead(stop);
      continue;
    }
    const absl::Status followed = frozen().empty() ? Follow() : absl::OkStatus();
    if (absl::IsDataLoss(followed)) Freeze(std::string(Message(followed)));
    const MutexLock lock(mutex_);
    changed_.wait_for(mutex_, options_.follow_interval,
                      [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
  }
}

// Who cannot sign what the chain promised does not lead; another O-Node may.
bool Chain::CanSign() {
  const absl::Status can = vault_.CheckCanSign();
  const MutexLock lock(mutex_);
  cannot_lead_ = Message(can);
  return can.ok();
}

bool Chain::Compete() {
  const auto head = store_.TakeLease(info_.id, options_.instance, options_.address, options_.lease);
  if (!head.ok()) return false;
  lease_renewed_ = clock_.Steady();
  term_ = head->term;
  absl::Status ready = ApplyUpTo(head->size, /*check_tags=*/true);
  if (ready.ok()) {
    const bool fits = Read([&](const ChainState& state) { return state.head == head->head; });
    if (!fits)
      ready =
          DataLoss("PREVIOUS_HASH: the store's head at size {} is not the leaf hash of its newest entry", head->size);
  }
  if (ready.ok()) ready = CheckNewCheckpoint();
  if (ready.ok() && !CanSign()) ready = FailedPrecondition("{}", cannot_lead());
  if (ready.ok()) ready = MakeBuilder();
  if (ready.ok()) SeedAlarms();
  if (ready.ok()) ready = EnterRegistration();
  if (!ready.ok()) {
    if (absl::IsDataLoss(ready)) Freeze(std::string(Message(ready)));
    Resign(Message(ready));
    return false;
  }
  {
    const MutexLock lock(mutex_);
    leader_ = options_.address;
  }
  next_housekeeping_ = clock_.Steady();
  keys_seen_ = {~std::uint64_t{0}, 0};
  leading_ = true;
  changed_.notify_all();
  return true;
}

void Chain::Lead(const std::stop_token& stop) {
  while (leading() && frozen().empty()) {
    sequencing_.Beat();
    if (!RenewIfDue()) return Resign("the lease went to another O-Node");
    const bool draining = stop.stop_requested();
    std::vector<Work> work = NextWork(draining ? std::chrono::milliseconds(0) : kHousekeeping / 4);
    if (draining && work.empty()) break;
    absl::Status done = absl::OkStatus();
    if (clock_.Steady() >= next_housekeeping_) {
      if (!CanSign()) return Resign("a checkpoint key is missing");
      done = Housekeep();
      next_housekeeping_ = clock_.Steady() + kHousekeeping;
    }
    if (done.ok()) done = Process(work);
    if (done.ok()) continue;
    if (absl::IsDataLoss(done)) Freeze(std::string(Message(done)));
    const bool fenced = absl::IsAborted(done);
    Fail(work, fenced ? NotLeader() : done);
    if (fenced || !MakeBuilder().ok()) return Resign(Message(done));
  }
  Resign("stopping");
}

void Chain::Resign(std::string_view /*why*/) {
  leading_ = false;
  builder_.reset();
  static_cast<void>(store_.ReleaseLease(info_.id, term_));  // when it fails the lease runs out by itself
  std::vector<Work> left;
  {
    const MutexLock lock(mutex_);
    if (leader_ == options_.address) leader_.clear();
    for (Work& work : queue_) left.push_back(std::move(work));
    queue_.clear();
    queued_frames_ = 0;
    queued_bytes_ = 0;
  }
  changed_.notify_all();
  Fail(left, NotLeader());
}

bool Chain::RenewIfDue() {
  if (clock_.Steady() < lease_renewed_ + options_.lease / 3) return true;
  const absl::Status renewed = store_.RenewLease(info_.id, term_, options_.lease);
  if (renewed.ok()) lease_renewed_ = clock_.Steady();
  // A store that does not answer is no reason to resign while the lease lasts: the append's compare-and-swap decides
  // who leads. Then it is one: another may lead by now, and deliverers would stay with who is cut from the store.
  return !absl::IsAborted(renewed) && clock_.Steady() < lease_renewed_ + options_.lease;
}

// From what is committed: drops whatever was built and not committed.
absl::Status Chain::MakeBuilder() {
  return Read([this](const ChainState& state) -> absl::Status {
    const auto self = state.book.FindByName(info_.origin);
    OwnKey own;
    for (const OwnKey& key : own_keys_) {
      if (self == nullptr || self->keys.contains(key.version)) own = key;
    }
    if (own.key == nullptr)
      return FailedPrecondition("chain {}: none of the own keys is one that the chain names", info_.origin);
    std::uint64_t epoch = clock_.NowNanos();
    if (self != nullptr) {
      if (const chain::Channel* channel = state.book.FindChannel(self->short_id))
        epoch = std::max(epoch, channel->newest_epoch + 1);
    }
    ChainTip tip{state.book, tree_->Edge(), state.head};
    builder_ = std::make_unique<BatchBuilder>(
        std::move(tip), own, epoch, [this](const std::vector<FrameNumber>& numbers) { return ReadHeld(numbers); },
        &source_limits_, options_.builds.get());
    return absl::OkStatus();
  });
}

std::vector<Chain::Work> Chain::NextWork(std::chrono::milliseconds wait) {
  std::vector<Work> work;
  std::size_t frames = 0;
  std::size_t bytes = 0;
  {
    const MutexLock lock(mutex_);
    changed_.wait_for(mutex_, wait,
                      [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !queue_.empty(); });
    while (!queue_.empty() && frames < options_.batch_frames && bytes < kBatchBytes) {
      for (const auto& candidate : queue_.front().frames) bytes += candidate->delivery.frame.size();
      frames += queue_.front().frames.size();
      work.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    queued_frames_ -= std::min(queued_frames_, frames);
    queued_bytes_ -= std::min(queued_bytes_, bytes);
  }
  if (frames > 0) changed_.notify_all();  // there is room again
  return work;
}

absl::StatusOr<Chain::Result> Chain::Decided(Work& work) {
  const UnixNanos now = clock_.NowNanos();
  Result result;
  if (!work.request_id.empty()) {
    if (const auto held = builder_->tip().book.FindRequest(work.request_id)) {
      result.mutation = Mutation{{*held}, true};
      return result;
    }
  }
  const auto entries = work.decide(builder_->tip().book);
  if (!entries.ok()) {
    result.mutation = entries.status();
    return result;
  }
  if (counters_.reserve_only && !std::all_of(entries->begin(), entries->end(), MayUseReserve)) {
    result.mutation = StoreFull();
    return result;
  }
  for (const OwnEntry& entry : *entries) {
    ASSIGN_OR_RETURN(const std::uint64_t sequence, builder_->AddOwn(entry.type, entry.tier, entry.payload, now));
    result.mutation->entries.push_back(sequence);
    if (entry.type != frame::Type::kAlarmCleared) continue;
    frame::PayloadReader reader;
    const auto payload = reader.Read(entry.payload);
    const auto cleared = payload.ok() ? chain::ParseAlarmCleared(*payload) : payload.status();
    if (cleared.ok()) alarms_.Cleared(cleared->source, cleared->cause);
  }
  return result;
}

absl::StatusOr<Chain::Result> Chain::Delivered(Work& work) {
  const UnixNanos now = clock_.NowNanos();
  Result result;
  if (work.order->broken) {
    result.outcomes = Unavailable("chain {}: an earlier batch of this stream was not taken; connect again", origin());
    return result;
  }
  if (counters_.reserve_only) {
    result.outcomes = StoreFull();
    return result;
  }
  for (std::span<const std::unique_ptr<Candidate>> left(work.frames); !left.empty();) {
    const auto some = left.first(std::min(left.size(), ChainStore::kMostNumbers));
    left = left.subspan(some.size());
    // A store that is slow today must not cost the lead, and with it all that was looked up: it would be sent again.
    if (!RenewIfDue()) return Aborted("chain {}: the lease went to another O-Node", origin());
    RETURN_IF_ERROR(builder_->ReadAhead(some, keys_));
    for (const auto& candidate : some) {
      ASSIGN_OR_RETURN(FrameOutcome outcome, builder_->Add(*candidate, work.order->held, now, keys_, alarms_));
      result.outcomes->push_back(std::move(outcome));
    }
  }
  return result;
}

absl::Status Chain::Process(std::vector<Work>& work) {
  if (work.empty()) return absl::OkStatus();
  const chain::AlarmAggregator before = alarms_;
  std::vector<Result> results;
  absl::Status done = absl::OkStatus();
  for (Work& item : work) {
    auto result = item.decide ? Decided(item) : Delivered(item);
    if (!result.ok()) {
      done = result.status();
      break;
    }
    results.push_back(*std::move(result));
  }
  if (done.ok()) done = EnterAlarms();
  if (done.ok()) done = Commit();
  if (!done.ok()) {
    alarms_ = before;  // the frames come again, and their alarms with them
    return done;
  }
  for (std::size_t i = 0; i < work.size(); ++i) {
    Tell(work[i], results[i]);
  }
  work.clear();
  return absl::OkStatus();
}

// After the commit: counts, keeps what was refused for good, answers.
void Chain::Tell(Work& work, Result& result) {
  for (std::size_t i = 0; result.outcomes.ok() && i < result.outcomes->size(); ++i) {
    const FrameOutcome& outcome = (*result.outcomes)[i];
    if (outcome.result == FrameOutcome::Result::kDuplicate) ++counters_.duplicates;
    if (outcome.result != FrameOutcome::Result::kRefused) continue;
    ++counters_.refused[static_cast<std::size_t>(outcome.reason)];
    if (frame::IsPassing(outcome.reason)) continue;  // the deliverer keeps these
    Candidate& candidate = *work.frames[i];
    quarantine_.Put({.received = candidate.received,
                     .path = *candidate.carrier,
                     .source = candidate.delivery.source.substr(0, kLongestSourceName),
                     .reason = std::string(frame::ReasonName(outcome.reason)),
                     .frame = std::move(candidate.delivery.frame)});
  }
  if (!result.outcomes.ok()) work.order->broken = true;
  if (work.done) work.done(std::move(result.outcomes));
  if (work.decided) work.decided(std::move(result.mutation));
}

absl::Status Chain::Housekeep() {
  RETURN_IF_ERROR(CheckReserve());
  const std::pair seen{keys_.provider().Generation(), builder_->tip().book.generation()};
  if (seen != keys_seen_) {
    RETURN_IF_ERROR(EnterOwnKeyVersion());
    RETURN_IF_ERROR(EnterKeyVersions());
    keys_seen_ = {seen.first, builder_->tip().book.generation()};
  }
  RETURN_IF_ERROR(EnterAlarms());
  return Commit();
}

absl::Status Chain::EnterRegistration() {
  if (builder_->tip().tree.size() > 0) return absl::OkStatus();
  const OwnKey& own = own_keys_.back();
  chain::SourceEvent event;
  event.source = info_.origin;
  chain::Registration& registration = event.registration.emplace();
  registration.source = info_.origin;
  registration.key = {own.version, own.key->suite(), own.key->public_key(), "", clock_.NowNanos(), std::nullopt};
  registration.vantage = chain::Vantage::kService;
  registration.types = {19, 22, 23, 25, 26, 27, 28};
  ASSIGN_OR_RETURN(const std::uint64_t entry, builder_->AddOwn(frame::Type::kSourceEvent, frame::Tier::kGreen,
                                                               chain::BuildSourceEvent(event), clock_.NowNanos()));
  static_cast<void>(entry);
  if (!info_.predecessor.empty()) {
    frame::JsonWriter json;
    json.BeginObject()
        .Field("domain", "virp")
        .Field("event", "predecessor")
        .Field("note", info_.predecessor)
        .EndObject();
    RETURN_IF_ERROR(
        builder_->AddOwn(frame::Type::kForeignCheckpoint, frame::Tier::kGreen, json.Take(), clock_.NowNanos())
            .status());
  }
  return Commit();
}

// A key file of a newer version is there: the chain learns of it before it is used.
absl::Status Chain::EnterOwnKeyVersion() {
  const auto self = builder_->tip().book.FindByName(info_.origin);
  const OwnKey& newest = own_keys_.back();
  if (self == nullptr || self->keys.contains(newest.version)) return absl::OkStatus();
  chain::KeyEvent event;
  event.source = info_.origin;
  event.key = {newest.version, newest.key->suite(), newest.key->public_key(), "", clock_.NowNanos(), std::nullopt};
  if (!builder_->tip().book.CheckKeyEvent(event).ok()) return absl::OkStatus();  // an older version's file came back
  RETURN_IF_ERROR(
      builder_->AddOwn(frame::Type::kKeyEvent, frame::Tier::kGreen, chain::BuildKeyEvent(event), clock_.NowNanos())
          .status());
  builder_->SetOwnKey(newest);
  return absl::OkStatus();
}

absl::Status Chain::EnterKeyEvent(const chain::KeyEvent& event) {
  // A key with impossible times is no reason to stop: its frames are KEY_VERSION_UNKNOWN.
  if (!builder_->tip().book.CheckKeyEvent(event).ok()) return absl::OkStatus();
  const bool bad = event.event == chain::KeyEvent::Event::kCompromised;
  return builder_
      ->AddOwn(frame::Type::kKeyEvent, bad ? frame::Tier::kYellow : frame::Tier::kGreen, chain::BuildKeyEvent(event),
               clock_.NowNanos())
      .status();
}

// What the provider has learnt since of versions that the chain knows: when they end, and since when they are
// compromised. Files say neither of versions that are entered.
absl::Status Chain::EnterKeyChanges(const chain::Source& source) {
  const auto narrows = [](const std::optional<UnixNanos>& to, const std::optional<UnixNanos>& from) {
    return to && (!from || *to < *from);
  };
  for (const frame::KeyVersion& version : keys_.provider().Versions(source.registration.source)) {
    const auto known = source.keys.find(version.version);
    if (known == source.keys.end() || !keys_.Matches(source, version)) continue;
    chain::KeyEvent event;
    event.source = source.registration.source;
    event.version = version.version;
    const chain::KeyState& state = known->second;
    if (version.sign_until && (narrows(version.sign_until, state.sign_until) ||
                               narrows(version.accept_until, state.statement.accept_until))) {
      event.event = chain::KeyEvent::Event::kWindow;
      event.sign_until = version.sign_until;
      event.accept_until = version.accept_until;
      RETURN_IF_ERROR(EnterKeyEvent(event));
    }
    if (narrows(version.compromised_since, state.compromised_since)) {
      event.event = chain::KeyEvent::Event::kCompromised;
      event.compromised_since = *version.compromised_since;
      event.reason = "the key manager marked it compromised";
      RETURN_IF_ERROR(EnterKeyEvent(event));
    }
  }
  return absl::OkStatus();
}

absl::Status Chain::EnterKeyVersions() {
  const auto sources = builder_->tip().book.Sources();
  for (const auto& source : sources) {
    const std::string& name = source->registration.source;
    if (name == info_.origin || source->keys.empty()) continue;
    RETURN_IF_ERROR(EnterKeyChanges(*source));
    const std::uint32_t known = source->keys.rbegin()->first;
    bool asymmetric = source->keys.rbegin()->second.statement.suite == frame::Suite::kEd25519;
    std::optional<UnixNanos> previous_until;
    for (const frame::KeyVersion& version : keys_.provider().Versions(name)) {
      const bool is_new = version.version > known;
      const bool downgrade = asymmetric && version.key->suite() != frame::Suite::kEd25519;  // refused for ever
      if (is_new && !downgrade) {
        chain::KeyEvent event;
        event.source = name;
        event.key = {version.version,           version.key->suite(),
                     version.key->public_key(), version.key->Commitment(name, version.version),
                     version.accept_from,       version.accept_until};
        event.previous_accept_until = previous_until;
        if (!builder_->tip().book.CheckKeyEvent(event).ok()) continue;
        RETURN_IF_ERROR(EnterKeyEvent(event));
        asymmetric = version.key->suite() == frame::Suite::kEd25519;
      }
      previous_until = version.accept_until;
    }
  }
  return absl::OkStatus();
}

// One alarm a minute for each source and cause holds over take-overs and restarts, too: when the last was entered is in
// the chain.
void Chain::SeedAlarms() {
  std::vector<std::pair<std::string, chain::ActiveAlarm>> standing;
  Read([&](const ChainState& state) {
    for (const auto& source : state.book.Sources()) {
      const chain::Channel* channel = state.book.FindChannel(source->short_id);
      if (channel == nullptr) continue;
      for (const auto& [cause, alarm] : channel->alarms) standing.emplace_back(source->registration.source, alarm);
    }
  });
  alarms_ = chain::AlarmAggregator();
  for (const auto& [source, alarm] : standing) {
    const auto row = ReadChecked(alarm.entry);
    const auto entry = row.ok() ? chain::DecodeEntry(row->bytes) : row.status();
    if (entry.ok()) alarms_.Entered(source, alarm.cause, alarm.state, entry->header.received_us * 1'000);
  }
}

absl::Status Chain::EnterAlarms() {
  for (const chain::Alarm& alarm : alarms_.TakeDue(clock_.NowNanos())) {
    RETURN_IF_ERROR(
        builder_->AddOwn(frame::Type::kChannelAlarm, frame::Tier::kYellow, chain::BuildAlarm(alarm), clock_.NowNanos())
            .status());
  }
  return absl::OkStatus();
}

absl::Status Chain::Commit() {
  if (builder_->rows() == 0) return absl::OkStatus();
  const AppendBatch batch = builder_->Take(term_);
  const auto started = std::chrono::steady_clock::now();
  absl::Status appended = store_.Append(info_.id, batch);
  // Fenced and full say that nothing was written; whatever else went wrong is settled by reading, never by guessing.
  if (!appended.ok() && !absl::IsAborted(appended) && !absl::IsResourceExhausted(appended))
    appended = SettleUnknown(batch);
  counters_.commit_seconds.Add(std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  if (absl::IsAborted(appended)) ++counters_.fenced;
  RETURN_IF_ERROR(appended);
  counters_.appended += batch.rows.size();
  counters_.commit_entries.Add(static_cast<double>(batch.rows.size()));
  Publish(batch);
  return absl::OkStatus();
}

absl::Status Chain::SettleUnknown(const AppendBatch& batch) {
  ++counters_.unknown_commits;
  while (true) {
    const auto head = store_.ReadHead(info_.id);
    if (head.ok()) {
      const std::uint64_t new_size = batch.old_size + batch.rows.size();
      if (head->size == new_size && head->head == batch.new_head) return absl::OkStatus();
      if (head->size != batch.old_size || head->head != batch.old_head || head->term != batch.term) {
        return Aborted("chain {}: another leader went on from size {}", origin(), batch.old_size);
      }
      const absl::Status again = store_.Append(info_.id, batch);  // the identical bytes
      if (again.ok() || absl::IsResourceExhausted(again)) return again;
      // Aborted: the head moved on, be it that the commit in doubt came true while this one waited for it. Read again.
    }
    const MutexLock lock(mutex_);
    const bool stopped =
        changed_.wait_for(mutex_, kRetry, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
    if (stopped) return Unavailable("chain {}: stopping while a commit's outcome is not known", origin());
  }
}

void Chain::Publish(const AppendBatch& batch) {
  frame::PayloadReader reader;
  {
    const WriterLock lock(state_mutex_);
    ChainState& state = *state_;
    for (const EntryRow& row : batch.rows) {
      // All of this was checked when it was built.
      const auto entry = chain::DecodeEntry(row.bytes);
      const auto frame = frame::Decode(entry->frame, entry->header.spelling);
      const auto parsed = reader.Read(frame->payload);
      const std::optional<frame::Value> payload = parsed.ok() ? std::optional(*parsed) : std::nullopt;
      auto source = state.book.FindByShortId(entry->header.source);
      chain::Registration none;
      const chain::Registration* registration = source != nullptr ? &source->registration : &none;
      if (source == nullptr && payload) {  // entry 0 registers itself
        if (auto event = chain::ParseSourceEvent(*payload); event.ok() && event->registration)
          none = *event->registration;
      }
      chain::Statement statement = chain::ReadStatement(*registration, frame->header.type, payload);
      static_cast<void>(state.book.Apply(*entry, *frame, statement, payload));  // the builder's book took it
      state.facts.Apply(*entry, *frame, statement, payload, state.book);
      if (auto roll = ReadRoll(info_.origin, *entry, *frame, payload)) state.rolled.push_back(*std::move(roll));
      tree_->Append(row.leaf);
      state.head = row.leaf;
      state.received_us = entry->header.received_us;
    }
    state.size = batch.old_size + batch.rows.size();
    state.root = tree_->Root();
    committed_size_ = state.size;
    if (const absl::Status refolded = RefoldCompromised(); !refolded.ok()) Freeze(std::string(Message(refolded)));
  }
  NotifyGrowth();
}

absl::Status Chain::CheckReserve() {
  ASSIGN_OR_RETURN(const StoreUsage usage, store_.Usage());
  const std::uint64_t open = usage.limit_bytes / 100 * (100 - options_.reserve_percent);
  counters_.reserve_only = usage.limit_bytes > 0 && usage.used_bytes > open;
  counters_.store_used_bytes = usage.used_bytes;
  counters_.store_limit_bytes = usage.limit_bytes;
  counters_.store_unindexed = usage.unindexed;
  return absl::OkStatus();
}

// Alarms, clearing, keys, suspensions and what a break-glass door says: what an operator needs on the day that the
// store is full.
bool Chain::MayUseReserve(const OwnEntry& entry) {
  if (entry.type == frame::Type::kForeignCheckpoint) return false;
  if (entry.type != frame::Type::kSourceEvent) return true;
  frame::PayloadReader reader;
  const auto payload = reader.Read(entry.payload);
  if (!payload.ok()) return false;
  const auto event = chain::ParseSourceEvent(*payload);
  return event.ok() && !event->registration.has_value();
}

absl::Status Chain::StoreFull() const {
  return WithReason(
      ResourceExhausted("chain {}: the store is full but for its reserve; archive or enlarge it", origin()),
      "STORE_FULL");
}

void Chain::Fail(std::vector<Work>& work, const absl::Status& status) {
  for (Work& item : work) {
    if (item.order != nullptr) item.order->broken = true;
    if (item.done) item.done(status);
    if (item.decided) item.decided(status);
  }
  work.clear();
}

}  // namespace virp::onode
