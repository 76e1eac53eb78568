// What the key manager does for others, a service each: its records in the ledger, its rules, its handler, and what the
// time moves on. Composition only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/clock.h"
#include "lib/service/caller.h"
#include "lib/service/metrics.h"
#include "lib/service/server.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/ledger_engine.h"
#include "services/keymgr/domain/observation_keys.h"
#include "services/keymgr/domain/router_fleet.h"
#include "services/keymgr/domain/router_keys.h"
#include "services/keymgr/domain/rpki_authority.h"
#include "services/keymgr/domain/tcp_ao_keys.h"
#include "services/keymgr/house.h"
#include "services/keymgr/transport/observation_handler.h"
#include "services/keymgr/transport/router_key_handler.h"
#include "services/keymgr/transport/tcp_ao_handler.h"

namespace virp::keymgr {

// Who the manager is.
struct SelfNames {
  std::string identity;        // SPIFFE id, actor of what the clock causes
  std::string source, origin;  // whose keys are files and never served
};

class KeyServices {
 public:
  // What the ledger must know before there are services.
  static std::vector<RecordType> Types();

  // All outlive it; stop the ledger before it goes.
  KeyServices(LedgerEngine& ledger, const Custodies& custodies, RpkiAuthority& authority,
              const std::shared_ptr<const service::CallerResolver>& callers, const Clock& clock,
              const RouterKeyOptions& router, const SelfNames& self);

  void AddTo(std::vector<service::ServedService>& served);
  // For the house: quick when there is nothing to do.
  std::vector<Chore> Chores();
  RouterKeys& router_keys() { return router_; }
  void AddMetrics(service::Metrics& metrics);
  void ForgetSecrets();  // that came out of envelopes and are kept for the next answer
  // Ends streams that would never end.
  void Drain();

 private:
  ObservationKeys observation_;
  TcpAoKeys tcp_ao_;
  RouterKeys router_;
  RouterFleets fleets_;
  ObservationHandler observation_handler_;
  TcpAoHandler tcp_ao_handler_;
  RouterKeyHandler router_handler_;
};

}  // namespace virp::keymgr
