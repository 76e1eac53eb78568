#include "lib/base/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lib/base/status.h"
#include "lib/base/tcp_address.h"

namespace virp {
namespace {

constexpr int kBacklog = 512;
// A silent router is probed after 10 s, and given up after three probes 5 s apart: BMP has no liveness, RTR asks
// rarely.
constexpr int kKeepIdle = 10, kKeepInterval = 5, kKeepCount = 3;

IpAddress AddressIn(const SocketAddress& address) {
  if (address.storage.ss_family == AF_INET)
    return IpAddress::V4(&reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr);
  return IpAddress::V6(&reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr).Unmapped();
}

bool Set(int socket, int level, int option, int value) {
  return ::setsockopt(socket, level, option, &value, sizeof(value)) == 0;
}

void KeepAlive(int socket) {
  Set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  Set(socket, IPPROTO_TCP, TCP_KEEPIDLE, kKeepIdle);
  Set(socket, IPPROTO_TCP, TCP_KEEPINTVL, kKeepInterval);
  Set(socket, IPPROTO_TCP, TCP_KEEPCNT, kKeepCount);
}

std::uint16_t PortIn(const SocketAddress& address) {
  return ntohs(address.storage.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in&>(address.storage).sin_port
                                                    : reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_port);
}

}  // namespace

SocketAddress MakeSocketAddress(const IpAddress& ip, std::uint16_t port) {
  SocketAddress out;
  if (ip.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(out.storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, ip.bytes().data(), 4);
    out.size = sizeof(v4);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out.storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, ip.bytes().data(), 16);
    out.size = sizeof(v6);
  }
  return out;
}

std::optional<IpAddress> AddressFor(int socket, const IpAddress& peer) {
  int family = AF_INET;
  socklen_t size = sizeof(family);
  ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &size);
  if (family == AF_INET && peer.is_v6()) return std::nullopt;
  if (family == AF_INET || peer.is_v6()) return peer;
  std::string mapped(10, '\0');
  mapped.append("\xff\xff").append(peer.bytes());
  return IpAddress::V6(mapped.data());
}

absl::StatusOr<FileDescriptor> ListenTcp(const HostPort& at) {
  ASSIGN_OR_RETURN(const IpAddress ip, IpAddress::Parse(at.host));
  SocketAddress address = MakeSocketAddress(ip, at.port);
  FileDescriptor socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return ErrnoStatus(errno, "cannot open a socket for", FormatHostPort(at));
  Set(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (ip.is_v6()) Set(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, ip.is_unspecified() ? 0 : 1);
  if (::bind(socket.get(), address.get(), address.size) != 0)
    return ErrnoStatus(errno, "cannot bind", FormatHostPort(at));
  if (::listen(socket.get(), kBacklog) != 0) return ErrnoStatus(errno, "cannot listen on", FormatHostPort(at));
  return socket;
}

absl::StatusOr<int> LocalPort(int socket) {
  SocketAddress address;
  if (::getsockname(socket, address.get(), &address.size) != 0)
    return ErrnoStatus(errno, "no local address of", "a socket");
  return PortIn(address);
}

absl::StatusOr<Accepted> AcceptTcp(int listening) {
  SocketAddress address;
  FileDescriptor socket(::accept4(listening, address.get(), &address.size, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return ErrnoStatus(errno, "no connection on", "the listener");
  KeepAlive(socket.get());
  return Accepted{std::move(socket), AddressIn(address), PortIn(address)};
}

absl::StatusOr<FileDescriptor> BeginConnect(const IpAddress& ip, std::uint16_t port, std::string_view md5_key) {
  SocketAddress address = MakeSocketAddress(ip, port);
  FileDescriptor socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return ErrnoStatus(errno, "cannot open a socket for", ip.ToString());
  KeepAlive(socket.get());
  if (!md5_key.empty()) RETURN_IF_ERROR(SetMd5Key(socket.get(), ip, md5_key));
  if (::connect(socket.get(), address.get(), address.size) != 0 && errno != EINPROGRESS) {
    return ErrnoStatus(errno, "cannot connect to", ip.ToString());
  }
  return socket;
}

absl::Status ConnectResult(int socket, std::string_view to) {
  int error = 0;
  socklen_t size = sizeof(error);
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "cannot connect to", to);
}

absl::Status SetMd5Key(int socket, const IpAddress& peer, std::string_view key) {
  tcp_md5sig option{};
  // For the kernel a key of no bytes means that the peer's key goes.
  if (key.empty() || key.size() > sizeof(option.tcpm_key))
    return InvalidArgument("a TCP-MD5 key has 1 to {} bytes", sizeof(option.tcpm_key));
  const std::optional<IpAddress> address = AddressFor(socket, peer);
  if (!address) return absl::OkStatus();  // cannot connect here
  const SocketAddress at = MakeSocketAddress(*address, 0);
  std::memcpy(&option.tcpm_addr, &at.storage, sizeof(at.storage));
  option.tcpm_keylen = static_cast<std::uint16_t>(key.size());
  std::copy(key.begin(), key.end(), option.tcpm_key);
  const int result = ::setsockopt(socket, IPPROTO_TCP, TCP_MD5SIG, &option, sizeof(option));
  const int error = errno;
  ::explicit_bzero(&option, sizeof(option));
  if (result == 0) return absl::OkStatus();
  if (error == ENOPROTOOPT) return FailedPrecondition("this kernel has no TCP-MD5 (CONFIG_TCP_MD5SIG)");
  return ErrnoStatus(error, "cannot set the TCP-MD5 key for", peer.ToString());
}

}  // namespace virp
