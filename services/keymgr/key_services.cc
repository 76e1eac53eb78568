#include "services/keymgr/key_services.h"

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

// Whether keys may be given out now.
absl::Status Serving(const LedgerEngine& ledger) {
  const LedgerStatus status = ledger.status();
  if (!status.active)
    return WithReason(FailedPrecondition("this key manager stands by"), "NOT_ACTIVE",
                      {{"active", status.active_address}});
  if (status.sealed.empty()) return absl::OkStatus();
  const std::string why(SealReasonName(status.sealed.front()));
  return WithReason(FailedPrecondition("the key manager is sealed: {}", why), "SEALED", {{"why", why}});
}

}  // namespace

std::vector<RecordType> KeyServices::Types() {
  std::vector<RecordType> types{ObservationKeys::Type(), TypeOf<TcpAoPairRecord>(), RouterFleets::Type()};
  for (RecordType& type : RouterKeys::Types()) types.push_back(std::move(type));
  return types;
}

KeyServices::KeyServices(LedgerEngine& ledger, const Custodies& custodies, RpkiAuthority& authority,
                         const std::shared_ptr<const service::CallerResolver>& callers, const Clock& clock,
                         const RouterKeyOptions& router, const SelfNames& self)
    : observation_(ledger, custodies, [&ledger] { return Serving(ledger); }, {self.source, self.origin}),
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

std::vector<std::function<absl::Status()>> KeyServices::Chores() {
  return {[this] { return tcp_ao_.Tick(); }, [this] { return router_.Advance(); }, [this] { return fleets_.Advance(); },
          [this] { return router_.TellOverdueReports(); }};
}

void KeyServices::AddMetrics(service::Metrics& metrics) {
  const auto overdue = metrics.AddGauge("overdue_router_reports", "Router keys whose router has not reported in time.");
  metrics.OnCollect([=, this] { overdue.Set(router_.OverdueReports()); });
}

void KeyServices::Drain() {
  observation_handler_.Drain();
  router_handler_.Drain();
}

}  // namespace virp::keymgr
