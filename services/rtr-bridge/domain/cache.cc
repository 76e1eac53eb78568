#include "services/rtr-bridge/domain/cache.h"

#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/vrp/set.h"
#include "services/rtr-bridge/domain/cache_state.h"

namespace virp::rtr_bridge {
namespace {

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
      told_failed_(sources_.sources().size()),
      told_expired_(sources_.sources().size()) {}

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
  if (!was_usable) Rebuild();
}

void Cache::TakeFailure(std::size_t source, absl::Status why) {
  const MutexLock lock(mutex_);
  const bool first = !sources_.all_tried();
  sources_.TakeFailure(source, std::move(why), clock_.NowNanos());
  RecordSourceChange(source);
  if (first) Rebuild();  // it may have been the one that all waited for
}

void Cache::TakeSlurm(absl::StatusOr<std::shared_ptr<const vrp::Slurm>> slurm) {
  const MutexLock lock(mutex_);
  slurm_.problem = slurm.status();
  if (!slurm.ok()) return;
  slurm_.slurm = *std::move(slurm);
  Rebuild();
}

// A source that fails, and one that gives data again, is on record once.
void Cache::RecordSourceChange(std::size_t source) {
  const SourceState& state = sources_.sources()[source];
  const bool failed = !state.problem.ok();
  const bool expired = state.expired_at(clock_.NowNanos());
  if (failed == told_failed_[source] && expired == told_expired_[source]) return;
  const auto observation = failed ? witness_.SourceFailed(state.name, Message(state.problem), expired)
                                  : witness_.SourceRecovered(state.name);
  if (!recorder_.Record(observation).ok()) return;  // counted there; said again with the next change
  told_failed_[source] = failed;
  told_expired_[source] = expired;
}

void Cache::Tick() {
  const MutexLock lock(mutex_);
  const UnixNanos now = clock_.NowNanos();
  if (held_ && held_->until && now >= *held_->until) {
    Serve(std::exchange(held_candidate_, {}), Request{"hold-max", "the longest time that a guard holds is over", ""});
  }
  if (!next_tick_ || now < *next_tick_) return;
  for (std::size_t source = 0; source < sources_.sources().size(); ++source) RecordSourceChange(source);
  Rebuild();
}

std::optional<UnixNanos> Cache::NextTick() const {
  const MutexLock lock(mutex_);
  if (!held_ || !held_->until) return next_tick_;
  return next_tick_ ? std::min(*next_tick_, *held_->until) : *held_->until;
}

absl::StatusOr<Cache::Candidate> Cache::Make(UnixNanos now) const {
  if (!sources_.all_tried()) return Unavailable("not every source was tried yet");
  if (slurm_files_ && slurm_.slurm == nullptr)
    return Unavailable("the SLURM files could not be read: nothing is served unfiltered");
  ASSIGN_OR_RETURN(SourceTable::Merged merged, sources_.Merge(now));
  Candidate made;
  made.payloads = std::move(merged.payloads);
  for (const std::size_t source : merged.sources) {
    const SourceState& state = sources_.sources()[source];
    made.sources.push_back({state.name, state.reading->sha256});
  }
  if (slurm_.slurm != nullptr) {
    made.payloads = std::make_shared<const vrp::Payloads>(vrp::Apply(*slurm_.slurm, *made.payloads).payloads);
    for (const vrp::Slurm::File& file : slurm_.slurm->files) made.slurm.push_back({file.name, file.sha256});
  }
  const bool keys_go = options_.drop_router_keys && !made.payloads->router_keys.empty();
  const bool aspas_go = options_.drop_aspas && !made.payloads->aspas.empty();
  if (keys_go || aspas_go) {
    auto less = std::make_shared<vrp::Payloads>(*made.payloads);
    if (keys_go) less->router_keys.clear();
    if (aspas_go) less->aspas.clear();
    made.payloads = std::move(less);
  }
  made.sha256 = vrp::HashOf(*made.payloads);
  return made;
}

void Cache::Rebuild() {
  const UnixNanos now = clock_.NowNanos();
  next_tick_ = sources_.NextExpiry(now);
  auto made = Make(now);
  merge_problem_ = made.status();
  if (!made.ok()) return;  // what is served stays
  if (serving_ != nullptr && !generations_.empty() && generations_.back().sha256 == made->sha256) {
    held_.reset();
    held_candidate_ = {};
    return Renew(made->payloads);
  }
  if (held_ && held_->sha256 == made->sha256) return;
  if (IsAsBefore(made->sha256)) return Serve(*std::move(made), std::nullopt);
  std::vector<std::string> objections = Objections(*made->payloads);
  if (objections.empty()) return Serve(*std::move(made), std::nullopt);
  Hold(*std::move(made), std::move(objections), now);
}

bool Cache::IsAsBefore(const Hash& sha256) const {
  return serving_ == nullptr && !generations_.empty() && generations_.back().sha256 == sha256;
}

std::vector<std::string> Cache::Objections(const vrp::Payloads& next) const {
  if (serving_ != nullptr) return FindObjections(options_.guards, *serving_, next);
  if (generations_.empty()) return FindObjections(options_.guards, std::nullopt, next);
  Counts served = generations_.back().counts;
  if (options_.drop_router_keys) served.router_keys = 0;  // it is the operator who has them go
  if (options_.drop_aspas) served.aspas = 0;
  return FindObjections(options_.guards, served, next);
}

void Cache::Hold(Candidate candidate, std::vector<std::string> reasons, UnixNanos now) {
  HeldGeneration held;
  held.number = last_number_ + 1;
  // A newer candidate does not begin the time anew: an upstream that changes all the time would be held for ever.
  held.since = held_ ? held_->since : now;
  if (options_.hold_max) held.until = held.since + static_cast<UnixNanos>(options_.hold_max->count());
  held.reasons = std::move(reasons);
  held.counts = Counts::Of(*candidate.payloads);
  held.sha256 = candidate.sha256;
  held_ = std::move(held);
  held_candidate_ = std::move(candidate);
  static_cast<void>(recorder_.Record(witness_.Held(*held_)));
}

absl::Status Cache::Accept(std::uint64_t generation, const Request& request) {
  const MutexLock lock(mutex_);
  if (!held_ || held_->number != generation)
    return WithReason(FailedPrecondition("generation {} is not held", generation), "NOT_HELD");
  Serve(std::exchange(held_candidate_, {}), request);
  return absl::OkStatus();
}

void Cache::RecordRefresh(const Request& request) {
  static_cast<void>(recorder_.Record(witness_.Refreshed(request)));
}

void Cache::Serve(Candidate candidate, const std::optional<Request>& accepted) {
  static const vrp::Payloads kNothing;
  held_.reset();
  if (IsAsBefore(candidate.sha256)) return Resume(std::move(candidate));
  Generation generation;
  generation.number = ++last_number_;
  generation.activated = clock_.NowNanos();
  generation.counts = Counts::Of(*candidate.payloads);
  generation.sha256 = candidate.sha256;
  generation.sources = std::move(candidate.sources);
  generation.slurm = std::move(candidate.slurm);
  CountChanges(rtr::Diff(serving_ != nullptr ? *serving_ : kNothing, *candidate.payloads), generation);
  history_.Update(candidate.payloads, candidate.sha256);
  serving_ = std::move(candidate.payloads);
  generation.serials = SerialsOf(*history_.snapshot());
  const std::size_t kept = options_.history.max_deltas + 1;
  generations_.push_back(std::move(generation));
  while (generations_.size() > kept) generations_.pop_front();
  Keep();
  auto frame = recorder_.Record(witness_.Served(generations_.back(), accepted, false));
  if (frame.ok()) generations_.back().frame = *std::move(frame);
  on_snapshot_(history_.snapshot(), generations_.back());
}

// This start goes on where the last one ended, which is on record too: with the serials that are told from now on.
void Cache::Resume(Candidate candidate) {
  history_.Update(candidate.payloads, candidate.sha256);
  serving_ = std::move(candidate.payloads);
  Generation& generation = generations_.back();
  generation.serials = SerialsOf(*history_.snapshot());
  generation.sources = std::move(candidate.sources);
  generation.slurm = std::move(candidate.slurm);
  Keep();
  auto frame = recorder_.Record(witness_.Served(generation, std::nullopt, true));
  if (frame.ok()) generation.frame = *std::move(frame);
  on_snapshot_(history_.snapshot(), generation);
}

// A validator says anew, with each run, how long its findings hold. Whoever has them from us must hear it, or drops
// them when the first of these times is over.
void Cache::Renew(const std::shared_ptr<const vrp::Payloads>& payloads) {
  if (payloads == serving_ || ExpireAlike(*serving_, *payloads)) return;
  serving_ = payloads;
  if (on_renewal_) on_renewal_(history_.snapshot(), generations_.back(), serving_);
}

// Before a router hears of a serial it is in the file. While the file cannot be written the sessions are ones that it
// does not know, so that no later start can give a serial of theirs another meaning.
void Cache::Keep() {
  if (state_.Write(Save()).ok()) {
    unsaved_ = false;
    return;
  }
  if (std::exchange(unsaved_, true)) return;
  history_.StartSessions();
  generations_.back().serials = SerialsOf(*history_.snapshot());
}

std::shared_ptr<const rtr::Snapshot> Cache::snapshot() const {
  const MutexLock lock(mutex_);
  return history_.snapshot();
}

CacheStatus Cache::status() const {
  const MutexLock lock(mutex_);
  CacheStatus status;
  if (serving_ != nullptr) status.serving = generations_.back();
  status.held = held_;
  status.sources = sources_.sources();
  status.rule = sources_.rule();
  status.slurm = slurm_;
  status.merge_problem = merge_problem_;
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
