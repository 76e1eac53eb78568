// A router's account as a file has it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "virp/keymgr/v1/router.pb.h"

namespace virp::virpctl {

// A virp.keymgr.v1.Router in protobuf's JSON; "-" is standard input.
absl::StatusOr<keymgr::v1::Router> ReadAccount(const std::string& file);

}  // namespace virp::virpctl
