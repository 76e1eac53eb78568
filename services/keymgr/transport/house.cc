#include "services/keymgr/transport/house.h"

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

bool Holds(const std::vector<SealReason>& sealed, SealReason reason) {
  return std::find(sealed.begin(), sealed.end(), reason) != sealed.end();
}

}  // namespace

void LoggingObserver::OnRefused(std::string_view source, frame::Reason reason) {
  service::LogError("the O-Node refused an audit record for good",
                    {{"source", source}, {"reason", frame::ReasonName(reason)}});
}

void LoggingObserver::OnAuditFailure(std::string_view what) {
  service::LogError("the chain does not hold what was acknowledged", {{"what", what}});
}

void House::Tell(const absl::Status& status, std::string_view what) {
  const std::string trouble(Message(status));
  if (std::exchange(told_, trouble) != trouble && !trouble.empty())
    service::LogStatus(service::LogLevel::kWarning, what, status);
}

void House::Open(std::uint64_t term) {
  accepted_ = house_.rollback.times();
  const absl::Status compared = house_.rollback.Check();
  if (GetReason(compared) == "ROLLBACK") {
    house_.ledger.Seal(SealReason::kRollback);
    house_.ledger.Unseal(SealReason::kStarting);
    opened_term_ = term;
    return Tell(compared, "sealed");
  }
  if (!compared.ok()) return Tell(compared, "sealed until an O-Node says how far the chain knows this manager");
  house_.log.Release();
  house_.ledger.Unseal(SealReason::kRollback);
  const absl::Status opened = house_.keeper.Open();
  house_.ledger.Unseal(SealReason::kStarting);
  opened_term_ = term;
  Tell(opened, "sealed");
  if (opened.ok()) service::LogInfo("open", {{"term", term}});
}

bool House::Round() {
  const LedgerStatus status = house_.ledger.status();
  if (!status.active) return false;
  if (opened_term_ != status.term || accepted_ != house_.rollback.times()) Open(status.term);
  const std::vector<SealReason> sealed = house_.ledger.status().sealed;
  if (Holds(sealed, SealReason::kNoKek) && !Holds(sealed, SealReason::kRollback)) {
    // A file that was missing at the start may have come.
    const absl::Status opened = house_.keeper.Open();
    Tell(opened, "sealed");
    if (opened.ok()) service::LogInfo("open", {{"term", status.term}});
  }
  if (!house_.ledger.status().sealed.empty()) return false;
  for (const auto& chore : house_.chores) {
    if (const absl::Status done = chore(); !done.ok()) Tell(done, "what is due cannot be done now");
  }
  const auto left = house_.keeper.RewrapSome(kRewrapAtOnce);
  if (!left.ok()) {
    Tell(left.status(), "envelopes cannot be re-wrapped now");
    return false;
  }
  return *left != 0;
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
                const deliver::Deliverer* deliverer) {
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
  const auto unlocked = metrics.AddGauge("unlocked_secret_bytes", "Memory for secrets that could not be locked.");
  std::map<SealReason, service::Gauge> sealed;
  for (const SealReason reason :
       {SealReason::kStarting, SealReason::kNoKek, SealReason::kOperator, SealReason::kRollback}) {
    sealed[reason] = metrics.AddGauge("sealed", "1 while nothing may be changed for this reason.",
                                      {{"why", std::string(SealReasonName(reason))}});
  }
  metrics.OnCollect([=, &ledger, &keeper, &log] {
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
    unlocked.Set(crypto::SecretMemoryInUse().unlocked);
    for (const auto& [reason, gauge] : sealed) gauge.Set(Holds(status.sealed, reason) ? 1 : 0);
  });
}

absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, const std::vector<service::ServedService>& services) {
  if (socket.empty()) return nullptr;
  const auto hook = [](const service::BreakGlassUse& use) -> absl::Status {
    service::LogWarning("break-glass socket used",
                        {{"method", use.method}, {"uid", use.peer.uid}, {"pid", use.peer.pid}});
    return absl::OkStatus();
  };
  service::BreakGlassOptions options;
  options.socket = socket;
  options.methods = BreakGlassMethods();
  return service::BreakGlassServer::Start(std::move(options), hook, services);
}

}  // namespace virp::keymgr
