#include "services/rtr-bridge/domain/cache.h"

#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/vrp/replace.h"
#include "lib/vrp/set.h"
#include "services/rtr-bridge/domain/cache_state.h"

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kSecond = 1'000'000'000;
constexpr UnixNanos kHour = 3'600 * kSecond;
constexpr UnixNanos kSaveAgain = 10 * kSecond;
constexpr std::size_t kFewInAnHour = 10;  // of a kind: so many may come or go one by one
constexpr std::size_t kMostNames = 100;   // of one held generation

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
  if (held_ && held_->told.until && now >= *held_->told.until)
    ServeHeld({"hold-max", "the longest time that a guard holds is over", ""});
  if (unrecorded_ && recorder_.HasRoom()) RecordServed(std::optional(unrecorded_->accepted), ServedWhen::kLate);
  KeepLater(now);
}

std::optional<UnixNanos> Cache::NextTick() const {
  const MutexLock lock(mutex_);
  if (!held_ || !held_->told.until) return next_tick_;
  return next_tick_ ? std::min(*next_tick_, *held_->told.until) : *held_->told.until;
}

absl::StatusOr<Cache::Candidate> Cache::Make(UnixNanos now) const {
  if (!sources_.all_tried()) return Unavailable("not every source was tried yet");
  if (slurm_files_ && slurm_.slurm == nullptr)
    return Unavailable("the SLURM files could not be read: nothing is served unfiltered");
  ASSIGN_OR_RETURN(SourceTable::Merged merged, sources_.Merge(now));
  Candidate made;
  made.payloads = std::move(merged.payloads);
  made.left_out = std::move(merged.left_out);
  for (const std::size_t source : merged.sources) {
    const SourceState& state = sources_.sources()[source];
    made.sources.push_back({state.name, state.reading->sha256});
  }
  if (slurm_.slurm != nullptr) {
    vrp::Applied applied = vrp::Apply(*slurm_.slurm, *made.payloads);
    made.payloads = std::make_shared<const vrp::Payloads>(std::move(applied.payloads));
    std::move(applied.refused.begin(), applied.refused.end(), std::back_inserter(made.left_out));
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
  const auto same = std::find_if(merged.sources.begin(), merged.sources.end(),
                                 [&](std::size_t source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                                   const Reading& reading = *sources_.sources()[source].reading;
                                   return reading.sha256_of_set && reading.payloads == made.payloads;
                                 });
  made.sha256 = same == merged.sources.end() ? vrp::HashOf(*made.payloads) : sources_.sources()[*same].reading->sha256;
  return made;
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
    held_.reset();
    if (serving_state_ == ServingState::kStopped) on_snapshot_(history_.snapshot(), generations_.back());
    Renew(candidate.payloads);
    return Enter(ServingState::kCurrent, "");
  }
  if (IsAsBefore(candidate.sha256)) return ServeCurrent(std::move(candidate), std::nullopt);
  Set lasting = Lasting(now);
  // What is expired by itself goes, whatever guards say.
  const bool only_expired = lasting != serving_ && vrp::HashOf(*lasting) == candidate.sha256;
  std::vector<Objection> objections;
  if (!only_expired) objections = Objections(lasting, candidate, now);
  if (objections.empty()) return ServeCurrent(std::move(candidate), std::nullopt);
  if (serving_ != nullptr && serving_state_ != ServingState::kStopped) {
    RenewFrom(*candidate.payloads);  // what stays expires as its sources say now
    lasting = Lasting(now);
    if (lasting->size() == 0 && serving_->size() != 0) {
      Stop("all that was served is expired, and a guard holds what sources have now");
    } else {
      ServeLasting(lasting);
    }
  }
  Hold(std::move(candidate), std::move(objections), now);
}

Cache::Set Cache::WithoutExpired(const Set& set, UnixNanos now) const {
  const auto second = static_cast<std::int64_t>(now / kSecond);
  if (!vrp::IsExpired(sources_.expiries().Of(set), second)) return set;
  return std::make_shared<const vrp::Payloads>(vrp::WithoutExpired(*set, second));
}

Cache::Set Cache::Lasting(UnixNanos now) const {
  return serving_ == nullptr ? nullptr : WithoutExpired(serving_, now);
}

void Cache::ServeLasting(const Set& lasting) {
  if (lasting == serving_) return;
  const Generation& last = generations_.back();
  Serve({lasting, vrp::HashOf(*lasting), last.sources, last.slurm}, std::nullopt);
}

// The last good set stays, and shrinks by rule only. A guard that held something held what no source stands for now.
void Cache::ServeWithoutSources(UnixNanos now) {
  held_.reset();
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
  if (now < reference_->since || now - reference_->since >= kHour) reference_ = {serving_, now};
  if (lasting == serving_)
    candidate.delta = std::make_shared<const rtr::Delta>(rtr::Diff(history_.snapshot()->payloads(), next));
  std::vector<Objection> objections = candidate.delta == nullptr
                                          ? FindObjections(guards, *lasting, next)
                                          : FindObjections(guards, Counts::Of(*serving_), *candidate.delta, next);
  if (!objections.empty() || reference_->payloads == serving_) return objections;
  const std::chrono::nanoseconds ago(now - reference_->since);
  return FindChanges(guards, *WithoutExpired(reference_->payloads, now), next, kFewInAnHour, ago);
}

