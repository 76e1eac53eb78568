#include "services/onode/config.h"

#include "lib/base/status.h"
#include "lib/service/access_options.h"
#include "lib/service/rate_limits.h"
#include "services/onode/builds_file.h"

#ifndef VIRP_VERSION
#define VIRP_VERSION "unknown"
#endif

namespace virp::onode {
namespace {

void AddStore(service::Options& options, Config& config) {
  options.AddCustom(
      "store", "URL",
      "Where the chain is kept: sqlite:PATH, postgresql://... (a password only by file or environment), or file:PATH "
      "with one of these as its first line.",
      "",
      [&config](const std::string& text, service::ValueOrigin origin) -> absl::Status {
        const bool visible = origin == service::ValueOrigin::kCommandLine;
        ASSIGN_OR_RETURN(config.store, store::ParseStorageUrl(text, visible ? store::UrlOrigin::kCommandLine
                                                                            : store::UrlOrigin::kPrivate));
        return absl::OkStatus();
      },
      /*private_value=*/true);
  options.Require("store");
  options.AddSize(
      &config.store_limit, "store-limit",
      "Bytes that the store may use; 0 leaves it to the disk. The last 5 % are for alarms, keys and clearing.");
  options.AddCustom(
      "migrate-store", "URL",
      "PostgreSQL: credentials that own the schema, used for migrating only; a URL or file:PATH.", "",
      [&config](const std::string& text, service::ValueOrigin) -> absl::Status {
        ASSIGN_OR_RETURN(config.migrate_url, store::ReadStorageUrl(text));
        return absl::OkStatus();
      },
      /*private_value=*/true);
  options.Add(&config.archive, "archive",
              "Folder with the entries that were moved out of the store (virp-onode archive); read only.", "DIR");
  options.Add(&config.migrate, "migrate", "Apply missing schema files at the start.");
  options.Add(&config.read_only, "read-only",
              "Answer only: lead nothing, write nothing. Fit for a copy of a database.");
}

void AddAccess(service::Options& options, Config& config) {
  service::AddAccessOptions(options, &config.tls, &config.access, &config.break_glass_socket);
  options.Add(&config.access.scopes_file, "scopes", "JSON file: which identities may act on which chains and sources.",
              "FILE");
  options.Add(&config.limits, "limits",
              "JSON file: entries a second, burst and bytes a day of sources and deliverers; read again on SIGHUP.",
              "FILE");
  options.Add(&config.builds, "builds",
              "JSON file: builds of their programs that sources may name in their beats; another one is an alarm. Read "
              "again on SIGHUP.",
              "FILE");
  options.Add(&config.reflection, "reflection", "Serve gRPC reflection.");
}

void AddKeys(service::Options& options, Config& config) {
  options.Add(&config.keys, "keys", "Key directory of the sources.", "DIR");
  keys::AddKeySupplyOptions(options, &config.key_supply);
  options.Add(&config.own_key, "own-key", "Key directory with the chain's own O-Key, <origin>/<version>.seed.", "DIR");
  options.Add(&config.checkpoint_keys, "checkpoint-keys",
              "Key directory with the chain's checkpoint key, <origin>/<version>.seed.", "DIR");
  options.Add(&config.state, "state",
              "Directory for the largest checkpoint, beside the database; must not be restored with it.", "DIR");
  for (const char* name : {"keys", "own-key", "checkpoint-keys", "state"}) options.Require(name);
}

void AddArchiving(service::Options& options, Config& config) {
  service::Options& archive = options.AddCommand(
      "archive", "Moves the oldest entries' bytes from the store into the folder named by --archive, and ends.");
  Config::Archiving& archiving = config.archiving;
  archive.Add(&archiving.origin, "origin", "Name of the chain.", "ORIGIN");
  archive.Add(&archiving.checkpoint_keys, "checkpoint-key",
              "Verifier key (C2SP) of the chain's checkpoints; several during a roll.", "KEY");
  archive.AddSize(&archiving.below, "below", "Entries with smaller numbers go, as far as they fill whole partitions.");
  archive.Add(&archiving.keep, "keep", "Instead of --below: what was received longer ago than this goes.");
  archive.Add(&archiving.drop_detached, "drop-detached",
              "Also drop the partitions that this or an earlier run detached, once their archive was read back.");
  for (const char* name : {"origin", "checkpoint-key"}) archive.Require(name);
  archive.Check([&config, &archiving]() -> absl::Status {
    if (config.archive.empty()) return InvalidArgument("archive: name the folder that entries are moved to");
    if ((archiving.below == 0) == (archiving.keep == std::chrono::hours(0))) {
      return InvalidArgument("below or keep: give one of them");
    }
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<service::Options::Next> ReadConfig(int argc, const char* const* argv, std::ostream& out,
                                                  Config& config) {
  service::Options options(
      "virp-onode", "Verifies, orders, chains and keeps observations; answers whether a claim is backed by evidence.",
      VIRP_VERSION);
  config.common.admin_listen = {"127.0.0.1", 9443};
  service::AddCommonOptions(options, &config.common);
  options.Add(&config.listen, "listen", "Where gRPC is served, with mutual TLS.");
  options.Add(&config.advertise, "advertise",
              "host:port under which deliverers reach this O-Node; `listen` when empty.", "ADDRESS");
  AddStore(options, config);
  AddAccess(options, config);
  AddKeys(options, config);
  options.Add(&config.lease, "lease", "How long the leadership of a chain lasts without renewal.",
              std::chrono::milliseconds(500));
  options.Add(&config.checkpoint_interval, "checkpoint-interval",
              "How often a checkpoint is signed while there is something new.", std::chrono::milliseconds(100));
  service::Options& init = options.AddCommand("init", "Opens a chain and ends.");
  init.Add(&config.origins, "origin", "Name of the chain: [a-z0-9][a-z0-9._-]* joined by '/'.", "ORIGIN");
  init.Require("origin");
  init.Add(&config.init_once, "once", "Leave a chain alone that is there already: for what runs at each start.");
  options.AddCommand("migrate", "Brings the store's schema up to date and ends.");
  AddArchiving(options, config);
  options.Check([&config, &options]() -> absl::Status {
    if (!options.command().empty()) return absl::OkStatus();
    if (config.tls.certificate.empty() || config.tls.private_key.empty() || config.tls.roots.empty()) {
      return InvalidArgument(
          "tls-certificate, tls-key and tls-roots are needed: there is no service without mutual TLS");
    }
    if (config.access.trust_domain.empty() && config.access.identity_map_file.empty())
      return InvalidArgument("trust-domain or identity-map is needed");
    RETURN_IF_ERROR(keys::CheckKeySupply(config.key_supply));
    RETURN_IF_ERROR(Annotate(ReadBuilds(config.builds).status(), "builds"));
    return Annotate(service::ReadRateLimits(config.limits).status(), "limits");
  });
  ASSIGN_OR_RETURN(const auto next, options.Read(argc, argv, out));
  config.command = options.command();
  return next;
}

}  // namespace virp::onode
