#include "services/keymgr/house.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/secret.h"
#include "lib/service/logging.h"
#include "services/keymgr/transport/access.h"

namespace virp::keymgr {
namespace {

constexpr std::chrono::milliseconds kTick{500};
constexpr std::size_t kRewrapAtOnce = 256;
constexpr std::uint64_t kAskForTime = 20;  // rounds between two questions while the clock is not believed

bool Holds(const std::vector<SealReason>& sealed, SealReason reason) {
  return std::find(sealed.begin(), sealed.end(), reason) != sealed.end();
}

}  // namespace

void LoggingObserver::OnRefused(std::string_view source, frame::Reason reason) {
  service::LogError("the O-Node refused an audit record for good",
                    {{"source", source}, {"reason", frame::ReasonName(reason)}});
  if (reason == frame::Reason::kEquivocation || reason == frame::Reason::kReplayed ||
      reason == frame::Reason::kEpochOld) {
    doubt_ = true;
  }
}

void LoggingObserver::OnAuditFailure(std::string_view what) {
  service::LogError("the chain does not hold what was acknowledged", {{"what", what}});
}

House::House(Household household) : house_(std::move(household)) {
  for (const auto& chore : house_.chores) chores_.emplace_back(chore.name);
}

void House::Open(std::uint64_t term) {
  accepted_ = house_.rollback.times();
  house_.keeper.Close();                          // no key is in memory before it is known that it may be used
  static_cast<void>(house_.rollback.NoteTime());  // whoever does not answer says so in the comparison
  const absl::Status compared = house_.rollback.Check();
  if (GetReason(compared) == "ROLLBACK") {
    house_.ledger.Seal(SealReason::kRollback);
    house_.ledger.Started(term);
    opened_term_ = term;
    comparison_.Tell(compared);
    return;
  }
  comparison_.Tell(compared);
  if (!compared.ok()) return;
  house_.log.Release();
  // The keeper takes it off. Its records are the first that may be written.
  house_.ledger.Seal(SealReason::kNoKek);
  house_.ledger.Unseal(SealReason::kRollback);
  house_.ledger.Started(term);
  const absl::Status opened = house_.keeper.Open();
  opened_term_ = term;
  Opened(opened, term);
}

void House::Opened(const absl::Status& opened, std::uint64_t term) {
  seal_.Tell(opened);
  if (opened.ok()) service::LogInfo("open", {{"term", term}});
}

// It comes right by itself, or the chain goes on to a time that proves it.
void House::LookAtClock(const LedgerStatus& status) {
  clock_.Tell(status.clock_problem.empty() ? absl::OkStatus() : FailedPrecondition("{}", status.clock_problem));
  if (!status.clock_problem.empty() && ++rounds_ % kAskForTime == 0) static_cast<void>(house_.rollback.NoteTime());
}

bool House::Round() {
  const LedgerStatus status = house_.ledger.status();
  if (!status.active) {
    // Who stands by, or was fenced, needs no key.
    if (std::exchange(opened_term_, 0) != 0) house_.keeper.Close();
    return false;
  }
  LookAtClock(status);
  if (house_.doubted && house_.doubted()) {
    house_.ledger.Seal(SealReason::kStarting);
    opened_term_ = 0;
  }
  if (opened_term_ != status.term || accepted_ != house_.rollback.times()) Open(status.term);
  const std::vector<SealReason> sealed = house_.ledger.status().sealed;
  if (Holds(sealed, SealReason::kNoKek) && opened_term_ == status.term && !Holds(sealed, SealReason::kRollback)) {
    // A file that was missing at the start may have come.
    Opened(house_.keeper.Open(), status.term);
  }
  if (!house_.ledger.status().sealed.empty()) return false;
  for (std::size_t i = 0; i < chores_.size(); ++i) chores_[i].Tell(house_.chores[i].run());
  const auto left = house_.keeper.RewrapSome(kRewrapAtOnce);
  rewrap_.Tell(left.status());
  return left.ok() && *left != 0;
}

absl::Status LedgerReady(const LedgerStatus& status) {
  if (!status.active && status.active_address.empty()) return Unavailable("{}", status.problem);
  if (!status.active || status.sealed.empty()) return absl::OkStatus();
  return Unavailable("the active key manager is sealed: {}", SealReasonName(status.sealed.front()));
}

absl::Status KeepHouse(const std::stop_token& stop, House& house, Pulse& pulse) {
  std::mutex mutex;
  std::condition_variable_any never;
  const AtWork at_work(pulse);
  while (!stop.stop_requested()) {
    pulse.Beat();
    if (house.Round()) continue;
    const AtRest at_rest(pulse);
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, kTick, [] { return false; });
  }
  return absl::OkStatus();
}

