// Who may be inside, and how many: a seat for each connection, from accept to its very end.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "lib/base/ip.h"
#include "lib/base/mutex.h"

namespace virp::rtr_bridge {

struct DoorLimits {
  std::size_t connections = 4'096;
  std::size_t per_address = 64;            // of them; 0: as many as there are. Not of 127.0.0.1 and ::1
  std::size_t strangers_per_address = 16;  // of them, before they have logged in over SSH; 0: as many as there are
};

struct DoorCounters {
  std::atomic<std::uint64_t> accepted{0};  // let in; over SSH they still have to log in
  std::atomic<std::uint64_t> not_allowed{0};
  std::atomic<std::uint64_t> too_many{0};
};

// Thread-safe. Outlives its seats.
class Door {
 public:
  using Count = std::shared_ptr<std::atomic<std::size_t>>;

  // Given back when it goes. Thread-safe.
  class Seat {
   public:
    Seat(Door& door, const IpAddress& peer, Count listener, bool stranger)
        : door_(door), peer_(peer), listener_(std::move(listener)), stranger_(stranger) {}
    ~Seat() { door_.Leave(*this); }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    // It has shown who it is.
    void LogIn() { door_.LogIn(*this); }

   private:
    friend class Door;
    Door& door_;
    const IpAddress peer_;
    const Count listener_;
    bool stranger_;  // under the door's lock
  };

  explicit Door(const DoorLimits& limits) : limits_(limits) {}

  // Null when there is no room, which is counted. `listener` counts those of one listener.
  std::shared_ptr<Seat> Admit(const IpAddress& peer, const Count& listener, bool stranger);
  void CountNotAllowed() { ++counters_.not_allowed; }
  const DoorCounters& counters() const { return counters_; }

 private:
  struct Same {  // of one address
    std::size_t all = 0, strangers = 0;
  };
  void LogIn(Seat& seat);
  void Leave(Seat& seat);

  const DoorLimits limits_;
  DoorCounters counters_;
  Mutex mutex_;
  std::map<IpAddress, Same> by_address_ ABSL_GUARDED_BY(mutex_);
  std::size_t inside_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace virp::rtr_bridge
