#include "services/rtr-bridge/domain/cache.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/vrp/set.h"
#include "services/rtr-bridge/domain/cache_state.h"
#include "services/rtr-bridge/domain/expiry_guard.h"

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kSecond = 1'000'000'000;
constexpr UnixNanos kSaveAgain = 10 * kSecond;

std::array<Serial, rtr::kVersions> SerialsOf(const rtr::Snapshot& snapshot) {
  std::array<Serial, rtr::kVersions> serials;
  for (std::uint8_t version = 0; version < rtr::kVersions; ++version)
    serials.at(version) = {snapshot.session(version), snapshot.serial(version)};
  return serials;
}

void CountChanges(const rtr::Delta& delta, Generation& generation) {
  const auto add = [&](const auto& changes) {
    generation.announced += changes.announced.size();
    generation.withdrawn += changes.withdrawn.size();
  };
  add(delta.vrps4);
  add(delta.vrps6);
  add(delta.router_keys);
  for (const rtr::AspaChange& change : delta.aspas)
    ++(change.after.empty() ? generation.withdrawn : generation.announced);
}

// Of two equal sets.
bool ExpireAlike(const vrp::Payloads& a, const vrp::Payloads& b) {
  const auto alike = [](const auto& one, const auto& other) {
    return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                      [](const auto& x, const auto& y) { return x.expires == y.expires; });
  };
  return alike(a.vrps4, b.vrps4) && alike(a.vrps6, b.vrps6) && alike(a.router_keys, b.router_keys) &&
         alike(a.aspas, b.aspas);
}

}  // namespace

Cache::Cache(CacheOptions options, SourceTable sources, bool slurm_files, rtr::RandomSession random,
             const Witness& witness, Recorder& recorder, StateFile& state, const Clock& clock, OnSnapshot on_snapshot,
             OnRenewal on_renewal)
    : options_(std::move(options)),
      slurm_files_(slurm_files),
      witness_(witness),
      recorder_(recorder),
      state_(state),
      clock_(clock),
      on_snapshot_(std::move(on_snapshot)),
      on_renewal_(std::move(on_renewal)),
      sources_(std::move(sources)),
      history_(options_.history, std::move(random)),
      quarantine_(options_.guards, options_.hold_max),
      pace_(options_.pace) {}

absl::Status Cache::Restore(std::string_view state) {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(SavedCache saved, ParseSavedCache(state));
  RETURN_IF_ERROR(history_.Restore(saved.history));
  generations_ = std::move(saved.generations);
  last_number_ = saved.last_number;
  return absl::OkStatus();
}

std::string Cache::Save() const {
  return BuildSavedCache(last_number_, generations_, history_.Save());
}

void Cache::TakeGood(std::size_t source, Reading reading) {
  const MutexLock lock(mutex_);
  sources_.TakeGood(source, std::move(reading), clock_.NowNanos());
  RecordSourceChange(source);
  Rebuild();
}

void Cache::TakeUnchanged(std::size_t source) {
  const MutexLock lock(mutex_);
  const bool was_usable = sources_.sources()[source].usable_at(clock_.NowNanos());
  sources_.TakeUnchanged(source, clock_.NowNanos());
  RecordSourceChange(source);
  was_usable ? Schedule() : Rebuild();
}

void Cache::TakeFailure(std::size_t source, absl::Status why) {
  const MutexLock lock(mutex_);
  const bool first = !sources_.all_tried();
  sources_.TakeFailure(source, std::move(why), clock_.NowNanos());
  RecordSourceChange(source);
  // It may have been the one that all waited for. What a feed had expires from now on.
  first ? Rebuild() : Schedule();
}

void Cache::TakeSlurm(absl::StatusOr<std::shared_ptr<const vrp::Slurm>> slurm) {
  const MutexLock lock(mutex_);
  slurm_.problem = slurm.status();
  if (slurm.ok() == slurm_.told_failed) {
    const auto change = slurm.ok() ? witness_.SlurmRecovered() : witness_.SlurmFailed(Message(slurm_.problem));
    if (recorder_.Record(change).ok()) slurm_.told_failed = !slurm.ok();
  }
  if (!slurm.ok()) return;
  slurm_.slurm = *std::move(slurm);
  Rebuild();
}

// A source that fails, and one that gives data again, is on record once.
void Cache::RecordSourceChange(std::size_t source) {
  const SourceState& state = sources_.sources()[source];
  const bool failed = !state.problem.ok();
  const bool expired = state.expired_at(clock_.NowNanos());
  if (failed == state.told_failed && expired == state.told_expired) return;
  const auto observation = failed ? witness_.SourceFailed(state.name, Message(state.problem), expired)
                                  : witness_.SourceRecovered(state.name);
  if (!recorder_.Record(observation).ok()) return;  // counted there; said again with the next change
  sources_.NoteTold(source, failed, expired);
}

