// virp-keymgr: composition root.
#include <iostream>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/random.h"
#include "lib/crypto/secret.h"
#include "lib/deliver/deliverer.h"
#include "lib/deliver/grpc_connection.h"
#include "lib/frame/key_directory.h"
#include "lib/service/logging.h"
#include "lib/service/metrics.h"
#include "lib/service/program.h"
#include "lib/service/refusal_log.h"
#include "lib/service/run.h"
#include "lib/service/server.h"
#include "services/keymgr/config.h"
#include "services/keymgr/custody_set.h"
#include "services/keymgr/domain/audit_log.h"
#include "services/keymgr/domain/kek_keeper.h"
#include "services/keymgr/domain/ledger_engine.h"
#include "services/keymgr/domain/observation_takeover.h"
#include "services/keymgr/domain/rollback_guard.h"
#include "services/keymgr/domain/router_takeover.h"
#include "services/keymgr/domain/rpki_takeover.h"
#include "services/keymgr/domain/tcp_ao_takeover.h"
#include "services/keymgr/est_part.h"
#include "services/keymgr/house.h"
#include "services/keymgr/key_services.h"
#include "services/keymgr/rpki_part.h"
#include "services/keymgr/storage/open.h"
#include "services/keymgr/transport/access.h"
#include "services/keymgr/transport/chain_client.h"
#include "services/keymgr/transport/key_admin_handler.h"

