// What a service enters when its break-glass socket is used, before the call runs: the O-Node as type 28 of its own
// source in each chain that it leads, a collector as type 21 of its own. docs/formats/payloads.md, "Of the services
// themselves".
#pragma once

#include <cstdint>
#include <string>

namespace virp::chain {

struct BreakGlass {
  std::string method;     // "/package.Service/Method"
  std::uint64_t uid = 0;  // of the caller, as the kernel knows it (SO_PEERCRED)
  std::uint64_t pid = 0;  // likewise, when it connected; 0 when it is of another PID namespace
};

// The payload; it has no subject.
std::string BuildBreakGlass(const BreakGlass& use);

}  // namespace virp::chain
