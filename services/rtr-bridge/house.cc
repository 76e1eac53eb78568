#include "services/rtr-bridge/house.h"

#include <string_view>
#include <thread>
#include <utility>

#include "lib/service/logging.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::chrono::milliseconds kTick{100};

// Says what is wrong when it begins, and when it becomes something else.
class Trouble {
 public:
  explicit Trouble(std::string_view what) : what_(what) {}
  void Note(absl::Status now) {
    if (!now.ok() && now != told_) service::LogStatus(service::LogLevel::kError, what_, now);
    told_ = std::move(now);
  }

 private:
  const std::string_view what_;
  absl::Status told_;
};

}  // namespace

absl::Status KeepHouse(const std::stop_token& stop, Cache& cache, SessionLog& log, EvidencePart* evidence,
                       HttpPart& http, Pulse& pulse) {
  const AtWork work(pulse);
  Trouble records("evidence cannot be kept");
  Trouble state("sessions and serials cannot be written down: after a restart routers reload");
  Trouble sources("too few sources have data that still count");
  while (!stop.stop_requested()) {
    pulse.Beat();
    cache.Tick();
    http.Tick();
    const CacheStatus status = cache.status();
    state.Note(status.state_problem);
    sources.Note(status.stale_since ? status.merge_problem : absl::OkStatus());
    if (evidence != nullptr) {
      records.Note(evidence->Tick(log));
    } else {
      static_cast<void>(log.Drain());
    }
    std::this_thread::sleep_for(kTick);
  }
  return absl::OkStatus();
}

}  // namespace virp::rtr_bridge
