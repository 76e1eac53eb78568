// Options of virp-rtr-bridge; docs/operations/rtr-bridge.md explains each.
#pragma once

#include <chrono>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/units.h"
#include "lib/keys/key_supply.h"
#include "lib/service/access.h"
#include "lib/service/common_options.h"
#include "lib/service/config.h"
#include "lib/service/credentials.h"
#include "services/rtr-bridge/domain/cache.h"
#include "services/rtr-bridge/transport/router_server.h"
#include "services/rtr-bridge/transport/source_options.h"

namespace virp::rtr_bridge {

// Evidence of what is served; a bridge without a name keeps none.
struct EvidenceConfig {
  std::string name;  // its own source
  std::string keys;  // key directory
  keys::KeySupplyOptions key_supply;
  std::vector<std::string> onodes;
  std::string origin;
  std::vector<std::string> checkpoint_keys;  // pinned verifier keys
  std::string spool;
  std::uint64_t spool_limit = 1ULL << 30;
};

// The own HTTP(S) address; nothing is served without one.
struct HttpConfig {
  std::optional<HostPort> listen;
  service::TlsFiles tls;    // with a certificate: HTTPS; with roots: clients must show one
  std::string signing_key;  // PEM file; exports are signed with it
  std::string sign_as;      // or with the key of this source
};

struct Config {
  service::CommonConfig common;
  HostPort listen{"127.0.0.1", 8446};  // gRPC; served when there is a certificate
  service::TlsFiles tls;
  service::AccessOptions access;
  std::string break_glass_socket;
  bool reflection = false;
  EvidenceConfig evidence;
  HttpConfig http;
  std::string state;  // directory: sessions, serials, delta window

  RouterServerOptions routers;
  std::chrono::milliseconds drain_patience{2'000};
  bool for_good = false;  // the next end
  CacheOptions cache;
  std::vector<SourceOptions> sources;
  MergeRule merge;
  std::vector<std::string> slurm;
  SessionLogOptions session_log;

  bool serves_grpc() const { return !tls.certificate.empty(); }
  bool keeps_evidence() const { return !evidence.name.empty(); }
};

// InvalidArgument names the option, or the place in one of the files.
absl::StatusOr<service::Options::Next> ReadConfig(int argc, const char* const* argv, std::ostream& out, Config& config);

// "/var/lib/rpki.json", "https://...", "keymgr:HOST:PORT", "bridge:HOST:PORT"; the rest as in `usual`. The name is the
// location's.
absl::StatusOr<SourceOptions> SourceAt(const std::string& location, const SourceOptions& usual);
// The sources file: {"sources": [{"name": ..., "location": ...}]}; what an item does not say is as in `usual`.
absl::StatusOr<std::vector<SourceOptions>> ParseSources(std::string_view json, const SourceOptions& usual);

}  // namespace virp::rtr_bridge
