#include "services/keymgr/key_services.h"

#include <chrono>

namespace virp::keymgr {
namespace {

constexpr std::chrono::seconds kRetryDamaged{10};

}  // namespace

std::vector<RecordType> KeyServices::Types() {
  std::vector<RecordType> types{ObservationKeys::Type(), TypeOf<TcpAoPairRecord>(), RouterFleets::Type()};
  for (RecordType& type : RouterKeys::Types()) types.push_back(std::move(type));
  return types;
}

KeyServices::KeyServices(LedgerEngine& ledger, const Custodies& custodies, RpkiAuthority& authority,
                         const std::shared_ptr<const service::CallerResolver>& callers, const Clock& clock,
                         const RouterKeyOptions& router, const SelfNames& self)
    : observation_(ledger, custodies, [&ledger] { return ledger.Open(); }, {self.source, self.origin}),
      tcp_ao_(ledger, custodies, clock, self.identity),
      router_(ledger, custodies, authority, clock, router, self.identity),
      fleets_(ledger, router_, self.identity),
      observation_handler_(observation_, ledger, callers),
      tcp_ao_handler_(tcp_ao_, callers, clock),
      router_handler_(router_, fleets_, callers, clock) {}

void KeyServices::AddTo(std::vector<service::ServedService>& served) {
  served.push_back({&observation_handler_, "virp.keymgr.v1.ObservationKeyService"});
  served.push_back({&tcp_ao_handler_, "virp.keymgr.v1.TcpAoKeyService"});
  served.push_back({&router_handler_, "virp.keymgr.v1.RouterKeyService"});
}

std::vector<Chore> KeyServices::Chores() {
  return {{"rollovers of TCP-AO keys", [this] { return tcp_ao_.Tick(); }},
          {"router keys that are due", [this] { return router_.Advance(); }},
          {"fleets of routers", [this] { return fleets_.Advance(); }},
          {"overdue reports of routers", [this] { return router_.TellOverdueReports(); }},
          {"O-Keys that did not open", [this, next = std::chrono::steady_clock::time_point()]() mutable {
             const auto now = std::chrono::steady_clock::now();
             if (now < next) return absl::OkStatus();
             next = now + kRetryDamaged;
             return observation_.RetryDamaged();
           }}};
}

void KeyServices::AddMetrics(service::Metrics& metrics) {
  const auto fetched = metrics.AddCounter("observation_key_fetches_total", "Answers to who asked for an O-Key.");
  const auto released = metrics.AddCounter("observation_key_releases_total", "First ways of a secret to somebody.");
  const auto damaged = metrics.AddGauge("damaged_observation_keys", "Secrets that were asked for and do not open.");
  const auto watchers = metrics.AddGauge("observation_key_streams", "Callers that watch or fetch O-Keys.");
  const auto overdue = metrics.AddGauge("overdue_router_reports", "Router keys whose router has not reported in time.");
  const auto compromised =
      metrics.AddGauge("compromised_router_keys", "Router keys that are compromised and not revoked.");
  metrics.OnCollect([=, this] {
    const ObservationKeyCounters counters = observation_.counters();
    fetched.Set(counters.fetched);
    released.Set(counters.released);
    damaged.Set(counters.damaged);
    watchers.Set(observation_handler_.streams());
    overdue.Set(router_.OverdueReports());
    compromised.Set(router_.CompromisedKeys());
  });
}

void KeyServices::ForgetSecrets() {
  observation_.ForgetSecrets();
}

void KeyServices::Drain() {
  observation_handler_.Drain();
  router_handler_.Drain();
}

}  // namespace virp::keymgr
