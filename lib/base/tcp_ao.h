// TCP-AO (RFC 5925) on sockets, where the kernel has it (Linux 6.7 and later, CONFIG_TCP_AO).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lib/base/ip.h"

namespace virp {

// A master key tuple. `key` is a view: nothing is kept.
struct TcpAoKey {
  std::uint8_t send_id = 0;
  std::uint8_t recv_id = 0;
  std::string_view algorithm;  // "hmac-sha-1-96" or "aes-128-cmac-96" (RFC 5926)
  std::string_view key;        // 1 to 80 bytes
};

// Whether this kernel takes such keys; asked once, with a socket of its own.
bool KernelHasTcpAo();

// From now on segments to and from that address must carry the key's MAC. On a listening socket for the connections
// that come; several keys with other ids may be there at once, for rolls. FailedPrecondition when the kernel has no
// TCP-AO.
absl::Status AddTcpAoKey(int socket, const IpAddress& peer, const TcpAoKey& key);

}  // namespace virp
