// The admin port: /metrics, /livez and /readyz over plain HTTP, on loopback unless told otherwise. Nothing can be
// changed through it, and nothing secret read.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/base/units.h"
#include "lib/service/metrics.h"

namespace virp::service {

// Whether the service should get work: all of its named checks pass and it is not draining. Thread-safe.
class Readiness {
 public:
  // `check` must be quick (a variable, not a round trip): it runs for every probe, in the admin server's thread.
  void Add(std::string name, std::function<absl::Status()> check);

  // From now on not ready: the first step of a drain, so that load balancers turn away before the door closes.
  void SetDraining();

  // Each check that fails, in the order of Add; empty when ready.
  std::vector<std::pair<std::string, absl::Status>> Failing() const;
  bool ready() const { return Failing().empty(); }

 private:
  mutable Mutex mutex_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::pair<std::string, std::function<absl::Status()>>> checks_ ABSL_GUARDED_BY(mutex_);
};

struct AdminOptions {
  HostPort listen{"127.0.0.1", 0};                   // port 0 takes a free one; the host must be an address
  int threads = 4;                                   // requests at once
  std::chrono::milliseconds request_timeout{2'000};  // a client that is slower is cut off
};

// Answers GET and HEAD; 404 for other paths, 405 for other methods. /livez is 200 as long as the process answers at
// all; /readyz is 200 or 503, with one line per failing check; /metrics is Prometheus' text format.
class AdminServer {
 public:
  // Unavailable when the address cannot be listened on (taken, not ours, not an address). Both references outlive it.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const AdminOptions& options, const Metrics& metrics,
                                                            const Readiness& readiness);
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  struct Impl;
  explicit AdminServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
  std::uint16_t port_ = 0;
};

}  // namespace virp::service
