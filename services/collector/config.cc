#include "services/collector/config.h"

#include <algorithm>

#include "lib/base/file.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/service/rate_limits.h"
#include "lib/service/strict_json.h"
#include "services/collector/bmp_config.h"

#ifndef VIRP_VERSION
#define VIRP_VERSION "unknown"
#endif

namespace virp::collector {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxSourcesFile = 1 << 20;
constexpr std::size_t kMaxList = 1'000;

absl::Status ParseTls(const json& item, const std::string& where, FrameListenerOptions& listener) {
  if (item.contains("tls")) {
    if (!item["tls"].is_boolean()) return InvalidArgument("{}: tls is not true or false", where);
    listener.tls = item["tls"].get<bool>();
  }
  if (item.contains("clients")) {
    ASSIGN_OR_RETURN(listener.clients, service::StringsMember(item, "clients", kMaxList, where));
    for (const std::string& id : listener.clients) RETURN_IF_ERROR(Annotate(service::SpiffeId::Parse(id).status(), where + ": clients"));
  }
  if (listener.tls && listener.listen.starts_with("unix:")) return InvalidArgument("{}: tls is for TCP, not for a Unix socket", where);
  if (!listener.clients.empty() && !listener.tls) return InvalidArgument("{}: clients show certificates within TLS only; add \"tls\": true", where);
  return absl::OkStatus();
}

absl::Status ParseListener(const json& item, const std::string& where, Config& config) {
  RETURN_IF_ERROR(service::CheckObject(item, {"listen", "source", "spelling", "producers", "allow", "tls", "clients", "uid"}, where));
  FrameListenerOptions listener;
  ASSIGN_OR_RETURN(listener.listen, service::StringMember(item, "listen", where));
  ASSIGN_OR_RETURN(listener.source, service::StringMember(item, "source", where));
  RETURN_IF_ERROR(Annotate(CheckSourceName(listener.source), where));
  std::string spelling = "v1-le";
  if (item.contains("spelling")) {
    ASSIGN_OR_RETURN(spelling, service::StringMember(item, "spelling", where));
  }
  if (spelling != "auto") {
    listener.spelling = frame::SpellingFromName(spelling);
    if (!listener.spelling) return InvalidArgument("{}: spelling '{}' is none of auto, v1-le, v1-be, v1-producer, v2", where, spelling);
  }
  if (item.contains("allow")) {
    ASSIGN_OR_RETURN(listener.allow, service::StringsMember(item, "allow", kMaxList, where));
  }
  RETURN_IF_ERROR(ParseTls(item, where, listener));
  if (item.contains("uid")) {
    if (!item["uid"].is_number_unsigned()) return InvalidArgument("{}: uid is not a number", where);
    listener.uid = item["uid"].get<std::uint32_t>();
  }
  const json producers = item.contains("producers") ? item["producers"] : json::object();
  for (const auto& [id, source] : producers.items()) {
    if (!source.is_string() || id.empty() || !std::all_of(id.begin(), id.end(), [](char c) { return c >= '0' && c <= '9'; }) || id.size() > 10) {
      return InvalidArgument("{}: producers maps decimal producer ids to source names", where);
    }
    listener.producers[static_cast<std::uint32_t>(std::stoull(id))] = source.get<std::string>();
  }
  config.frames.push_back(std::move(listener));
  return absl::OkStatus();
}

absl::Status ParseProducer(const json& item, const std::string& where, Config& config) {
  RETURN_IF_ERROR(service::CheckObject(item, {"identity", "sources", "types"}, where));
  ProducerBinding producer;
  ASSIGN_OR_RETURN(producer.identity, service::StringMember(item, "identity", where));
  ASSIGN_OR_RETURN(const auto sources, service::StringsMember(item, "sources", kMaxList, where));
  for (const std::string& source : sources) {
    RETURN_IF_ERROR(Annotate(CheckSourceName(source), where));
    producer.sources.insert(source);
  }
  if (!item.contains("types") || !item["types"].is_array()) return InvalidArgument("{}: types is not a list of observation types", where);
  for (const json& type : item["types"]) {
    if (!type.is_number_unsigned() || type.get<std::uint64_t>() < 1 || type.get<std::uint64_t>() > 255) {
      return InvalidArgument("{}: types holds something that is not 1 to 255", where);
    }
    producer.types.insert(type.get<std::uint32_t>());
  }
  config.producers.push_back(std::move(producer));
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseSources(std::string_view text, Config& config) {
  ASSIGN_OR_RETURN(const json file, service::ParseStrictJson(text, service::JsonComments::kAllowed));
  RETURN_IF_ERROR(service::CheckObject(file, {"frames", "producers", "bmp"}, "sources file"));
  for (const char* list : {"frames", "producers"}) {
    if (!file.contains(list)) continue;
    if (!file[list].is_array() || file[list].size() > kMaxList) return InvalidArgument("sources file: {} is not a list of at most {}", list, kMaxList);
    for (std::size_t i = 0; i < file[list].size(); ++i) {
      const std::string where = fmt::format("sources file: {}[{}]", list, i);
      RETURN_IF_ERROR(std::string_view(list) == "frames" ? ParseListener(file[list][i], where, config) : ParseProducer(file[list][i], where, config));
    }
  }
  if (!file.contains("bmp")) return absl::OkStatus();
  RETURN_IF_ERROR(ParseBmp(file["bmp"], "sources file: bmp", config.bmp));
  config.bmp.bmp.collector_source = config.name;
  return Annotate(CheckBmpOptions(config.bmp.bmp), "sources file: bmp");
}

absl::StatusOr<service::Options::Next> ReadConfig(int argc, const char* const* argv, std::ostream& out, Config& config) {
  service::Options options("virp-collector", "Takes observations in, signs what is unsigned, spools and delivers them, audits its O-Node.", VIRP_VERSION);
  config.common.admin_listen = {"127.0.0.1", 9444};
  service::AddCommonOptions(options, &config.common);
  options.Add(&config.listen, "listen", "Where gRPC (Submit, status) is served, with mutual TLS.");
  options.Add(&config.tls.certificate, "tls-certificate", "PEM file: the collector's certificate with its chain.", "FILE");
  options.AddSecretFile(&config.tls.private_key, "tls-key", "PEM file: its private key.");
  options.Add(&config.tls.roots, "tls-roots", "PEM file: authorities that peers are verified against.", "FILE");
  options.Add(&config.access.trust_domain, "trust-domain", "Trust domain of the SPIFFE ids that are let in.", "NAME");
  options.Add(&config.access.identity_map_file, "identity-map", "JSON file: which ids have which role; the default is spiffe://DOMAIN/ROLE/NAME.", "FILE");
  options.Add(&config.access.deny_file, "deny-file", "File of denied ids and serials; read again when it changes.", "FILE");
  options.Add(&config.break_glass_socket, "break-glass-socket", "Unix socket for the way in when certificates have lapsed.", "PATH");
  options.Add(&config.keys, "keys", "Key directory: of sources that it signs for, and of those whose frames it relays (the public half is enough).", "DIR");
  options.Add(&config.name, "name", "The collector's own source name; its heartbeats are signed as it.", "SOURCE");
  options.Add(&config.onodes, "onode", "host:port of an O-Node; several for replicas.", "ADDRESS");
  options.Add(&config.origin, "origin", "Chain to deliver to.", "ORIGIN");
  options.Add(&config.checkpoint_keys, "checkpoint-key", "Verifier key (C2SP) of the chain's checkpoints, pinned; several during a roll.", "KEY");
  options.Add(&config.spool, "spool", "Directory of the spool and the audit's state.", "DIR");
  options.AddSize(&config.spool_limit, "spool-limit", "Bytes that the spool may use; beyond it producers are made to wait.", 1 << 20);
  options.Add(&config.sources_file, "sources", "JSON file: listeners for frames, producers, and routers that speak BMP.", "FILE");
  options.Add(&config.limits, "limits", "JSON file: entries a second, burst and bytes a day of sources at this edge; read again on SIGHUP.", "FILE");
  options.Add(&config.reflection, "reflection", "Serve gRPC reflection.");
  for (const char* name : {"tls-certificate", "tls-key", "tls-roots", "keys", "name", "onode", "origin", "checkpoint-key", "spool"}) options.Require(name);
  options.Check([&config]() -> absl::Status {
    RETURN_IF_ERROR(Annotate(CheckSourceName(config.name), "name"));
    RETURN_IF_ERROR(Annotate(CheckOrigin(config.origin), "origin"));
    if (config.access.trust_domain.empty() && config.access.identity_map_file.empty()) return InvalidArgument("trust-domain or identity-map is needed");
    if (!config.limits.empty()) RETURN_IF_ERROR(Annotate(service::ReadRateLimits(config.limits).status(), "limits"));
    if (config.sources_file.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::string text, ReadFile(config.sources_file, kMaxSourcesFile));
    return ParseSources(text, config);
  });
  return options.Read(argc, argv, out);
}

}  // namespace virp::collector
