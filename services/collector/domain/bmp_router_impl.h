// Shared by the files of BmpRouter.
#pragma once

#include <fmt/format.h>

#include <cstdint>

#include "lib/bmp/bgp.h"
#include "lib/bmp/message.h"
#include "services/collector/domain/bmp_paths.h"

namespace virp::collector {

inline std::uint8_t FamilyBit(bmp::AfiSafi family) {
  return family == bmp::kIpv4Unicast ? kIpv4Bit : family == bmp::kIpv6Unicast ? kIpv6Bit : std::uint8_t{0};
}

inline std::uint8_t RibBit(bmp::Rib rib) {
  return static_cast<std::uint8_t>(1u << static_cast<unsigned>(rib));
}

}  // namespace virp::collector
