// A connection to an RTR cache, over TCP, TLS or SSH, for a tool that follows it from one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "tools/virpctl/rtr_place.h"
#include "tools/virpctl/tcp_socket.h"

namespace virp::virpctl {

// Not thread-safe.
class RtrLink {
 public:
  virtual ~RtrLink() = default;
  // What there is, without waiting: 1 byte and more; 0 when the cache closed; nothing when events() should be waited
  // for. Errors of the connection.
  virtual absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) = 0;
  // How many of the bytes were sent, without waiting; nothing when events() should be waited for.
  virtual absl::StatusOr<std::optional<std::size_t>> Write(std::string_view bytes) = 0;
  virtual int socket() const = 0;
  virtual short events() const = 0;  // of poll(2)
};

// To a cache; `place.is_cache()`. Unauthenticated when it is not who it should be, or does not take us for who we say;
// InvalidArgument for files; DeadlineExceeded; errors of ConnectAny.
absl::StatusOr<std::unique_ptr<RtrLink>> OpenRtrLink(const RtrPlace& place, const RtrAccess& access, Deadline deadline);

// Over a socket that is connected: OpenRtrLink's part for SSH.
absl::StatusOr<std::unique_ptr<RtrLink>> OpenSshLink(FileDescriptor socket, const RtrPlace& place,
                                                     const RtrAccess& access, Deadline deadline);

}  // namespace virp::virpctl
