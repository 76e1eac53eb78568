// Options of virp-keymgr; docs/operations/keymgr.md explains each in its place.
#pragma once

#include <chrono>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/units.h"
#include "lib/pkcs11/token_uri.h"
#include "lib/service/access.h"
#include "lib/service/common_options.h"
#include "lib/service/config.h"
#include "lib/service/credentials.h"
#include "lib/store/storage_url.h"
#include "services/keymgr/domain/key.h"
#include "services/keymgr/router_options.h"
#include "services/keymgr/rpki_options.h"

namespace virp::keymgr {

inline constexpr std::string_view kKekOnToken = "token";

struct Config {
  service::CommonConfig common;
  HostPort listen{"127.0.0.1", 8445};
  std::string advertise;  // address that clients are sent to; `listen` when empty
  store::StorageUrl store;
  std::string migrate_url;
  bool migrate = true;
  service::TlsFiles tls;
  service::AccessOptions access;
  std::string break_glass_socket;
  bool reflection = false;
  std::string est_listen;                    // host:port of the EST port; empty: none
  std::string name;                          // source name
  std::string own_key;                       // key directory
  std::string kek;                           // folder, file, or kKekOnToken
  std::string token_module, token_pin_file;  // a PKCS #11 token; no module: none
  pkcs11::TokenSelector token;               // which of the module's
  std::vector<KeyKind> on_token;             // kinds whose new keys are made there
  std::vector<std::string> onodes;
  std::string origin;
  std::vector<std::string> checkpoint_keys;
  std::string state;
  std::chrono::milliseconds lease{5'000};
  RpkiConfig rpki;
  RouterConfig router;
  std::string command;  // "", "migrate" or "make-kek"
};

// InvalidArgument names the option. kExit when there is nothing more to do.
absl::StatusOr<service::Options::Next> ReadConfig(int argc, const char* const* argv, std::ostream& out, Config& config);

}  // namespace virp::keymgr
