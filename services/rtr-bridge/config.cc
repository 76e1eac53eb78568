#include "services/rtr-bridge/config.h"

#include <charconv>
#include <cmath>
#include <set>
#include <thread>

#include "lib/base/file.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/service/access_options.h"
#include "services/rtr-bridge/transport/listeners_file.h"

#ifndef VIRP_VERSION
#define VIRP_VERSION "unknown"
#endif

namespace virp::rtr_bridge {
namespace {

constexpr std::size_t kMaxFile = 4 << 20;

// What options are read into before Check makes a Config of them.
struct Given {
  std::vector<std::string> tcp, tls, ssh;
  service::TlsFiles tls_files;
  std::string router_certificates = "none";
  SshOptions ssh_options;
  std::string listeners_file, sources_file;
  std::vector<std::string> vrps;
  SourceOptions usual;
  std::chrono::nanoseconds expire = std::chrono::hours(24), max_age = std::chrono::hours(24), hold_max{0};
  std::string merge = "union", when_stale = "serve";
  std::chrono::nanoseconds generation_interval = std::chrono::seconds(10);
  std::size_t quorum = 2;
  std::string max_drop = "10%", max_growth;
  std::string must_stay_valid;
  std::uint8_t min_version = 0, max_version = rtr::kMaxVersion;
  std::uint32_t refresh = 3600, retry = 600, expire_timer = 7200;
  std::string http;
};

// "10%" or "0.1".
absl::StatusOr<double> ParsePart(std::string_view text) {
  const bool percent = text.ends_with('%');
  if (percent) text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) || value < 0)
    return InvalidArgument("must be a part, as 10% or 0.1");
  if (!percent && value > 1) return InvalidArgument("is more than the whole; a percentage has its sign, as 10%");
  return percent ? value / 100 : value;
}

absl::Status AddListeners(const Given& given, Config& config) {
  ListenerOptions usual;
  usual.min_version = given.min_version;
  usual.max_version = given.max_version;
  usual.tls = given.tls_files;
  usual.ssh = given.ssh_options;
  const auto certificates = ParseRouterCertificates(given.router_certificates);
  if (!certificates.ok()) return Annotate(certificates.status(), "rtr-tls-router-certificates");
  usual.certificates = *certificates;
  const auto add = [&](ListenerKind kind, const std::vector<std::string>& addresses) -> absl::Status {
    for (const std::string& address : addresses) {
      ListenerOptions listener = usual;
      listener.kind = kind;
      ASSIGN_OR_RETURN(listener.listen, ParseHostPort(address));
      config.routers.listeners.push_back(std::move(listener));
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(Annotate(add(ListenerKind::kTcp, given.tcp), "rtr"));
  RETURN_IF_ERROR(Annotate(add(ListenerKind::kTls, given.tls), "rtr-tls"));
  RETURN_IF_ERROR(Annotate(add(ListenerKind::kSsh, given.ssh), "rtr-ssh"));
  if (!given.tls.empty() && (given.tls_files.certificate.empty() || given.tls_files.private_key.empty()))
    return InvalidArgument("rtr-tls: needs rtr-tls-certificate and rtr-tls-key");
  if (!given.ssh.empty() && given.ssh_options.host_keys.empty())
    return InvalidArgument("rtr-ssh: needs rtr-ssh-host-key");
  if (!given.listeners_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(given.listeners_file, kMaxFile));
    auto listeners = ParseListeners(text, usual);
    if (!listeners.ok()) return Annotate(listeners.status(), given.listeners_file);
    for (ListenerOptions& listener : *listeners) config.routers.listeners.push_back(std::move(listener));
  }
  if (config.routers.listeners.empty())
    return InvalidArgument("no listener for routers: give rtr, rtr-tls, rtr-ssh or listeners");
  return absl::OkStatus();
}

absl::Status AddSources(Given& given, Config& config) {
  if (given.expire.count() > 0) given.usual.expire = given.expire;
  given.usual.max_age.reset();
  if (given.max_age.count() > 0) given.usual.max_age = given.max_age;
  for (const std::string& location : given.vrps) {
    ASSIGN_OR_RETURN(SourceOptions source, SourceAt(location, given.usual));
    config.sources.push_back(std::move(source));
  }
  if (!given.sources_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(given.sources_file, kMaxFile));
    auto sources = ParseSources(text, given.usual);
    if (!sources.ok()) return Annotate(sources.status(), given.sources_file);
    for (SourceOptions& source : *sources) config.sources.push_back(std::move(source));
  }
  if (config.sources.empty()) return InvalidArgument("no source of payloads: give vrps or sources");
  std::set<std::string> names;
  for (const SourceOptions& source : config.sources) {
    if (!names.insert(source.name).second) return InvalidArgument("two sources are named '{}'", source.name);
    const bool feed = source.kind == SourceKind::kKeyManager || source.kind == SourceKind::kBridge;
    if (feed && !config.serves_grpc())
      return InvalidArgument("source {}: a feed needs tls-certificate, tls-key and tls-roots", source.name);
  }
  if (given.when_stale != "serve" && given.when_stale != "stop")
    return InvalidArgument("when-stale: must be serve or stop");
  config.cache.when_stale = given.when_stale == "stop" ? WhenStale::kStop : WhenStale::kServe;
  config.cache.pace.interval = given.generation_interval;
  config.merge.quorum = given.quorum;
  if (given.merge == "first-good") {
    config.merge.policy = MergePolicy::kFirstGood;
  } else if (given.merge == "quorum") {
    config.merge.policy = MergePolicy::kQuorum;
    if (given.quorum > config.sources.size())
      return InvalidArgument("quorum: {} of {} sources can never agree", given.quorum, config.sources.size());
  } else if (given.merge != "union") {
    return InvalidArgument("merge: must be union, first-good or quorum");
  }
  return absl::OkStatus();
}

