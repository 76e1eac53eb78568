#include "tools/virpctl/watch.h"

#include <chrono>

#include "lib/base/status.h"

namespace virp::virpctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr BackoffOptions kPauses{.initial = milliseconds(100), .max = seconds(5)};
constexpr seconds kGoodStream{10};  // one that lasted so long was no failed attempt

bool MayPass(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::Status KeepWatching(const WatchHooks& hooks, const WatchPosition& position, const std::stop_token& stop) {
  Backoff backoff(kPauses, hooks.random);
  bool told = false;
  for (bool again = false;; again = true) {
    const std::uint64_t before = position.next();
    const auto started = hooks.clock.Steady();
    const absl::StatusOr<bool> enough = hooks.follow(again);
    if (stop.stop_requested() || (enough.ok() && *enough)) return absl::OkStatus();
    if (!MayPass(enough.status())) return enough.status();
    if (position.next() != before || hooks.clock.Steady() - started >= kGoodStream) {
      backoff.Reset();
      told = false;
    }
    if (!told) {
      hooks.say(fmt::format("the stream ended{}{}; going on at entry {} when there is one again",
                            enough.ok() ? "" : ": ", Message(enough.status()), position.next()));
    }
    told = true;
    if (!hooks.sleeper.SleepFor(backoff.Next(), stop)) return absl::OkStatus();
  }
}

}  // namespace virp::virpctl