void AddMetrics(service::Metrics& metrics, const LedgerEngine& ledger, const KekKeeper& keeper, const AuditLog& log,
                const deliver::Deliverer* deliverer, const Custodies& custodies) {
  const auto active = metrics.AddGauge("active", "1 while this manager holds the lease.");
  const auto records = metrics.AddGauge("audit_records", "Audit records, over the manager's whole life.");
  const auto undelivered = metrics.AddGauge("undelivered_records", "Audit records that the chain does not show yet.");
  const auto connected = metrics.AddGauge("delivery_connected", "1 while connected to an O-Node.");
  const auto commits = metrics.AddCounter("commits_total", "Commits, each of one or more changes.");
  const auto edits = metrics.AddCounter("changes_total", "Changes that were committed.");
  const auto waiting = metrics.AddGauge("waiting_changes", "Changes that wait to be committed.");
  const auto keys = metrics.AddGauge("keys", "Sealed keys.");
  const auto left = metrics.AddGauge("rewrap_left_keys", "Envelopes under an older key-encryption key.");
  const auto damaged = metrics.AddGauge("damaged_keys", "Of those, envelopes that do not open.");
  const auto unknown = metrics.AddGauge("unknown_token_keys", "Objects on the token that no record names, and stay.");
  const auto unlocked = metrics.AddGauge("unlocked_secret_bytes", "Memory for secrets that could not be locked.");
  std::map<SealReason, service::Gauge> sealed;
  for (const SealReason reason :
       {SealReason::kStarting, SealReason::kNoKek, SealReason::kOperator, SealReason::kClock, SealReason::kRollback}) {
    sealed[reason] = metrics.AddGauge("sealed", "1 while nothing may be changed for this reason.",
                                      {{"why", std::string(SealReasonName(reason))}});
  }
  metrics.OnCollect([=, &ledger, &keeper, &log, &custodies] {
    const LedgerStatus status = ledger.status();
    active.Set(status.active ? 1 : 0);
    records.Set(status.record);
    undelivered.Set(log.undelivered());
    connected.Set(deliverer != nullptr && !deliverer->status().connected_to.empty() ? 1 : 0);
    commits.Set(status.commits);
    edits.Set(status.edits);
    waiting.Set(status.waiting);
    keys.Set(ledger.snapshot()->key_count());
    const RewrapProgress progress = keeper.progress();
    left.Set(progress.left);
    damaged.Set(progress.damaged);
    std::size_t left_there = 0;
    for (const Custody* const custody : custodies.all()) left_there += custody->unknown();
    unknown.Set(left_there);
    unlocked.Set(crypto::SecretMemoryInUse().unlocked);
    for (const auto& [reason, gauge] : sealed) gauge.Set(Holds(status.sealed, reason) ? 1 : 0);
  });
}

absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, const std::vector<service::ServedService>& services) {
  // What it changes leaves its own record.
  const auto record = [](const service::BreakGlassUse&) { return absl::OkStatus(); };
  return service::StartBreakGlass(socket, BreakGlassMethods(), services, record);
}

}  // namespace virp::keymgr