absl::Status AddGuards(const Given& given, Config& config) {
  GuardOptions& guards = config.cache.guards;
  const auto drop = ParsePart(given.max_drop);
  if (!drop.ok()) return Annotate(drop.status(), "max-drop");
  guards.max_drop = *drop;
  if (!given.max_growth.empty()) {
    const auto growth = ParsePart(given.max_growth);
    if (!growth.ok()) return Annotate(growth.status(), "max-growth");
    guards.max_growth = *growth;
  }
  if (given.hold_max.count() > 0) config.cache.hold_max = given.hold_max;
  if (given.must_stay_valid.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string text, ReadFile(given.must_stay_valid, kMaxFile));
  ASSIGN_OR_RETURN(guards.must_stay_valid, ParseRoutesToKeep(given.must_stay_valid, text));
  return absl::OkStatus();
}

absl::Status AddHttp(const Given& given, const EvidenceConfig& evidence, HttpConfig& http) {
  if (!given.http.empty()) {
    const bool port_alone = given.http.find(':') == std::string::npos;
    const auto listen = ParseHostPort(port_alone ? "127.0.0.1:" + given.http : given.http);
    if (!listen.ok()) return Annotate(listen.status(), "http");
    http.listen = *listen;
  }
  if (http.tls.certificate.empty() != http.tls.private_key.empty())
    return InvalidArgument("http-certificate and http-key belong together");
  if (http.tls.certificate.empty() && !http.tls.roots.empty())
    return InvalidArgument("http-client-roots: clients show certificates over TLS only; it needs http-certificate");
  if (!http.signing_key.empty() && !http.sign_as.empty())
    return InvalidArgument("http-signing-key or http-sign-as, not both");
  if (http.sign_as.empty()) return absl::OkStatus();
  if (evidence.name.empty())
    return InvalidArgument("http-sign-as: keys of sources need name and keys; a file is http-signing-key");
  return Annotate(CheckSourceName(http.sign_as), "http-sign-as");
}

