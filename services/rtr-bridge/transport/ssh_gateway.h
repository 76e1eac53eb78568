// SSH in front of the routers' side: accepts connections, checks who they are, and hands each channel of the subsystem
// rpki-rtr on as a local socket pair, so that what speaks RTR sees sockets only. libssh stays behind this header. Each
// connection has a thread; who is not authenticated is few and on a short clock, so silent ones block nobody.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/base/mutex.h"
#include "lib/service/logging.h"
#include "services/rtr-bridge/transport/ssh_users.h"

namespace virp::rtr_bridge {

struct SshOptions {
  std::vector<std::string> host_keys;  // private key files, OpenSSH or PEM; one a type
  SshUserFiles users;
  std::size_t max_connections = 512;
  std::size_t max_unauthenticated = 64;
  std::chrono::milliseconds login_timeout{30'000};  // key exchange, authentication and subsystem together
  int max_attempts = 6;                             // keys and passwords tried on one connection
  std::chrono::milliseconds flush_timeout{30'000};  // for what is left once the bridge has closed its end
  // For a router that takes nothing of what is for it: a little more than the bridge itself gives (3 times `retry`), so
  // that the session says why it ends.
  std::chrono::milliseconds stall_timeout{1'830'000};
};

// A router that came in over SSH. `socket` is one end of a stream pair: what is written to it the router reads.
struct SshRouter {
  FileDescriptor socket;
  std::shared_ptr<void> seat;  // as Take was given it
  IpAddress address;
  std::uint16_t port = 0;
  std::string identity;  // "ssh:USER/SHA256:..." by key, "ssh:USER/password"
};

struct SshCounters {
  std::atomic<std::uint64_t> accepted{0};     // routers handed on
  std::atomic<std::uint64_t> refused{0};      // wrong keys and passwords
  std::atomic<std::uint64_t> failed{0};       // no SSH, no common algorithm, too slow, no subsystem
  std::atomic<std::uint64_t> turned_away{0};  // too many
};

// Thread-safe.
class SshGateway {
 public:
  using OnRouter = std::function<void(SshRouter)>;  // on the connection's thread

  // Reads host keys and users. InvalidArgument names the file that does not do, or says that there is neither a key nor
  // a password that could let anyone in.
  static absl::StatusOr<std::unique_ptr<SshGateway>> Make(SshOptions options, OnRouter on_router);
  ~SshGateway();  // Stop

  // Takes a connected socket over; closes it at once when there are too many. `seat` is let go when the connection has
  // ended.
  void Take(FileDescriptor socket, const IpAddress& address, std::uint16_t port, std::shared_ptr<void> seat = nullptr);
  // Users are read again for connections that come; those that do not read leave the last good ones.
  absl::Status ReloadUsers();
  // Ends all connections and waits for their threads.
  void Stop();

  std::size_t connections() const;
  const SshCounters& counters() const { return counters_; }

 private:
  struct Bind;
  struct Connection;
  SshGateway(SshOptions options, OnRouter on_router);
  void Serve(const std::stop_token& stop, Connection& connection);
  void Reap();
  std::shared_ptr<const SshUsers> users() const;

  const SshOptions options_;
  const OnRouter on_router_;
  const SystemClock clock_;
  service::LogLimiter failures_;
  SshCounters counters_;
  std::unique_ptr<Bind> bind_;
  mutable Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const SshUsers> users_ ABSL_GUARDED_BY(mutex_);
  std::list<std::unique_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::rtr_bridge
