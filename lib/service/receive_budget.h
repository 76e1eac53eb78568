// How much the connections of a gRPC server have sent that no handler has got yet, and who has to go when it is too
// much. gRPC 1.51 has no bound of its own that holds: it looks at the length of a message when all of it is there,
// gives each call the window for a whole message, and its quota, once overdrawn, ends one call chosen by lot after all
// work that is queued, about three in a second. Streams cannot be seen from outside of gRPC, but what a connection
// received (TCP_INFO) and what its handlers got can, and gRPC holds no more than the difference.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/ip.h"
#include "lib/base/mutex.h"

namespace virp::service {

struct ReceiveLimits {
  // Of all connections together. The difference is never below what gRPC holds, and above it by what is no message:
  // TLS records, HTTP/2 frames, headers, calls that were given up; some 100 bytes a call until the connection ends.
  std::size_t bytes = std::size_t{128} << 20;
  // Therefore nobody is closed while the process holds less memory than this.
  std::size_t resident = std::size_t{384} << 20;
};

// The far end of a TCP connection.
struct PeerPort {
  IpAddress address;
  std::uint16_t port = 0;

  friend bool operator==(const PeerPort&, const PeerPort&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const PeerPort& peer) {
    return H::combine(std::move(state), peer.address, peer.port);
  }
};

// grpc::ServerContext::peer(): "ipv4:192.0.2.1:50000", "ipv6:%5B2001:db8::1%5D:50000". Nothing for other transports.
std::optional<PeerPort> ParsePeer(std::string_view text);

// Thread-safe. What is said of a connection that is not open is ignored.
class ReceiveBudget {
 public:
  // What everybody may hold whatever the others do: a message of the largest size and what came behind it.
  static constexpr std::uint64_t kMessage = std::uint64_t{5} << 20;

  explicit ReceiveBudget(const ReceiveLimits& limits) : limits_(limits) {}
  const ReceiveLimits& limits() const { return limits_; }

  void Opened(const PeerPort& peer);
  // What it held is left behind, and counts until Freed: gRPC frees it in its own time. Returns it.
  std::uint64_t Ended(const PeerPort& peer);
  void Freed(std::uint64_t bytes);
  void Arrived(const PeerPort& peer, std::uint64_t total);  // bytes since it opened
  // A handler got a message; `bytes` is what it was on the wire, or less.
  void Delivered(const PeerPort& peer, std::uint64_t bytes);

  // Sent and not delivered: by this connection, by all that are open.
  std::uint64_t held(const PeerPort& peer) const;
  std::uint64_t held() const;

  // While so much is left behind that new connections would only add to it.
  bool full() const;

  // Who has to go, the largest first. Nobody within the budget. Else as many as bring the others to half of it, and
  // when that which is left behind still fills it, all who hold more than kMessage. So nobody is closed for what others
  // hold as long as he holds less than they do.
  std::vector<PeerPort> Excess() const;

 private:
  struct Account {
    std::uint64_t arrived = 0;
    std::uint64_t delivered = 0;  // may run ahead: it is said at once, `arrived` now and then
    std::uint64_t held() const { return arrived > delivered ? arrived - delivered : 0; }
  };
  std::uint64_t Sum() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ReceiveLimits limits_;
  mutable Mutex mutex_;
  absl::flat_hash_map<PeerPort, Account> open_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t left_behind_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Bytes of payload that a TCP socket has received, those that nobody has read yet among them. 0 for other sockets.
std::uint64_t BytesReceived(int socket);

// Memory of this process that is its own: no files, nothing shared. 0 when /proc does not say.
std::size_t ResidentBytes();

}  // namespace virp::service
