#include "services/collector/config.h"

#include "lib/base/file.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/service/access_options.h"
#include "lib/service/rate_limits.h"

#ifndef VIRP_VERSION
#define VIRP_VERSION "unknown"
#endif

namespace virp::collector {
namespace {

constexpr std::size_t kMaxSourcesFile = 1 << 20;

}  // namespace

absl::StatusOr<service::Options::Next> ReadConfig(int argc, const char* const* argv, std::ostream& out,
                                                  Config& config) {
  service::Options options(
      "virp-collector", "Takes observations in, signs what is unsigned, spools and delivers them, audits its O-Node.",
      VIRP_VERSION);
  config.common.admin_listen = {"127.0.0.1", 9444};
  service::AddCommonOptions(options, &config.common);
  options.Add(&config.listen, "listen", "Where gRPC (Submit, status) is served, with mutual TLS.");
  service::AddAccessOptions(options, &config.tls, &config.access, &config.break_glass_socket);
  options.Add(
      &config.keys, "keys",
      "Key directory: of sources that it signs for, and of those whose frames it relays (the public half is enough).",
      "DIR");
  keys::AddKeySupplyOptions(options, &config.key_supply);
  options.Add(&config.name, "name", "The collector's own source name; its heartbeats are signed as it.", "SOURCE");
  options.Add(&config.onodes, "onode", "host:port of an O-Node; several for replicas.", "ADDRESS");
  options.Add(&config.origin, "origin", "Chain to deliver to.", "ORIGIN");
  options.Add(&config.checkpoint_keys, "checkpoint-key",
              "Verifier key (C2SP) of the chain's checkpoints, pinned; several during a roll.", "KEY");
  options.Add(&config.spool, "spool", "Directory of the spool and the audit's state.", "DIR");
  options.AddSize(&config.spool_limit, "spool-limit",
                  "Bytes that the spool may use; beyond it producers are made to wait.", 1 << 20);
  options.Add(&config.sources_file, "sources",
              "JSON file: listeners for frames, producers, and routers that speak BMP.", "FILE");
  options.Add(&config.limits, "limits",
              "JSON file: entries a second, burst and bytes a day of sources at this edge; read again on SIGHUP.",
              "FILE");
  options.Add(&config.reflection, "reflection", "Serve gRPC reflection.");
  for (const char* name :
       {"tls-certificate", "tls-key", "tls-roots", "keys", "name", "onode", "origin", "checkpoint-key", "spool"})
    options.Require(name);
  options.Check([&config]() -> absl::Status {
    RETURN_IF_ERROR(Annotate(CheckSourceName(config.name), "name"));
    RETURN_IF_ERROR(Annotate(CheckOrigin(config.origin), "origin"));
    if (config.access.trust_domain.empty() && config.access.identity_map_file.empty())
      return InvalidArgument("trust-domain or identity-map is needed");
    RETURN_IF_ERROR(keys::CheckKeySupply(config.key_supply));
    if (!config.limits.empty()) RETURN_IF_ERROR(Annotate(service::ReadRateLimits(config.limits).status(), "limits"));
    if (config.sources_file.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::string text, ReadFile(config.sources_file, kMaxSourcesFile));
    return ParseSources(text, config);
  });
  return options.Read(argc, argv, out);
}

}  // namespace virp::collector