absl::Status CheckEvidence(const Config& config) {
  const EvidenceConfig& evidence = config.evidence;
  if (!config.serves_grpc()) {
    if (config.keeps_evidence()) return InvalidArgument("name: evidence needs tls-certificate, tls-key and tls-roots");
    if (!config.break_glass_socket.empty())
      return InvalidArgument("break-glass-socket: without tls-certificate there is no service that it could serve");
    return absl::OkStatus();
  }
  if (config.tls.private_key.empty() || config.tls.roots.empty())
    return InvalidArgument("tls-certificate: needs tls-key and tls-roots");
  if (config.access.trust_domain.empty() && config.access.identity_map_file.empty())
    return InvalidArgument("trust-domain or identity-map is needed");
  if (!config.keeps_evidence()) return absl::OkStatus();
  RETURN_IF_ERROR(Annotate(CheckSourceName(evidence.name), "name"));
  RETURN_IF_ERROR(Annotate(CheckOrigin(evidence.origin), "origin"));
  RETURN_IF_ERROR(keys::CheckKeySupply(evidence.key_supply));
  if (evidence.keys.empty() || evidence.onodes.empty() || evidence.checkpoint_keys.empty() || evidence.spool.empty())
    return InvalidArgument("name: evidence needs keys, onode, checkpoint-key and spool");
  return absl::OkStatus();
}