void Cache::Hold(Candidate candidate, std::vector<Objection> objections, UnixNanos now) {
  pace_.Take(now);
  const bool goes_on = held_ && GoesOn(*held_, candidate, objections);
  const bool same = held_ && (held_->candidate.sha256 == candidate.sha256 ||
                              vrp::HashOf(*WithoutExpired(held_->candidate.payloads, now)) == candidate.sha256);
  Held next;
  HeldGeneration& told = next.told;
  told.number = last_number_ + 1;
  told.since = goes_on ? held_->told.since : now;
  if (options_.hold_max) told.until = told.since + static_cast<UnixNanos>(options_.hold_max->count());
  for (const Objection& objection : objections) told.reasons.push_back(objection.text);
  told.counts = Counts::Of(*candidate.payloads);
  told.sha256 = candidate.sha256;
  if (same) next.names = std::move(held_->names);
  const std::pair name(told.number, told.sha256);
  const bool is_new = next.names.empty() || next.names.back() != name;
  if (is_new) next.names.push_back(name);
  if (next.names.size() > kMostNames) next.names.erase(next.names.begin());
  next.objections = std::move(objections);
  next.candidate = std::move(candidate);
  next.candidate.delta.reset();  // routers may have something else by then
  held_ = std::move(next);
  if (is_new) static_cast<void>(recorder_.Record(witness_.Held(held_->told)));
}

// Whether what is held now is about what was held before: an upstream that changes all the time must not be held for
// ever, and what a person has seen for an hour must not be replaced by something worse in the last second.
bool Cache::GoesOn(const Held& held, const Candidate& candidate, const std::vector<Objection>& objections) const {
  const bool known = std::all_of(objections.begin(), objections.end(), [&](const Objection& objection) {
    return std::any_of(held.objections.begin(), held.objections.end(),
                       [&](const Objection& before) { return before.about == objection.about; });
  });
  const Set before = WithoutExpired(held.candidate.payloads, clock_.NowNanos());
  return known && FindChanges(options_.guards, *before, *candidate.payloads, 1, {}).empty();
}

absl::Status Cache::Accept(std::uint64_t generation, const Hash& sha256, const Request& request) {
  const MutexLock lock(mutex_);
  const std::pair name(generation, sha256);
  if (!held_ || std::find(held_->names.begin(), held_->names.end(), name) == held_->names.end()) {
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
  ServeCurrent(std::move(held_->candidate), request);
  Schedule();
}

void Cache::ServeCurrent(Candidate candidate, const std::optional<Request>& accepted) {
  held_.reset();
  Serve(std::move(candidate), accepted);
  if (accepted) reference_ = {serving_, clock_.NowNanos()};
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
  } else {
    generation.announced = candidate.payloads->size();
  }
  serving_ = std::move(candidate.payloads);
  if (!reference_) reference_ = {serving_, generation.activated};
  generation.serials = SerialsOf(*history_.snapshot());
  const std::size_t kept = options_.history.max_deltas + 1;
  generations_.push_back(std::move(generation));
  while (generations_.size() > kept) generations_.pop_front();
  Keep();
  RecordServed(accepted, ServedWhen::kNow);
  on_snapshot_(history_.snapshot(), generations_.back());
}

// This start goes on where the last one ended, which is on record too: with the serials that are told from now on.
void Cache::Resume(Candidate candidate) {
  history_.Update(candidate.payloads, candidate.sha256);
  serving_ = std::move(candidate.payloads);
  reference_ = {serving_, clock_.NowNanos()};
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
  if (on_renewal_) on_renewal_(history_.snapshot(), generations_.back(), serving_);
}

void Cache::RenewFrom(const vrp::Payloads& other) {
  vrp::Payloads renewed = vrp::Renewed(*serving_, other);
  std::erase_if(renewed.aspas, [&served = serving_->aspas](const vrp::Aspa& aspa) {
    const auto at = std::lower_bound(served.begin(), served.end(), aspa,
                                     [](const vrp::Aspa& a, const vrp::Aspa& b) { return Order(a, b) < 0; });
    return at->providers != aspa.providers;  // another ASPA
  });
  if (renewed.size() != 0)
    Renew(std::make_shared<const vrp::Payloads>(vrp::Replaced(*serving_, {}, std::move(renewed))));
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
  const bool was_saved = state_problem_.ok();
  state_problem_ = state_.Write(Save());
  if (state_problem_.ok() || !was_saved) return;
  history_.StartSessions();
  generations_.back().serials = SerialsOf(*history_.snapshot());
}

// What is not in the file yet and need not be before routers hear of it.
void Cache::KeepLater(UnixNanos now) {
  const bool due = now >= next_save_ || next_save_ > now + kSaveAgain;
  if (serving_ == nullptr || !due || (state_problem_.ok() && !frame_unsaved_)) return;
  state_problem_ = state_.Write(Save());
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
  if (held_) status.held = held_->told;
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
