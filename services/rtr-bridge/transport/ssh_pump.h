// One SSH connection, server's side: logs in, then carries bytes between its channel and a socket pair. Belongs to one
// thread.
#pragma once

#include <libssh/libssh.h>
#include <libssh/server.h>

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "services/rtr-bridge/transport/ssh_users.h"

namespace virp::rtr_bridge {

struct SshBindFree {
  void operator()(ssh_bind bind) const { ::ssh_bind_free(bind); }
};
using SshBindPtr = std::unique_ptr<ssh_bind_struct, SshBindFree>;

// Host keys and algorithms. InvalidArgument names the key file that does not do.
absl::StatusOr<SshBindPtr> OpenSshBind(const std::vector<std::string>& host_keys);

struct SshPumpOptions {
  std::chrono::steady_clock::time_point deadline;  // of LogIn
  int max_attempts = 6;
  std::chrono::milliseconds flush_timeout{30'000};     // for what is left once the bridge has closed its end
  std::chrono::milliseconds stall_timeout{1'830'000};  // for a router that takes nothing of what is for it
  std::shared_ptr<const SshUsers> users;
  std::stop_token stop;
};

class SshPump {
 public:
  static absl::StatusOr<std::unique_ptr<SshPump>> Make(ssh_bind bind, FileDescriptor socket, SshPumpOptions options);
  ~SshPump();

  // Key exchange, authentication, and the subsystem rpki-rtr asked for. DeadlineExceeded, Unauthenticated, or
  // Unavailable when the peer is gone.
  absl::Status LogIn();
  // Until one side has closed, or the stop token says so. DeadlineExceeded when the router did not take the last words,
  // or nothing for the stall timeout.
  absl::Status Run();

  FileDescriptor TakeSocket();          // the router's end; once, after LogIn
  const std::string& identity() const;  // after LogIn
  int refused() const;                  // keys and passwords that did not fit

 private:
  struct Impl;
  explicit SshPump(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::rtr_bridge
