// What the routers' connections tell: views of them for the API, records of them for the chain.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
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
  // Serials between what is served and what was sent; nothing when nothing was, or it was of another session.
  std::optional<std::uint32_t> lag;

  bool current() const { return lag == 0; }
  bool confirmed() const {
    const auto &sent = state.sent, &named = state.confirmed;
    return current() && sent && named && named->session == sent->session && named->serial == sent->serial;
  }
};

// A router that flaps, or many that do, must not fill the chain.
struct SessionLogOptions {
  std::size_t most_waiting = 100'000;  // records; what comes beyond is lost
  // Records in a minute. Beyond the first limit those of a router (an address, and who it proved to be) are
  // summarised in one, behind which come the newest set that it was sent and the newest serial that it confirmed;
  // beyond the second limit those of routers that said nothing in this minute yet are only counted.
  std::size_t per_router = 60;
  std::size_t all_routers = 50'000;
};

// Takes what connections tell, on their threads, and turns it into records on another, so that nobody who serves waits
// for a disk. Only what changes becomes a record: an End of Data of a set that this connection had last, or a
// confirmation of the same serial, is none. Thread-safe.
class SessionLog {
 public:
  // `witness` and `clock` outlive it.
  SessionLog(const Witness& witness, const Clock& clock, const SessionLogOptions& options = {})
      : witness_(witness), clock_(clock), options_(options) {}

  struct Told {  // by one connection so far; kept with the connection
    bool opened = false;
    std::optional<rtr::ServedData> sent, confirmed;
  };
  void Take(const SessionName& name, const rtr::ServerSessionState& state, const std::vector<rtr::SessionEvent>& events,
            Told& told);
  void TakeClosed(const RouterView& view, const Told& told);

  struct Batch {
    std::vector<deliver::Observation> observations;  // that waited, in order
    std::uint64_t lost = 0;                          // since the last call, because too many waited
    std::uint64_t over_limit = 0;                    // since the last call, because all routers together said too much
    UnixNanos complete_until = 0;                    // what was told before is in this batch or an earlier one
  };
  // `last`: nothing more is told; summaries do not wait for the end of their minute.
  Batch Drain(bool last = false);

  // Connections that ended within the last hour, the newest last: at most 10,000 of routers, and at most 1,000 of
  // strangers that never spoke a version, so that these push no router out.
  std::vector<RouterView> Closed(UnixNanos now) const;

 private:
  using Time = std::chrono::steady_clock::time_point;
  enum class Kind : std::uint8_t { kOpened, kSent, kConfirmed, kClosed };
  struct Said {
    Kind kind{};
    std::uint8_t version = 0;
    Serial serial;
    Hash sha256{};
    std::string_view why;
  };
  struct Kept {
    SessionName name;
    Said said;
    UnixNanos told = 0;
  };
  // What one router said in the minute that began with `since`.
  struct Minute {
    Time since;
    std::size_t records = 0;
    SessionName name;
    std::optional<SessionSummary> summary;  // of what came behind the limit
    std::optional<Kept> sent, confirmed;    // the newest in it
  };
  using Minutes = std::map<std::pair<std::string, std::string>, Minute>;

  void Tell(const SessionName& name, const Said& said) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Summarise(Minute& minute, const SessionName& name, const Said& said) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Minutes::iterator EndMinute(Minutes::iterator minute) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndMinutes(Time now, bool all) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  deliver::Observation Made(const SessionName& name, const Said& said) const;
  void Add(deliver::Observation observation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Witness& witness_;
  const Clock& clock_;
  const SessionLogOptions options_;
  mutable Mutex mutex_;
  std::vector<deliver::Observation> waiting_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t lost_ ABSL_GUARDED_BY(mutex_) = 0, over_limit_ ABSL_GUARDED_BY(mutex_) = 0;
  Minutes minutes_ ABSL_GUARDED_BY(mutex_);
  Time next_look_ ABSL_GUARDED_BY(mutex_){};                           // for minutes that are over
  std::optional<UnixNanos> first_summarised_ ABSL_GUARDED_BY(mutex_);  // of what is in no batch yet
  Time all_since_ ABSL_GUARDED_BY(mutex_){};                           // the minute of all routers together
  std::size_t all_records_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<RouterView> closed_ ABSL_GUARDED_BY(mutex_), strangers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::rtr_bridge
