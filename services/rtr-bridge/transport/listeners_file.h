// The listeners file: what the flags --rtr, --rtr-tls and --rtr-ssh cannot say (docs/operations/rtr-bridge.md).
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "services/rtr-bridge/transport/router_server.h"

namespace virp::rtr_bridge {

// {"listeners": [{"transport": "tcp", "address": "[::]:323", ...}]}; what an item does not say is as in `usual`.
// InvalidArgument names the place.
absl::StatusOr<std::vector<ListenerOptions>> ParseListeners(std::string_view json, const ListenerOptions& usual = {});
// "none", "optional" or "required".
absl::StatusOr<service::TlsAcceptor::ClientCertificate> ParseRouterCertificates(std::string_view text);

}  // namespace virp::rtr_bridge
