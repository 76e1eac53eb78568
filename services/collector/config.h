// Options of virp-collector, and the file that names its sources; docs/operations/collector.md explains each.
#pragma once

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
#include "services/collector/domain/frame_intake.h"
#include "services/collector/transport/bmp_ingest.h"
#include "services/collector/transport/collector_handler.h"

namespace virp::collector {

struct Config {
  service::CommonConfig common;
  HostPort listen{"127.0.0.1", 8444};
  service::TlsFiles tls;
  service::AccessOptions access;
  std::string break_glass_socket;
  std::string keys;  // key directory: sources that it signs for or checks
  keys::KeySupplyOptions key_supply;
  std::string name;  // its own source
  std::vector<std::string> onodes;
  std::string origin;
  std::vector<std::string> checkpoint_keys;  // pinned verifier keys
  std::string spool;
  std::uint64_t spool_limit = 1ULL << 30;
  std::string sources_file;
  std::string limits;  // file; no limits of its own when empty
  bool reflection = false;

  // From the sources file.
  std::vector<FrameListenerOptions> frames;
  std::vector<ProducerBinding> producers;
  BmpIngestOptions bmp;
};

// InvalidArgument names the option or the place in the sources file.
absl::StatusOr<service::Options::Next> ReadConfig(int argc, const char* const* argv, std::ostream& out, Config& config);

// The sources file: {"frames": [...], "producers": [...], "bmp": {...}}. `config.name` is known.
absl::Status ParseSources(std::string_view json, Config& config);

}  // namespace virp::collector
