// The life of a service's process: signals, reload, drain, what systemd wants to hear.
//
//   int main(int argc, char** argv) {
//     BlockSignals();                    // before anything makes a thread
//     ... options, log, objects on the stack ...
//     Runner runner;
//     runner.OnReload("deny list", [&] { ... });
//     runner.OnDrain("server", [&] { server->Drain(delay, grace); });
//     runner.OnDrain("batches", [&] { batches.Flush(); });
//     runner.tasks().Start("checkpoints", [&](const std::stop_token& stop) { ... });
//     return runner.Run();               // READY=1 now; returns after the drain
//   }
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/base/task_group.h"

namespace virp::service {

// Blocks SIGTERM, SIGINT and SIGHUP in this thread and those it makes, so that Runner gets them; ignores SIGPIPE.
void BlockSignals();

// To the hard limit: the caps on connections are for more descriptors than the soft limit of most systems, and whoever
// uses those up keeps the store from opening its files. Nothing of ours uses select().
void RaiseDescriptorLimit();

// Made and run by the main thread. RequestStop and tasks() may be used from any thread.
class Runner {
 public:
  Runner();
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // On SIGHUP each is called in order; one that fails is logged and keeps what it had, the others go on.
  void OnReload(std::string name, std::function<absl::Status()> reload);

  // On SIGTERM or SIGINT each is called once, in the order of registration, so that the first closes the door and the
  // last flushes. Tasks are stopped after them. A second signal during the drain ends the process at once.
  void OnDrain(std::string name, std::function<void()> drain);

  // Called with each watchdog tick (only when systemd asks for them, WatchdogSec=): while it is not OK, systemd is not
  // told that we live, and restarts us. Without one the main thread's own life counts.
  void OnWatchdog(std::function<absl::Status()> alive);

  // A task that ends without being asked to stops the service: with exit status 1 when it failed.
  TaskGroup& tasks() { return tasks_; }

  // As SIGTERM does; the exit status is the first one that was asked for.
  void RequestStop(const std::string& why, int exit_status = 0);

  // Tells systemd that the service is ready, waits until it is to stop, drains. Returns the exit status.
  int Run();

 private:
  void Reload();
  void Drain();
  void Beat();
  void Notify(const std::string& state);

  int signals_ = -1;  // signalfd
  int wake_ = -1;     // eventfd, written by RequestStop
  std::chrono::microseconds watchdog_{0};
  std::vector<std::pair<std::string, std::function<absl::Status()>>> reloads_;
  std::vector<std::pair<std::string, std::function<void()>>> drains_;
  std::function<absl::Status()> alive_;
  Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::string why_ ABSL_GUARDED_BY(mutex_);
  int exit_status_ ABSL_GUARDED_BY(mutex_) = 0;
  TaskGroup tasks_;  // last: its threads may call RequestStop until they are joined
};

}  // namespace virp::service