void Cache::Tick() {
  const MutexLock lock(mutex_);
  const UnixNanos now = clock_.NowNanos();
  if (next_tick_ && now >= *next_tick_) {
    for (std::size_t source = 0; source < sources_.sources().size(); ++source) RecordSourceChange(source);
    Rebuild();
  }
  // While a rebuild is put off, what is held may be what no source has any more.
  if (const auto until = quarantine_.until(); until && now >= *until && !put_off_)
    ServeHeld({"hold-max", "the longest time that a guard holds is over", ""});
  if (unrecorded_ && recorder_.HasRoom()) RecordServed(std::optional(unrecorded_->accepted), ServedWhen::kLate);
  KeepLater(now);
}

std::optional<UnixNanos> Cache::NextTick() const {
  const MutexLock lock(mutex_);
  const std::optional<UnixNanos> until = quarantine_.until();
  if (!until || put_off_) return next_tick_;
  return next_tick_ ? std::min(*next_tick_, *until) : *until;
}

absl::StatusOr<Candidate> Cache::Make(UnixNanos now) const {
  if (slurm_files_ && slurm_.slurm == nullptr)
    return Unavailable("the SLURM files could not be read: nothing is served unfiltered");
  return MakeCandidate(sources_, slurm_.slurm.get(), {options_.drop_router_keys, options_.drop_aspas}, now);
}

void Cache::Rebuild() {
  const UnixNanos now = clock_.NowNanos();
  put_off_ = serving_ != nullptr && now < pace_.ReadyAt(now);
  next_tick_.reset();
  if (!put_off_) {
    made_of_ = sources_.UsableAt(now);
    auto made = Make(now);
    merge_problem_ = made.status();
    if (made.ok()) left_out_ = std::move(made->left_out);
    made.ok() ? Consider(*std::move(made), now) : ServeWithoutSources(now);
  }
  Schedule();
}

void Cache::Schedule() {
  const UnixNanos now = clock_.NowNanos();
  if (next_tick_ && *next_tick_ <= now) return;  // it is still to be done
  next_tick_ = sources_.NextExpiry(now);
  const auto take = [&](UnixNanos at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!next_tick_ || at < *next_tick_) next_tick_ = at;
  };
  if (put_off_) {
    take(pace_.ReadyAt(now));
  } else if (sources_.UsableAt(now) != made_of_) {
    take(now);
  }
  if (serving_ == nullptr || serving_state_ == ServingState::kStopped) return;
  const vrp::Expires own = sources_.expiries().Behind(serving_, static_cast<std::int64_t>(now / kSecond));
  if (own != vrp::kNeverExpires) take(own * kSecond);
}

void Cache::Consider(Candidate candidate, UnixNanos now) {
  if (serving_ != nullptr && generations_.back().sha256 == candidate.sha256) {
    // Its expiries alone can empty what is served, a moment later.
    auto objections = FindExpiryObjections(options_.guards, *serving_, *candidate.payloads, now);
    if (!objections.empty()) return ServeOn(std::move(candidate), std::move(objections), now);
    quarantine_.Clear();
    if (serving_state_ == ServingState::kStopped) {
      on_snapshot_(history_.snapshot(), generations_.back());
      TellRenewed();  // the snapshot expires as it did when it was made
    }
    Renew(candidate.payloads);
    return Enter(ServingState::kCurrent, "");
  }
  if (IsAsBefore(candidate.sha256)) return ServeCurrent(std::move(candidate), std::nullopt);
  const Set lasting = Lasting(now);
  // What is expired by itself goes, whatever guards say.
  const bool only_expired = lasting != serving_ && vrp::HashOf(*lasting) == candidate.sha256;
  std::vector<Objection> objections;
  if (!only_expired) objections = Objections(lasting, candidate, now);
  if (lasting != nullptr) {
    std::ranges::move(FindExpiryObjections(options_.guards, *lasting, *candidate.payloads, now),
                      std::back_inserter(objections));
  }
  if (objections.empty()) return ServeCurrent(std::move(candidate), std::nullopt);
  ServeOn(std::move(candidate), std::move(objections), now);
}

void Cache::ServeOn(Candidate candidate, std::vector<Objection> objections, UnixNanos now) {
  if (serving_ != nullptr && serving_state_ != ServingState::kStopped) {
    // What stays expires as its sources say now.
    Renew(WithExpiriesOf(serving_, *candidate.payloads,
                         AnyOfExpiry(objections) ? TakeExpiry::kLater : TakeExpiry::kAlways));
    const Set lasting = Lasting(now);
    if (lasting->size() == 0 && serving_->size() != 0) {
      Stop("all that was served is expired, and a guard holds what sources have now");
    } else {
      ServeLasting(lasting);
    }
  }
  Hold(std::move(candidate), std::move(objections), now);
}

