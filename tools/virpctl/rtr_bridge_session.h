// The way to the RTR bridge.
#pragma once

#include "tools/virpctl/commands.h"
#include "virp/rtr/v1/rtr_service.grpc.pb.h"

namespace virp::virpctl {

inline Connection ToRtrBridge(const Options& options) {
  Connection to = options.connection;
  to.onode = options.rtr_bridge;
  to.to_rtr_bridge = true;
  return to;
}

}  // namespace virp::virpctl
