#include "tools/virpctl/tcp_socket.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "lib/base/status.h"

namespace virp::virpctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// As people write it, for messages.
std::string TextOf(const SocketAddress& address) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (getnameinfo(address.generic(), address.size, host.data(), host.size(), port.data(), port.size(),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "an address";
  const bool brackets = address.address.ss_family == AF_INET6;
  return fmt::format(fmt::runtime(brackets ? "[{}]:{}" : "{}:{}"), host.data(), port.data());
}

absl::StatusOr<FileDescriptor> ConnectOne(const SocketAddress& to, Deadline deadline) {
  ASSIGN_OR_RETURN(FileDescriptor socket, TcpSocket(to, SOCK_NONBLOCK));
  int error = ::connect(socket.get(), to.generic(), to.size) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    if (const absl::Status came = AwaitSocket(socket.get(), POLLOUT, deadline); !came.ok())
      return Annotate(came, TextOf(to));
    socklen_t size = sizeof(error);
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) return ErrnoStatus(error, "cannot connect to", TextOf(to));
  return socket;
}

}  // namespace

absl::Status CheckTime(Deadline deadline) {
  return steady_clock::now() < deadline ? absl::OkStatus() : DeadlineExceeded("no answer in time");
}

absl::Status AwaitSocket(int socket, short events, Deadline deadline) {
  while (true) {
    const auto left = std::max(std::chrono::ceil<milliseconds>(deadline - steady_clock::now()), milliseconds(0));
    pollfd ready{socket, events, 0};
    const int count = ::poll(&ready, 1, static_cast<int>(std::min(left, milliseconds(60'000)).count()));
    if (count > 0) return absl::OkStatus();
    if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "cannot wait for", "a socket");
    RETURN_IF_ERROR(CheckTime(deadline));
  }
}

absl::StatusOr<std::vector<SocketAddress>> Resolve(const HostPort& where) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  if (failed != 0) return Unavailable("{}: {}", where.host, gai_strerror(failed));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> freed(found, &freeaddrinfo);
  std::vector<SocketAddress> out;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    SocketAddress& address = out.emplace_back();
    std::memcpy(&address.address, one->ai_addr, one->ai_addrlen);
    address.size = one->ai_addrlen;
  }
  if (out.empty()) return Unavailable("{} has no address", where.host);
  return out;
}

absl::StatusOr<FileDescriptor> TcpSocket(const SocketAddress& to, int flags) {
  FileDescriptor socket(::socket(to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!socket) return ErrnoStatus(errno, "cannot make", "a socket");
  return socket;
}

absl::StatusOr<FileDescriptor> ConnectAny(std::span<const SocketAddress> addresses, Deadline deadline) {
  absl::Status why = Unavailable("no address to connect to");
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    RETURN_IF_ERROR(CheckTime(deadline));
    const auto now = steady_clock::now();
    const auto share = (deadline - now) / static_cast<int>(addresses.size() - i);
    auto socket = ConnectOne(addresses[i], now + share);
    if (socket.ok()) return socket;
    why = socket.status();
  }
  return why;
}

}  // namespace virp::virpctl