Cache::Set Cache::Lasting(UnixNanos now) const {
  return serving_ == nullptr ? nullptr : WithoutExpired(serving_, now, sources_.expiries());
}

void Cache::ServeLasting(const Set& lasting) {
  if (lasting == serving_) return;
  const Generation& last = generations_.back();
  Serve({lasting, vrp::HashOf(*lasting), last.sources, last.slurm}, std::nullopt);
}

// The last good set stays, and shrinks by rule only. A guard that held something held what no source stands for now.
void Cache::ServeWithoutSources(UnixNanos now) {
  quarantine_.Clear();
  if (serving_ == nullptr || serving_state_ == ServingState::kStopped) return;
  const Set lasting = Lasting(now);
  const std::string problem(merge_problem_.message());
  if (options_.when_stale == WhenStale::kStop) return Stop(problem);
  if (lasting->size() == 0) return Stop(problem + "; all that was served is expired");
  Enter(ServingState::kStale, problem);
  ServeLasting(lasting);
}

void Cache::Stop(std::string_view problem) {
  Enter(ServingState::kStopped, problem);
  on_snapshot_(nullptr, generations_.back());
}

void Cache::Enter(ServingState state, std::string_view problem) {
  if (state == serving_state_) return;
  const bool first = serving_state_ == ServingState::kNothing;  // of that the generation's record tells
  serving_state_ = state;
  if (state == ServingState::kCurrent) {
    stale_since_.reset();
  } else if (!stale_since_) {
    stale_since_ = clock_.NowNanos();
  }
  if (!first) static_cast<void>(recorder_.Record(witness_.ServingChanged(state, generations_.back().number, problem)));
}

bool Cache::IsAsBefore(const Hash& sha256) const {
  return serving_ == nullptr && !generations_.empty() && generations_.back().sha256 == sha256;
}

std::vector<Objection> Cache::Objections(const Set& lasting, Candidate& candidate, UnixNanos now) {
  const GuardOptions& guards = options_.guards;
  const vrp::Payloads& next = *candidate.payloads;
  if (serving_ == nullptr) {
    if (generations_.empty()) return FindObjections(guards, std::nullopt, next);
    Counts served = generations_.back().counts;
    if (options_.drop_router_keys) served.router_keys = 0;  // it is the operator who has them go
    if (options_.drop_aspas) served.aspas = 0;
    return FindObjections(guards, served, next);
  }
  if (lasting->size() == 0 && serving_->size() != 0) return FindObjections(guards, std::nullopt, next);
  if (lasting == serving_) candidate.delta = std::make_shared<const rtr::Delta>(candidate.DeltaFrom(serving_));
  const rtr::Delta* const delta = candidate.delta.get();
  std::vector<Objection> objections = delta == nullptr ? FindObjections(guards, *lasting, next)
                                                       : FindObjections(guards, Counts::Of(*serving_), *delta, next);
  if (!objections.empty()) return objections;
  return reference_.FindObjections(guards, serving_, delta, next, now, sources_.expiries());
}

void Cache::Hold(Candidate candidate, std::vector<Objection> objections, UnixNanos now) {
  pace_.Take(now);
  const bool is_new =
      quarantine_.Hold(std::move(candidate), std::move(objections), last_number_ + 1, now, sources_.expiries());
  if (is_new) static_cast<void>(recorder_.Record(witness_.Held(*quarantine_.held())));
}

absl::Status Cache::Accept(std::uint64_t generation, const Hash& sha256, const Request& request) {
  const MutexLock lock(mutex_);
  if (!quarantine_.IsNamed(generation, sha256)) {
    return WithReason(FailedPrecondition("generation {} with set {} is not held: look at what is held now", generation,
                                         HexEncode(View(sha256))),
                      "NOT_HELD");
  }
  ServeHeld(request);
  return absl::OkStatus();
}

void Cache::RecordRefresh(const Request& request) {
  static_cast<void>(recorder_.Record(witness_.Refreshed(request)));
}

void Cache::ServeHeld(const Request& request) {
  ServeCurrent(quarantine_.Release(), request);
  Schedule();
}

void Cache::ServeCurrent(Candidate candidate, const std::optional<Request>& accepted) {
  quarantine_.Clear();
  Serve(std::move(candidate), accepted);
  if (accepted) reference_.Begin(serving_, clock_.NowNanos());
  Enter(ServingState::kCurrent, "");
}

