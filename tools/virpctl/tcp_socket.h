// TCP connections of a tool: sockets that do not block, and waiting for them until a deadline. Thread-safe.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "lib/base/units.h"

namespace virp::virpctl {

using Deadline = std::chrono::steady_clock::time_point;

absl::Status CheckTime(Deadline deadline);  // DeadlineExceeded when it is over
// Until one of `events` of poll(2) has come; DeadlineExceeded otherwise. Signals do not end it. What is there already
// counts, also when the deadline is over.
absl::Status AwaitSocket(int socket, short events, Deadline deadline);

struct SocketAddress {
  sockaddr_storage address{};
  socklen_t size = 0;

  const sockaddr* generic() const { return reinterpret_cast<const sockaddr*>(&address); }
};
// All that a name has, at least one; Unavailable.
absl::StatusOr<std::vector<SocketAddress>> Resolve(const HostPort& where);
absl::StatusOr<FileDescriptor> TcpSocket(const SocketAddress& to, int flags = 0);

// To the first that answers, one after the other; each is given its share of the time that is left, so that one that is
// silent does not use up that of the others. The last one's error: DeadlineExceeded, Unavailable, or as ErrnoStatus.
absl::StatusOr<FileDescriptor> ConnectAny(std::span<const SocketAddress> addresses, Deadline deadline);

}  // namespace virp::virpctl
