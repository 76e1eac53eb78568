// Accepts TCP connections within caps and hands them on. gRPC 1.51 has no limit on connections: whoever reaches the
// port could hold as many as it likes for the time of a handshake each.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/service/receive_budget.h"

namespace virp::service {

struct GateLimits {
  int max_connections = 1000;
  int max_per_address = 256;  // of one peer address; several machines may stand behind one
  // Each is handed on, and the ends are seen that this caused, before the next is accepted: for who makes room for the
  // newest by ending another. Its handoff holds up the gate.
  bool one_by_one = false;
};

// Makes a real port of port 0, for who must say its address before it listens. Nobody else is given the port while this
// lives, nobody can connect to it, and ConnectionGate::Listen takes it. Other ports are left alone.
class PortHold {
 public:
  // As ConnectionGate::Listen, with its errors.
  static absl::StatusOr<PortHold> Take(const std::string& listen);
  const std::string& address() const { return address_; }  // `listen` with the port

 private:
  std::string address_;
  std::vector<FileDescriptor>
      sockets_;  // bound with SO_REUSEADDR and not listening: that shares the port with a listener
};

// Listens on every address of a name and accepts in a thread of its own. Connections beyond a cap are closed at once,
// which costs their peers a round trip and us nothing. Thread-safe.
class ConnectionGate {
 public:
  // Takes over a connected, non-blocking socket with TCP_NODELAY. `listener` is the socket it came from. Called from
  // one thread of the gate only; it may take its time, unless the limits say `one_by_one`.
  using Handoff = std::function<void(int listener, FileDescriptor connection)>;
  // A connection was closed: at once, TOO_MANY_CONNECTIONS or TOO_MANY_FROM_ADDRESS, or later, UNREAD_MESSAGES (see
  // ReceiveBudget). From the gate's thread.
  using RefusalHook = std::function<void(const IpAddress& peer, std::string_view reason)>;

  // `listen` is "host:port" or "[v6]:port"; port 0 takes a free one, the same for every address. InvalidArgument for a
  // malformed address, FailedPrecondition when the name is unknown or an address cannot be bound. Peers can connect
  // from now on, and wait until Start.
  static absl::StatusOr<std::unique_ptr<ConnectionGate>> Listen(const std::string& listen, GateLimits limits);

  ~ConnectionGate();  // Stop

  // With a budget the gate says to it what arrives, closes who has to go, and lets others wait in the listening socket
  // while the budget is full; it looks this often. `handoff` must keep the descriptor it gets, and close it when all is
  // freed that the connection held.
  static constexpr std::chrono::milliseconds kLook{20};
  void Start(Handoff handoff, RefusalHook on_refused, std::shared_ptr<ReceiveBudget> budget = nullptr);

  // Closes the listening sockets and ends the thread; connections handed on live on.
  void Stop();

  int port() const;
  int open() const;  // connections handed on that have not ended

 private:
  struct Impl;
  explicit ConnectionGate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::service
