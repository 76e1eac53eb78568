// Whether a thread gets on. It beats as it goes round, and rests where it may rightly wait for ever: for work, for a
// peer. Whoever feeds a watchdog looks at how long it has done neither. Looking takes no lock and does no I/O, so it
// never waits for a thread that is stuck.
#pragma once

#include <atomic>
#include <chrono>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/clock.h"
#include "lib/base/status.h"

namespace virp {

// No bounded wait of ours is longer: statements of PostgreSQL end after 30 s, connects and handshakes before that. A
// thread that is silent for this long will not come back.
inline constexpr std::chrono::seconds kStandstill{90};

// Beat and Rest by one thread at a time, Silence by any.
class Pulse {
 public:
  // `name` is what errors call the thread. It begins at rest.
  Pulse(std::string name, const Clock& clock) : name_(std::move(name)), clock_(clock) {}
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

  void Beat() { last_ = clock_.Steady().time_since_epoch().count(); }
  void Rest() { last_ = kAtRest; }

  const std::string& name() const { return name_; }
  // Since the last beat; zero at rest.
  std::chrono::nanoseconds Silence() const {
    const std::int64_t last = last_;
    return std::chrono::nanoseconds(last == kAtRest ? 0 : clock_.Steady().time_since_epoch().count() - last);
  }

 private:
  static constexpr std::int64_t kAtRest = -1;
  const std::string name_;
  const Clock& clock_;
  std::atomic<std::int64_t> last_{kAtRest};
};

// At work as long as it lives, at rest before and after.
class AtWork {
 public:
  explicit AtWork(Pulse& pulse) : pulse_(pulse) { pulse_.Beat(); }
  ~AtWork() { pulse_.Rest(); }
  AtWork(const AtWork&) = delete;
  AtWork& operator=(const AtWork&) = delete;

 private:
  Pulse& pulse_;
};

// At rest as long as it lives: around a wait for somebody else, of a thread that is at work.
class AtRest {
 public:
  explicit AtRest(Pulse& pulse) : pulse_(pulse) { pulse_.Rest(); }
  ~AtRest() { pulse_.Beat(); }
  AtRest(const AtRest&) = delete;
  AtRest& operator=(const AtRest&) = delete;

 private:
  Pulse& pulse_;
};

// Unavailable names the first that has stood still.
inline absl::Status CheckPulses(std::initializer_list<const Pulse*> pulses) {
  for (const Pulse* const pulse : pulses) {
    if (const auto silence = pulse->Silence(); silence >= kStandstill) {
      return Unavailable("{} has stood still for {} s", pulse->name(),
                         std::chrono::duration_cast<std::chrono::seconds>(silence).count());
    }
  }
  return absl::OkStatus();
}

}  // namespace virp