void Cache::Serve(Candidate candidate, const std::optional<Request>& accepted) {
  if (IsAsBefore(candidate.sha256)) return Resume(std::move(candidate));
  Generation generation;
  generation.number = ++last_number_;
  generation.activated = clock_.NowNanos();
  generation.counts = Counts::Of(*candidate.payloads);
  generation.sha256 = candidate.sha256;
  generation.sources = std::move(candidate.sources);
  generation.slurm = std::move(candidate.slurm);
  pace_.Take(generation.activated);
  const rtr::History::Outcome outcome =
      history_.Update(candidate.payloads, candidate.sha256, std::move(candidate.delta));
  if (outcome.delta != nullptr) {
    CountChanges(*outcome.delta, generation);
    reference_.Follow(*outcome.delta);
  } else {
    generation.announced = candidate.payloads->size();
  }
  serving_ = std::move(candidate.payloads);
  if (!reference_.begun()) reference_.Begin(serving_, generation.activated);
  generation.serials = SerialsOf(*history_.snapshot());
  const std::size_t kept = options_.history.max_deltas + 1;
  generations_.push_back(std::move(generation));
  while (generations_.size() > kept) generations_.pop_front();
  Keep();
  RecordServed(accepted, ServedWhen::kNow);
  on_snapshot_(history_.snapshot(), generations_.back());
  if (!outcome.changed) TellRenewed();  // the snapshot expires as it did when it was made
}

// This start goes on where the last one ended, which is on record too: with the serials that are told from now on.
void Cache::Resume(Candidate candidate) {
  history_.Update(candidate.payloads, candidate.sha256);
  serving_ = std::move(candidate.payloads);
  reference_.Begin(serving_, clock_.NowNanos());
  Generation& generation = generations_.back();
  generation.serials = SerialsOf(*history_.snapshot());
  generation.sources = std::move(candidate.sources);
  generation.slurm = std::move(candidate.slurm);
  Keep();
  RecordServed(std::nullopt, ServedWhen::kResumed);
  on_snapshot_(history_.snapshot(), generation);
}

// A validator says anew, with each run, how long its findings hold. Whoever has them from us must hear it, or drops
// them when the first of these times is over.
void Cache::Renew(const std::shared_ptr<const vrp::Payloads>& payloads) {
  if (payloads == serving_ || ExpireAlike(*serving_, *payloads)) return;
  serving_ = payloads;
  TellRenewed();
}

void Cache::TellRenewed() {
  if (on_renewal_) on_renewal_(history_.snapshot(), generations_.back(), serving_);
}

void Cache::RecordServed(const std::optional<Request>& accepted, ServedWhen when) {
  auto frame = recorder_.Record(witness_.Served(generations_.back(), accepted, when));
  unrecorded_.reset();
  if (!frame.ok()) {
    unrecorded_ = Unrecorded{accepted};
    return;
  }
  generations_.back().frame = *std::move(frame);
  frame_unsaved_ = !generations_.back().frame.empty();
}

// Before a router hears of a serial it is in the file. While the file cannot be written the sessions are ones that it
// does not know, so that no later start can give a serial of theirs another meaning.
void Cache::Keep() {
  WriteState();
  if (state_problem_.ok() || !file_knows_sessions_) return;
  history_.StartSessions();
  file_knows_sessions_ = false;
  generations_.back().serials = SerialsOf(*history_.snapshot());
}

void Cache::WriteState() {
  state_problem_ = state_.Write(Save());
  if (state_problem_.ok() || absl::IsDataLoss(state_problem_)) file_knows_sessions_ = true;
}

// What is not in the file yet and need not be before routers hear of it.
void Cache::KeepLater(UnixNanos now) {
  const bool due = now >= next_save_ || next_save_ > now + kSaveAgain;
  if (serving_ == nullptr || !due || (state_problem_.ok() && !frame_unsaved_)) return;
  WriteState();
  if (state_problem_.ok()) frame_unsaved_ = false;
  next_save_ = now + kSaveAgain;
}

std::shared_ptr<const rtr::Snapshot> Cache::snapshot() const {
  const MutexLock lock(mutex_);
  if (serving_state_ == ServingState::kStopped) return nullptr;
  return history_.snapshot();
}

CacheStatus Cache::status() const {
  const MutexLock lock(mutex_);
  CacheStatus status;
  status.state = serving_state_;
  status.stale_since = stale_since_;
  if (serving_ != nullptr && serving_state_ != ServingState::kStopped) status.serving = generations_.back();
  if (const HeldGeneration* held = quarantine_.held()) status.held = *held;
  status.sources = sources_.sources();
  status.rule = sources_.rule();
  status.slurm = slurm_;
  status.left_out = left_out_;
  status.merge_problem = merge_problem_;
  status.state_problem = state_problem_;
  return status;
}

UnixNanos Cache::TrueAt() const {
  const UnixNanos now = clock_.NowNanos();
  const MutexLock lock(mutex_);
  return sources_.TrueAt(now);
}

std::vector<Generation> Cache::generations() const {
  const MutexLock lock(mutex_);
  return {generations_.begin(), generations_.end()};
}

}  // namespace virp::rtr_bridge
