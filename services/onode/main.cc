// virp-onode: composition root.
#include <unistd.h>

#include <iostream>

#include "absl/cleanup/cleanup.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/random.h"
#include "lib/frame/key_directory.h"
#include "lib/keys/key_supply.h"
#include "lib/service/logging.h"
#include "lib/service/metrics.h"
#include "lib/service/program.h"
#include "lib/service/rate_limits.h"
#include "lib/service/refusal_log.h"
#include "lib/service/run.h"
#include "lib/service/server.h"
#include "services/onode/builds_file.h"
#include "services/onode/config.h"
#include "services/onode/domain/node.h"
#include "services/onode/housekeeping.h"
#include "services/onode/known_keys.h"
#include "services/onode/storage/archive/archiver.h"
#include "services/onode/storage/file_vault.h"
#include "services/onode/storage/open.h"
#include "services/onode/transport/access.h"
#include "services/onode/transport/chain_admin_handler.h"
#include "services/onode/transport/chain_handler.h"
#include "services/onode/transport/ingest_handler.h"
#include "services/onode/transport/source_handler.h"
#include "services/onode/transport/verify_handler.h"

namespace virp::onode {
namespace {

absl::StatusOr<ChainCustody> CustodyOf(const Config& config, const std::string& origin) {
  ChainCustody custody;
  ASSIGN_OR_RETURN(custody.vault, FileVault::Open(config.checkpoint_keys, config.state, origin));
  ASSIGN_OR_RETURN(const auto own, frame::KeyDirectory::Open(config.own_key));
  for (const frame::KeyVersion& version : own->Versions(origin)) {
    if (version.key->can_sign() && version.key->suite() == frame::Suite::kEd25519)
      custody.own_keys.push_back({version.version, version.key});
  }
  if (custody.own_keys.empty())
    return FailedPrecondition(
        "own-key: no <version>.seed for chain {} in {}: name the folder that virp-onode init filled, or bring back its "
        "copy",
        origin, config.own_key);
  return custody;
}

// Which chains are to be opened: with --once those that are not there yet. Asked before the node opens what is there,
// which reads every entry.
absl::StatusOr<std::vector<std::string>> ChainsToOpen(ChainStore& store, const Config& config) {
  std::vector<std::string> out = config.origins;
  if (!config.init_once) return out;
  ASSIGN_OR_RETURN(const std::vector<ChainInfo> there, store.ListChains());
  for (const ChainInfo& chain : there) std::erase(out, chain.origin);
  return out;
}

absl::Status RunInit(Node& node, const std::vector<std::string>& origins) {
  for (const std::string& origin : origins) {
    ASSIGN_OR_RETURN(Chain* const chain,
                     node.Create(origin, "", std::chrono::steady_clock::now() + std::chrono::seconds(30)));
    std::cout << chain->vault().Signing().back().ToString() << "\n";
  }
  return absl::OkStatus();
}

// What was moved stays usable by whoever names the folder with --archive: all O-Nodes of this store must.
absl::Status RunArchive(const Config& config, StoreOptions options, const Clock& clock) {
  options.migrate = false;
  ArchiveRequest request;
  request.origin = config.archiving.origin;
  request.below = config.archiving.below;
  request.drop_detached = config.archiving.drop_detached;
  for (const std::string& text : config.archiving.checkpoint_keys) {
    auto key = chain::VerifierKey::Parse(text);
    if (!key.ok()) return Annotate(key.status(), "checkpoint-key");
    request.verifiers.push_back(*std::move(key));
  }
  ASSIGN_OR_RETURN(const auto store, OpenStore(config.store, options));
  ASSIGN_OR_RETURN(const auto retention, OpenRetention(config.store, options));
  if (config.archiving.keep != std::chrono::hours(0)) {
    const UnixNanos keep = static_cast<UnixNanos>(std::chrono::nanoseconds(config.archiving.keep).count());
    const UnixNanos now = clock.NowNanos();
    ASSIGN_OR_RETURN(request.below, EntriesBefore(*store, *retention, request.origin, now < keep ? 0 : now - keep));
  }
  ASSIGN_OR_RETURN(const ArchiveReport report, ArchiveEntries(*store, *retention, config.archive, request));
  service::LogInfo("archived", {{"origin", request.origin},
                                {"from", report.archived_from},
                                {"below", report.archived_below},
                                {"bytes", report.bytes},
                                {"dropped", report.dropped}});
  return absl::OkStatus();
}

absl::StatusOr<int> Run(const Config& config) {
  const SystemClock clock;
  service::SetUpLogging("onode", config.common);
  StoreOptions store_options;
  store_options.migrate = config.migrate && !config.read_only;
  store_options.migrate_url = config.migrate_url;
  store_options.archive = config.archive;
  store_options.read_only = config.read_only;
  store_options.limit_bytes = config.store_limit;
  store_options.clock = &clock;
  if (config.command == "migrate") {
    RETURN_IF_ERROR(MigrateStore(config.store, store_options));
    return 0;
  }
  if (config.command == "archive") {
    RETURN_IF_ERROR(RunArchive(config, store_options, clock));
    return 0;
  }
  ASSIGN_OR_RETURN(const auto store, OpenStore(config.store, store_options));
  std::vector<std::string> to_open;
  if (config.command == "init") {
    ASSIGN_OR_RETURN(to_open, ChainsToOpen(*store, config));
    if (to_open.empty()) return 0;
  }
  ASSIGN_OR_RETURN(const auto supply, keys::KeySupply::Open(config.keys, config.key_supply, clock));

  ASSIGN_OR_RETURN(const service::RateLimits limits, service::ReadRateLimits(config.limits));
  const auto deliverers = std::make_shared<RateLimiter>(limits.deliverers, clock);
  // The lease names the address, so the port must be known before there is a chain.
  ASSIGN_OR_RETURN(const service::PortHold port, service::PortHold::Take(FormatHostPort(config.listen)));
  ChainOptions options;
  options.source_limits = std::make_shared<RateLimiter>(limits.sources, clock);
  const auto builds = std::make_shared<ExpectedBuilds>();
  ASSIGN_OR_RETURN(auto expected, ReadBuilds(config.builds));
  builds->Replace(std::move(expected));
  options.builds = builds;
  options.instance = HexEncode(crypto::RandomBytes(16));
  options.address = config.advertise.empty() ? port.address() : config.advertise;
  options.lease = config.lease;
  options.checkpoint_interval = config.checkpoint_interval;
  options.read_only = config.read_only;
  Node node(*store, supply->keys(), clock, options,
            [&](const std::string& origin) { return CustodyOf(config, origin); });
  RETURN_IF_ERROR(node.Open());
  if (config.command == "init") {
    RETURN_IF_ERROR(RunInit(node, to_open));
    node.Stop();
    return 0;
  }

  service::RefusalLog refusals(clock);
  ASSIGN_OR_RETURN(const service::Security security,
                   service::LoadSecurity(config.access, AccessTable(), config.reflection, clock, refusals.OnRefusal(),
                                         refusals.OnDenyListChanged()));
  DeliveryLimits delivery_limits;
  delivery_limits.deliverers = deliverers;
  IngestHandler ingest(node, security.callers, delivery_limits);
  VerifyHandler verify(node, security.callers, clock);
  ChainHandler chains(node);
  ChainAdminHandler chain_admin(node, security.callers);
  SourceHandler sources(node, security.callers, security.scopes, clock);
  const std::vector<service::ServedService> services{{&ingest, "virp.ingest.v1.IngestService"},
                                                     {&verify, "virp.verify.v1.VerifyService"},
                                                     {&chains, "virp.chain.v1.ChainService"},
                                                     {&chain_admin, "virp.chain.v1.ChainAdminService"},
                                                     {&sources, "virp.source.v1.SourceService"}};
  service::ServerOptions server_options;
  server_options.listen = port.address();
  server_options.tls = config.tls;
  server_options.reflection = config.reflection;
  ASSIGN_OR_RETURN(const auto server, service::ServerRunner::Start(server_options, security, clock, services));
  ASSIGN_OR_RETURN(const auto break_glass, StartBreakGlass(config.break_glass_socket, node, services));

  service::Metrics metrics("onode");
  AddMetrics(metrics, node, clock);
  AddIngestMetrics(metrics, ingest);
  supply->AddMetrics(metrics);
  refusals.AddMetrics(metrics, server.get());
  service::Readiness readiness;
  readiness.Add("certificates", [&] { return server->Ready(); });
  ASSIGN_OR_RETURN(const auto admin, service::StartAdmin(config.common, metrics, readiness));

  service::Runner runner;
  const auto read_limits = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(service::RateLimits now, service::ReadRateLimits(config.limits));
    options.source_limits->Replace(std::move(now.sources));
    deliverers->Replace(std::move(now.deliverers));
    ASSIGN_OR_RETURN(auto expected, ReadBuilds(config.builds));
    builds->Replace(std::move(expected));
    return absl::OkStatus();
  };
  service::ReloadOnHangup(runner, [&] { return supply->files().Refresh(); }, read_limits, *server);
  runner.OnWatchdog([&] { return node.CheckAlive(); });
  runner.OnDrain("readiness", [&] { readiness.SetDraining(); });
  runner.OnDrain("server", [&] { server->Drain(config.common.drain_delay, config.common.drain_grace); });
  runner.OnDrain("chains", [&] { node.Stop(); });
  runner.tasks().Start("housekeeping",
                       [&](const std::stop_token& stop) { return KeepHouse(stop, node, supply->files()); });
  supply->Start(service::ChannelsTo(service::Role::kKeymgr, config.tls, config.access, security),
                [&] { return KnownKeys(node, supply->managed()); });
  const absl::Cleanup stop_supply = [&supply] { supply->Stop(); };
  server->SetServing(true);
  service::LogInfo("serving", {{"address", server->address()}, {"admin_port", admin->port()}});
  return runner.Run();
}

}  // namespace
}  // namespace virp::onode

int main(int argc, char** argv) {
  return virp::service::RunProgram<virp::onode::Config>("virp-onode", argc, argv, virp::onode::ReadConfig,
                                                        virp::onode::Run);
}
