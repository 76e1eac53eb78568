// Shared by the files of BmpRouter.
#pragma once

#include <fmt/format.h>

#include <cstdint>

#include "lib/bmp/bgp.h"

namespace virp::collector {

inline constexpr std::uint8_t kIpv4Bit = 1, kIpv6Bit = 2;
inline std::uint8_t FamilyBit(bmp::AfiSafi family) {
  return family == bmp::kIpv4Unicast ? kIpv4Bit : family == bmp::kIpv6Unicast ? kIpv6Bit : std::uint8_t{0};
}

}  // namespace virp::collector
