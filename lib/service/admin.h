// The admin port: /metrics, /livez and /readyz over plain HTTP, on loopback unless told otherwise. Nothing can be
// changed through it, and nothing secret read.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/service/metrics.h"
#include "lib/service/page_server.h"

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

// /livez is 200 as long as the process answers at all; /readyz is 200 or 503, with one line per failing check; /metrics
// is Prometheus' text format; all else is 404. Both references outlive the server. Errors as PageServer::Start.
absl::StatusOr<std::unique_ptr<PageServer>> StartAdminServer(const PageServerOptions& options, const Metrics& metrics,
                                                             const Readiness& readiness);

}  // namespace virp::service
