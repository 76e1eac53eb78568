// Options of virp-onode; docs/operations/onode.md explains each in its place.
#pragma once

#include <chrono>
#include <cstdint>
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
#include "lib/store/storage_url.h"

namespace virp::onode {

struct Config {
  service::CommonConfig common;
  HostPort listen{"127.0.0.1", 8443};
  std::string advertise;  // address that deliverers are sent to; `listen` when empty
  store::StorageUrl store;
  std::uint64_t store_limit = 0;
  std::string archive;  // folder of entries that were moved out of the store
  std::string migrate_url;
  bool migrate = true;
  bool read_only = false;
  service::TlsFiles tls;
  service::AccessOptions access;
  std::string limits;  // file; the defaults when empty
  std::string builds;  // file; nothing is expected when empty
  std::string keys, own_key, checkpoint_keys, state;
  keys::KeySupplyOptions key_supply;
  std::string break_glass_socket;
  bool reflection = false;
  std::chrono::milliseconds lease{5'000};
  std::chrono::milliseconds checkpoint_interval{1'000};
  std::vector<std::string> origins;  // `init --origin`
  bool init_once = false;            // `init --once`
  struct Archiving {                 // `archive`
    std::string origin;
    std::vector<std::string> checkpoint_keys;  // verifier keys
    std::uint64_t below = 0;
    std::chrono::hours keep{0};  // instead of `below`
    bool drop_detached = false;
  } archiving;
  std::string command;  // "", "init", "migrate" or "archive"
};

// InvalidArgument names the option. kExit when there is nothing more to do.
absl::StatusOr<service::Options::Next> ReadConfig(int argc, const char* const* argv, std::ostream& out, Config& config);

}  // namespace virp::onode
