// Socket addresses as the kernel wants them. Private to lib/base.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>

#include "lib/base/ip.h"

namespace virp {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress MakeSocketAddress(const IpAddress& ip, std::uint16_t port);

// How this socket's kernel side names the peer: an IPv4 peer of a dual-stack socket by its mapped address. Nothing when
// no such peer can connect to it.
std::optional<IpAddress> AddressFor(int socket, const IpAddress& peer);

}  // namespace virp
