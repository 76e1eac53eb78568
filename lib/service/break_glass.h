// The way in when the PKI has lapsed: a Unix socket for root and the service's own user, serving a few methods without
// certificates. What protects it, each by itself:
//   1. the directory (0700) and the socket (0600) belong to the service's user: the kernel lets nobody else connect;
//   2. the kernel's word on the peer (SO_PEERCRED) at accept: uid 0 or our own, else closed and reported, so that a
//      mode that somebody changed does not open it;
//   3. a list of methods; all others are denied before their handlers;
//   4. every call is reported, with method, uid and pid, before its handler runs, and does not run when that fails.
// It does not protect from root or from code that runs as the service: those have the service's keys anyway.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/service/server.h"

namespace virp::service {

struct PeerCredentials {
  pid_t pid = 0;  // at the time of the connect, in our PID namespace; 0 when it is of another
  uid_t uid = 0;
  gid_t gid = 0;
};

struct BreakGlassUse {
  std::string method;  // empty for a connection that was refused
  PeerCredentials peer;
  absl::Status refused;  // OK when the call is about to run
};

// Called from gRPC's threads, several at a time; may block. For a call about to run, an error keeps it from running.
// What it returns for a refused one is ignored.
using BreakGlassHook = std::function<absl::Status(const BreakGlassUse&)>;

struct BreakGlassOptions {
  std::string socket;                // absolute path; its directory is made (0700) when it is not there
  std::vector<std::string> methods;  // "/package.Service/Method"; gRPC health is always allowed
  int max_connections = 8;           // more are closed at once
};

class BreakGlassServer {
 public:
  // InvalidArgument for a path that is not absolute or too long (107 bytes), or a method that none of `services` has.
  // FailedPrecondition when the directory is not ours or open to others, or another process serves the socket. The
  // services may be those of the main server. Calls reach the handlers with Identity::break_glass set.
  static absl::StatusOr<std::unique_ptr<BreakGlassServer>> Start(BreakGlassOptions options, BreakGlassHook hook,
                                                                 const std::vector<ServedService>& services);
  ~BreakGlassServer();  // ends open calls and removes the socket

 private:
  struct Impl;
  explicit BreakGlassServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// As the programs have it: null when `socket` is empty; every use, a refused one too, is a warning in the log; `record`
// leaves what the service leaves of a call that is about to run, which does not run when that fails.
absl::StatusOr<std::unique_ptr<BreakGlassServer>> StartBreakGlass(const std::string& socket,
                                                                  std::vector<std::string> methods,
                                                                  const std::vector<ServedService>& services,
                                                                  BreakGlassHook record);

}  // namespace virp::service
