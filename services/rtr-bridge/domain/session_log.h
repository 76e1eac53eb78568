// What the routers' connections tell: views of them for the API, records of them for the chain.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/rtr/server_session.h"
#include "services/rtr-bridge/domain/evidence.h"

namespace virp::rtr_bridge {

// One connection as it is now.
struct RouterView {
  SessionName name;
  std::string listener;
  UnixNanos connected = 0;
  UnixNanos last_heard = 0;
  std::optional<UnixNanos> closed;
  std::string close_reason;  // empty while it is open
  rtr::ServerSessionState state;
  std::size_t queued = 0;
  std::uint32_t lag = 0;  // serials between what is served and what was sent
};

// Takes what connections tell, on their threads, and turns it into records on another, so that nobody who serves waits
// for a disk. Only what changes becomes a record: an End of Data of a set that this connection had last, or a
// confirmation of the same serial, is none. Thread-safe.
class SessionLog {
 public:
  // `witness` outlives it. At most `limit` records wait; what comes beyond is counted as lost.
  explicit SessionLog(const Witness& witness, std::size_t limit = 100'000) : witness_(witness), limit_(limit) {}

  struct Told {  // by one connection so far; kept with the connection
    bool opened = false;
    std::optional<rtr::ServedData> sent, confirmed;
  };
  void Take(const SessionName& name, const rtr::ServerSessionState& state, const std::vector<rtr::SessionEvent>& events,
            Told& told);
  void TakeClosed(const RouterView& view, const Told& told);

  // Records that wait, in order, and how many were lost since the last call.
  struct Batch {
    std::vector<deliver::Observation> observations;
    std::uint64_t lost = 0;
  };
  Batch Drain();

  // Connections that ended within the last hour, at most 10,000, the newest last.
  std::vector<RouterView> Closed(UnixNanos now) const;

 private:
  void Add(deliver::Observation observation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Witness& witness_;
  const std::size_t limit_;
  mutable Mutex mutex_;
  std::vector<deliver::Observation> waiting_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<RouterView> closed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::rtr_bridge
