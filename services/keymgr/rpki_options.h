// Options of the key manager's own RPKI; docs/operations/rpki.md explains each in its place.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/service/config.h"
#include "services/keymgr/domain/rpki_authority.h"

namespace virp::keymgr {

struct RpkiConfig {
  RpkiOptions authority;
  std::string publication;              // folder
  std::vector<std::string> as_numbers;  // as AsResources::Parse
  std::vector<std::string> addresses;   // as Prefix::Parse
  std::string webhook, webhook_token, webhook_roots;
  std::string calendar;
};

void AddRpkiOptions(service::Options& options, RpkiConfig& config);
// Whether they fit together, once all were read; fills `authority` with the resources. InvalidArgument names the
// option.
absl::Status FinishRpkiOptions(RpkiConfig& config);

}  // namespace virp::keymgr