namespace virp::keymgr {
namespace {

// The newest version of the manager's own key that signs.
absl::StatusOr<AuditSigner> SignerFrom(const frame::KeyDirectory& keys, const std::string& name) {
  AuditSigner signer;
  for (const frame::KeyVersion& version : keys.Versions(name)) {
    if (version.key->can_sign() && version.key->suite() == frame::Suite::kEd25519)
      signer = {version.version, version.key};
  }
  if (signer.key != nullptr) return signer;
  return FailedPrecondition("own-key: no {}/<version>.seed: the manager signs its audit records with an Ed25519 O-Key",
                            name);
}

absl::StatusOr<deliver::DelivererOptions> DeliveryOf(const Config& config, const std::string& identity) {
  deliver::DelivererOptions options;
  options.identity = identity;
  options.origin = config.origin;
  options.addresses = config.onodes;
  options.state_directory = config.state;
  for (const std::string& text : config.checkpoint_keys) {
    ASSIGN_OR_RETURN(const chain::VerifierKey key, chain::VerifierKey::Parse(text));
    options.verifiers.push_back(key);
  }
  return options;
}

absl::StatusOr<int> Run(const Config& config) {
  const SystemClock clock;
  service::SetUpLogging("keymgr", config.common);
  if (const std::string_view problem = crypto::HardenProcess(); !problem.empty())
    service::LogWarning("the process is not hardened as it should be", {{"why", problem}});
  if (config.command == "make-kek") {
    ASSIGN_OR_RETURN(const std::uint32_t version, MakeKekOnToken(config));
    std::cout << version << "\n";
    return 0;
  }
  LedgerStoreOptions store_options;
  store_options.migrate = config.migrate || config.command == "migrate";
  store_options.migrate_url = config.migrate_url;
  store_options.clock = &clock;
  ASSIGN_OR_RETURN(const auto store, OpenLedgerStore(config.store, store_options));
  if (config.command == "migrate") return 0;

  ASSIGN_OR_RETURN(const auto own_key, frame::KeyDirectory::Open(config.own_key));
  RETURN_IF_ERROR(SignerFrom(*own_key, config.name).status());
  ASSIGN_OR_RETURN(const service::TlsFilesState tls, service::InspectTlsFiles(config.tls));
  const std::string& self = tls.leaf.uri_sans.front();  // InspectTlsFiles: exactly one
  // The lease names the address, so the port must be known before there is a ledger.
  ASSIGN_OR_RETURN(const service::PortHold port, service::PortHold::Take(FormatHostPort(config.listen)));

  LedgerOptions options;
  options.source = config.name;
  options.instance = HexEncode(crypto::RandomBytes(16));
  options.address = config.advertise.empty() ? port.address() : config.advertise;
  options.lease = config.lease;
  options.signer = [&] { return SignerFrom(*own_key, config.name); };
  std::vector<RecordType> types = KekKeeper::Types();
  for (RecordType& type : KeyServices::Types()) types.push_back(std::move(type));
  for (RecordType& type : RpkiPart::Types()) types.push_back(std::move(type));
  ASSIGN_OR_RETURN(const auto ledger, LedgerEngine::Make(*store, std::move(types), options, clock));
  AuditLog log(*ledger, *store, config.name);
  ASSIGN_OR_RETURN(const auto custodies, MakeCustodies(config));
  KekKeeper keeper(*ledger, *custodies->keks, *custodies->software, custodies->all, self);

  service::RefusalLog refusals(clock);
  ASSIGN_OR_RETURN(const service::Security security,
                   service::LoadSecurity(config.access, AccessTable(), config.reflection, clock, refusals.OnRefusal(),
                                         refusals.OnDenyListChanged()));
  const auto channels = service::ChannelsTo(service::Role::kOnode, config.tls, config.access, security);
  deliver::GrpcConnector connector(channels);
  LoggingObserver observer;
  std::unique_ptr<deliver::Deliverer> deliverer;
  if (!config.onodes.empty()) {
    RETURN_IF_ERROR(MakeDirectory(config.state));
    ASSIGN_OR_RETURN(auto delivery, DeliveryOf(config, self));
    ASSIGN_OR_RETURN(deliverer, deliver::Deliverer::Make(std::move(delivery), log, connector, observer, clock));
  }
  const bool was_seen = deliverer != nullptr && deliverer->status().audited_size != 0;
  ChainClient chain(config.origin, config.name, config.onodes, channels, was_seen,
                    [&] { return deliverer == nullptr ? 0 : deliverer->status().audited_size; });

  const auto own_frame = [&](const frame::Frame& frame) {
    const auto key = own_key->Find(config.name, frame.header.key_version);
    return key != nullptr && frame::VerifyTag(frame, *key);
  };
  RollbackGuard rollback(
      *ledger, *store, config.onodes.empty() ? nullptr : &chain, own_frame,
      {TakeOverKeys, TakeOverSeal, TakeOverObservationKeys, TakeOverRouterKeys, TakeOverRpki, TakeOverTcpAoKeys});
  KeyAdminHandler admin_handler(*ledger, *store, keeper, rollback, security.callers, clock);
  ASSIGN_OR_RETURN(const auto rpki,
                   RpkiPart::Make(config.rpki, *ledger, custodies->all, security.callers, clock, self));
  KeyServices keys(*ledger, custodies->all, rpki->authority(), security.callers, clock,
                   RouterKeyOptionsOf(config.router), {self, config.name, config.origin});
  keeper.OnWiped([&] { keys.ForgetSecrets(); });
  std::vector<service::ServedService> services{{&admin_handler, "virp.keymgr.v1.KeyAdminService"}};
  keys.AddTo(services);
  rpki->AddTo(services);
  service::ServerOptions server_options;
  server_options.listen = port.address();
  server_options.tls = config.tls;
  server_options.reflection = config.reflection;
  ASSIGN_OR_RETURN(const auto server, service::ServerRunner::Start(server_options, security, clock, services));
  ASSIGN_OR_RETURN(const auto break_glass, StartBreakGlass(config.break_glass_socket, services));
  ASSIGN_OR_RETURN(const auto est, EstPart::Start(config.est_listen, config.tls, keys.router_keys(), security, clock));

  service::Metrics metrics("keymgr");
  AddMetrics(metrics, *ledger, keeper, log, deliverer.get(), custodies->all);
  rpki->AddMetrics(metrics);
  keys.AddMetrics(metrics);
  est->AddMetrics(metrics);
  refusals.AddMetrics(metrics, server.get());
  service::Readiness readiness;
  readiness.Add("certificates", [&] { return server->Ready(); });
  readiness.Add("ledger", [&] { return LedgerReady(ledger->status()); });
  rpki->AddReadiness(readiness);
  ASSIGN_OR_RETURN(const auto admin, service::StartAdmin(config.common, metrics, readiness));

  Pulse pulse("housekeeping", clock);
  House house({*ledger, keeper, rollback, log, pulse, [&] { return observer.TakeDoubt(); }, keys.Chores()});
  service::Runner runner;
  service::ReloadOnHangup(runner, [&] { return own_key->Refresh(); }, [] { return absl::OkStatus(); }, *server);
  runner.OnWatchdog([&]() -> absl::Status {
    RETURN_IF_ERROR(ledger->CheckAlive());
    if (deliverer != nullptr) RETURN_IF_ERROR(deliverer->CheckAlive());
    RETURN_IF_ERROR(rpki->CheckAlive());
    return CheckPulses({&pulse});
  });
  runner.OnDrain("readiness", [&] { readiness.SetDraining(); });
  runner.OnDrain("watches", [&] {
    keys.Drain();
    rpki->Drain();
  });
  runner.OnDrain("est", [&] { est->Drain(); });
  runner.OnDrain("server", [&] { server->Drain(config.common.drain_delay, config.common.drain_grace); });
  runner.OnDrain("delivery", [&] {
    if (deliverer != nullptr) deliverer->Stop();
  });
  runner.OnDrain("ledger", [&] { ledger->Stop(); });
  // Whoever takes the lease again is sealed until the house has looked at it.
  ledger->Start([&] {
    ledger->Seal(SealReason::kStarting);
    return absl::OkStatus();
  });
  if (deliverer != nullptr) deliverer->Start();
  runner.tasks().Start("house", [&](const std::stop_token& stop) { return KeepHouse(stop, house, pulse); });
  rpki->Start(runner.tasks());
  server->SetServing(true);
  service::LogInfo("serving", {{"address", server->address()}, {"admin_port", admin->port()}});
  return runner.Run();
}

}  // namespace
}  // namespace virp::keymgr

int main(int argc, char** argv) {
  return virp::service::RunProgram<virp::keymgr::Config>("virp-keymgr", argc, argv, virp::keymgr::ReadConfig,
                                                         virp::keymgr::Run);
}
