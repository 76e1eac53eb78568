#include "lib/service/run.h"

#include <fmt/ranges.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "lib/service/logging.h"

namespace virp::service {
namespace {

sigset_t OurSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

std::string_view SignalName(std::uint32_t signal) {
  switch (signal) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    default:
      return "SIGHUP";
  }
}

std::int64_t MonotonicMicros() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1'000;
}

}  // namespace

void BlockSignals() {
  const sigset_t set = OurSignals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Runner::Runner()
    : tasks_([this](const std::string& name, const absl::Status& status) {
        if (status.ok()) {
          RequestStop("task " + name + " ended");
          return;
        }
        LogStatus(LogLevel::kError, "a background task failed", status, {{"task", name}});
        RequestStop("task " + name + " failed", 1);
      }) {
  const sigset_t set = OurSignals();
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signals_ < 0 || wake_ < 0) std::abort();  // out of descriptors before anything has begun
  std::uint64_t watchdog = 0;
  if (::sd_watchdog_enabled(0, &watchdog) > 0) watchdog_ = std::chrono::microseconds(watchdog / 2);
}

Runner::~Runner() {
  tasks_.Stop();
  ::close(signals_);
  ::close(wake_);
}

void Runner::OnReload(std::string name, std::function<absl::Status()> reload) {
  reloads_.emplace_back(std::move(name), std::move(reload));
}
void Runner::OnDrain(std::string name, std::function<void()> drain) {
  drains_.emplace_back(std::move(name), std::move(drain));
}
void Runner::OnWatchdog(std::function<absl::Status()> alive) {
  alive_ = std::move(alive);
}

void Runner::RequestStop(const std::string& why, int exit_status) {
  {
    const MutexLock lock(mutex_);
    if (stop_) return;
    stop_ = true;
    why_ = why;
    exit_status_ = exit_status;
  }
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the reader is awake already.
  [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof(one));
}

void Runner::Notify(const std::string& state) {
  ::sd_notify(0, state.c_str());
}

void Runner::Beat() {
  const absl::Status status = alive_ ? alive_() : absl::OkStatus();
  if (status.ok()) {
    Notify("WATCHDOG=1");
  } else {
    LogStatus(LogLevel::kError, "not alive, so the watchdog is not fed", status);
  }
}

void Runner::Reload() {
  Notify("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(MonotonicMicros()));
  LogInfo("reloading");
  std::vector<std::string_view> done;
  for (const auto& [name, reload] : reloads_) {
    if (const absl::Status status = reload(); !status.ok()) {
      LogStatus(LogLevel::kError, "reload failed; what was there before stays in force", status, {{"part", name}});
    } else {
      done.push_back(name);
    }
  }
  LogInfo("reloaded", {{"parts", fmt::format("{}", fmt::join(done, " "))}});
  Notify("READY=1");
}

void Runner::Drain() {
  std::string why;
  {
    const MutexLock lock(mutex_);
    why = why_;
  }
  LogInfo("stopping", {{"why", why}});
  Notify("STOPPING=1");
  // From here on a signal does what it does by default: whoever sends a second one does not want to wait.
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&set, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  for (const auto& [name, drain] : drains_) {
    LogDebug("draining", {{"part", name}});
    drain();
  }
  tasks_.Stop();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

int Runner::Run() {
  Notify("READY=1");
  LogInfo("ready");
  auto next_beat = std::chrono::steady_clock::now();
  bool stop = false;
  while (!stop) {
    int timeout_ms = -1;
    if (watchdog_.count() > 0) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= next_beat) {
        Beat();
        next_beat = now + watchdog_;
      }
      timeout_ms = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(next_beat - now).count());
    }
    pollfd ready[2] = {{signals_, POLLIN, 0}, {wake_, POLLIN, 0}};
    ::poll(ready, 2, timeout_ms);
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo == SIGHUP) {
        Reload();
      } else {
        RequestStop(std::string(SignalName(info.ssi_signo)));
        break;  // a second one is for Drain
      }
    }
    const MutexLock lock(mutex_);
    stop = stop_;
  }
  Drain();
  const MutexLock lock(mutex_);
  LogInfo("stopped", {{"exit_status", exit_status_}});
  return exit_status_;
}

}  // namespace virp::service
