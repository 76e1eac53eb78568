// TCP to routers: both address families, TCP-MD5, and keepalives that notice a router that went away without a word.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/base/units.h"

namespace virp {

// A listening socket, non-blocking; `[::]` takes IPv4 as well. InvalidArgument when the host is not an address.
absl::StatusOr<FileDescriptor> ListenTcp(const HostPort& at);
absl::StatusOr<int> LocalPort(int socket);

// The next connection, non-blocking, and who it is from (IPv4-mapped addresses as IPv4). Unavailable when there is
// none.
struct Accepted {
  FileDescriptor socket;
  IpAddress address;
  std::uint16_t port = 0;
};
absl::StatusOr<Accepted> AcceptTcp(int listening);

// Begins to connect; ConnectResult says how it went once the socket is writable.
absl::StatusOr<FileDescriptor> BeginConnect(const IpAddress& address, std::uint16_t port, std::string_view md5_key);
absl::Status ConnectResult(int socket, std::string_view to);

// RFC 2385: from now on segments to and from that address carry the key's digest, and others are dropped by the kernel.
// On a listening socket for the connections that come. InvalidArgument for a key that is empty or too long,
// FailedPrecondition when the kernel has no TCP-MD5.
absl::Status SetMd5Key(int socket, const IpAddress& peer, std::string_view key);

}  // namespace virp