void AddRouterOptions(service::Options& options, Config& config, Given& given) {
  options.Add(&given.tcp, "rtr", "Where routers are served over TCP; may be repeated.", "ADDRESS");
  options.Add(&given.tls, "rtr-tls", "Where routers are served over TLS; may be repeated.", "ADDRESS");
  options.Add(&given.ssh, "rtr-ssh", "Where routers are served over SSH; may be repeated.", "ADDRESS");
  options.Add(&given.listeners_file, "listeners",
              "JSON file: listeners with allow lists, versions and keys of their own.", "FILE");
  options.Add(&given.tls_files.certificate, "rtr-tls-certificate", "Certificate chain shown to routers, PEM.", "FILE");
  options.AddSecretFile(&given.tls_files.private_key, "rtr-tls-key", "Its private key, PEM.");
  options.Add(&given.tls_files.roots, "rtr-tls-roots", "Authorities of routers' certificates, PEM.", "FILE");
  options.Add(&given.router_certificates, "rtr-tls-router-certificates",
              "Whether routers show certificates: none, optional or required.", "POLICY");
  options.Add(&given.ssh_options.host_keys, "rtr-ssh-host-key", "Private host key; one of each type.", "FILE");
  options.Add(&given.ssh_options.users.keys, "rtr-ssh-keys",
              "Lines 'USER TYPE BASE64': public keys of routers; * is any user.", "FILE");
  options.AddSecretFile(&given.ssh_options.users.passwords, "rtr-ssh-passwords",
                        "Lines 'USER:HASH', hashes of crypt(5): passwords of routers.");
  options.Add(&given.min_version, "min-version", "Lowest RTR version that is spoken.", std::uint8_t{0},
              rtr::kMaxVersion);
  options.Add(&given.max_version, "max-version", "Highest RTR version that is spoken; 2 is a draft.", std::uint8_t{0},
              rtr::kMaxVersion);
  options.Add(&given.refresh, "rtr-refresh", "Seconds after which routers ask again.", 1U, 86'400U);
  options.Add(&given.retry, "rtr-retry", "Seconds after which routers try again.", 1U, 7'200U);
  options.Add(&given.expire_timer, "rtr-expire", "Seconds that routers keep data without news.", 600U, 172'800U);
  options.Add(&config.routers.session.notify_interval, "notify-interval",
              "Least time between two Serial Notify to a router; RFC 8210 wants a minute.");
  DoorLimits& door = config.routers.door;
  options.Add(&door.connections, "max-connections", "Routers that may be connected.", std::size_t{1},
              std::size_t{100'000});
  options.Add(&door.per_address, "max-connections-per-address", "Of them, from one address; 0 is as many as there are.",
              std::size_t{0}, std::size_t{100'000});
  SshOptions& ssh = given.ssh_options;
  options.Add(&ssh.max_connections, "rtr-ssh-max-connections", "Of them, over SSH at one address of ours.",
              std::size_t{1}, std::size_t{10'000});
  options.Add(&ssh.max_unauthenticated, "rtr-ssh-max-logins", "Of those, that have not logged in yet.", std::size_t{1},
              std::size_t{10'000});
  options.Add(&door.strangers_per_address, "rtr-ssh-max-logins-per-address",
              "Of these, from one address; 0 is as many as there are.", std::size_t{0}, std::size_t{10'000});
  options.AddSize(&config.routers.most_pinned, "slow-router-memory",
                  "Octets of earlier sets that routers may still be reading; beyond, the slowest are given up.",
                  1 << 20);
  options.Add(&config.for_good, "for-good", "At the end routers hear that the bridge does not come back.");
  options.Add(&config.routers.loops, "threads", "Threads that serve routers.", std::size_t{1}, std::size_t{64});
  options.Add(&config.drain_patience, "router-patience", "How long routers may take their last answers at the end.");
}

void AddSourceOptions(service::Options& options, Config& config, Given& given) {
  options.Add(&given.vrps, "vrps",
              "Source of payloads: a JSON file, an http(s) URL, keymgr:HOST:PORT or bridge:HOST:PORT; may be repeated.",
              "LOCATION");
  options.Add(&given.sources_file, "sources", "JSON file: sources with signatures, times and limits of their own.",
              "FILE");
  options.Add(&given.usual.refresh, "refresh", "How often files and URLs are read.", std::chrono::seconds(1));
  options.Add(&given.expire, "source-expire",
              "How long a source's last good data are served once it fails; 0 is for ever.");
  options.Add(&given.when_stale, "when-stale",
              "What routers get once no source's data count any more: serve (the last set, until it expires) or stop "
              "(error 2).",
              "POLICY");
  options.Add(&given.generation_interval, "generation-interval",
              "Least time between two generations once five came at once; 0 is none.");
  options.Add(&given.max_age, "source-max-age",
              "How old a document may be by its own word (buildtime, generated); 0 asks for none.");
  options.AddSize(&given.usual.max_bytes, "source-max-bytes", "Largest document that is taken.", 1024);
  options.Add(&given.usual.roots, "source-roots", "Authorities of https sources, PEM; the system's if not given.",
              "FILE");
  options.Add(&config.slurm, "slurm", "Local exceptions (RFC 8416); may be repeated.", "FILE");
  options.Add(&given.merge, "merge", "How sources become one set: union, first-good or quorum.", "POLICY");
  options.Add(&given.quorum, "quorum", "With quorum: how many sources must have a payload.", std::size_t{1},
              std::size_t{64});
  options.Add(&given.max_drop, "max-drop", "Part of what is served that may go at once.", "PART");
  options.Add(&given.max_growth, "max-growth", "Part of what is served that may come at once; any if not given.",
              "PART");
  options.Add(&config.cache.guards.min_records, "min-records", "Fewest records that are served.", std::size_t{0},
              std::size_t{100'000'000});
  options.Add(&given.must_stay_valid, "must-stay-valid",
              "Lines 'PREFIX AS': routes that no change may make invalid or not found.", "FILE");
  options.Add(&given.hold_max, "hold-max", "How long a guard holds a change at most; 0 is until it is accepted.");
  options.Add(&config.cache.history.max_deltas, "history", "Changes that routers may be behind without a reload.",
              std::size_t{0}, rtr::kMaxDeltas);
  options.Add(&config.cache.drop_router_keys, "disable-router-keys", "Serve no router keys.");
  options.Add(&config.cache.drop_aspas, "disable-aspas", "Serve no ASPAs.");
  options.Add(&config.state, "state", "Directory of sessions, serials and changes, for restarts.", "DIR");
}

void AddHttpOptions(service::Options& options, HttpConfig& http, Given& given) {
  options.Add(&given.http, "http",
              "Where /rpki.json and answers about routes are served over HTTP; a port alone is on the loopback.",
              "ADDRESS");
  options.Add(&http.tls.certificate, "http-certificate", "Certificate chain of that address, PEM: HTTPS then.", "FILE");
  options.AddSecretFile(&http.tls.private_key, "http-key", "Its private key, PEM.");
  options.Add(&http.tls.roots, "http-client-roots", "Authorities whose certificates clients must show, PEM.", "FILE");
  options.AddSecretFile(&http.signing_key, "http-signing-key",
                        "Private key, PEM, of Ed25519 or P-256: /rpki.json.sig is made with it.");
  options.Add(&http.sign_as, "http-sign-as",
              "Or the source, in the key directory or of the key manager, whose Ed25519 key makes it.", "SOURCE");
}

void AddEvidenceOptions(service::Options& options, EvidenceConfig& evidence, SessionLogOptions& sessions) {
  options.Add(&evidence.name, "name", "The bridge's own source name; without one it keeps no evidence.", "SOURCE");
  options.Add(&evidence.keys, "keys", "Key directory with the bridge's O-Key.", "DIR");
  keys::AddKeySupplyOptions(options, &evidence.key_supply);
  options.Add(&evidence.onodes, "onode", "host:port of an O-Node; several for replicas.", "ADDRESS");
  options.Add(&evidence.origin, "origin", "Chain to deliver to.", "ORIGIN");
  options.Add(&evidence.checkpoint_keys, "checkpoint-key",
              "Verifier key (C2SP) of the chain's checkpoints, pinned; several during a roll.", "KEY");
  options.Add(&evidence.spool, "spool", "Directory of the spool and the audit's state.", "DIR");
  options.AddSize(&evidence.spool_limit, "spool-limit", "Bytes that the spool may use.", 1 << 20);
  options.Add(&sessions.per_router, "router-records",
              "Records about one router in a minute; what comes beyond is summarised in one.", std::size_t{1},
              std::size_t{100'000});
}

absl::Status Finish(Given& given, Config& config) {
  config.routers.session.timers = {given.refresh, given.retry, given.expire_timer};
  if (const auto wrong = rtr::WhyWrong(config.routers.session.timers); !wrong.empty())
    return InvalidArgument("rtr-refresh, rtr-retry, rtr-expire: {}", wrong);
  if (given.min_version > given.max_version) return InvalidArgument("min-version is above max-version");
  if (config.state.empty())
    return InvalidArgument("state: a directory is needed, so that routers need not reload after a restart");
  RETURN_IF_ERROR(CheckEvidence(config));
  RETURN_IF_ERROR(AddHttp(given, config.evidence, config.http));
  RETURN_IF_ERROR(AddListeners(given, config));
  RETURN_IF_ERROR(AddSources(given, config));
  return AddGuards(given, config);
}

}  // namespace

absl::StatusOr<service::Options::Next> ReadConfig(int argc, const char* const* argv, std::ostream& out,
                                                  Config& config) {
  service::Options options("virp-rtr-bridge",
                           "Serves validated RPKI data to routers, and puts on record what it served to whom.",
                           VIRP_VERSION);
  Given given;
  config.common.admin_listen = {"127.0.0.1", 9446};
  service::AddCommonOptions(options, &config.common);
  options.Add(&config.listen, "listen", "Where gRPC (RtrService) is served, with mutual TLS.");
  service::AddAccessOptions(options, &config.tls, &config.access, &config.break_glass_socket);
  options.Add(&config.reflection, "reflection", "Serve gRPC reflection.");
  AddRouterOptions(options, config, given);
  AddSourceOptions(options, config, given);
  AddHttpOptions(options, config.http, given);
  AddEvidenceOptions(options, config.evidence, config.session_log);
  options.Check([&]() -> absl::Status { return Finish(given, config); });
  return options.Read(argc, argv, out);
}

}  // namespace virp::rtr_bridge
