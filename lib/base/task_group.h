// Background threads that end with their owner and do not fail unheard.
#pragma once

#include <pthread.h>

#include <exception>
#include <functional>
#include <list>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"

namespace virp {

// Thread-safe, except that Stop and the destructor are called once, by the owner.
class TaskGroup {
 public:
  using Task = std::function<absl::Status(const std::stop_token&)>;
  using OnEnd = std::function<void(const std::string& name, const absl::Status& status)>;

  // `on_end` hears, in the task's thread, of each task that ended without being asked to: with the error, or with OK.
  explicit TaskGroup(OnEnd on_end) : on_end_(std::move(on_end)) {}
  ~TaskGroup() { Stop(); }
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Runs `task` in a thread of its own, called `name` (15 characters are shown by tools). It returns when `stop` is
  // requested. After Stop nothing is started.
  void Start(std::string name, Task task) {
    const MutexLock lock(mutex_);
    if (stopping_) return;
    threads_.emplace_back([this, name = std::move(name), task = std::move(task)](const std::stop_token& stop) {
      pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
      absl::Status status;
      try {
        status = task(stop);
      } catch (const std::exception& error) {
        status = Internal("an exception left the task: {}", error.what());
      }
      if (!stop.stop_requested() && on_end_) on_end_(name, status);
    });
  }

  // Asks all tasks to stop, then waits for them.
  void Stop() {
    std::list<std::jthread> threads;
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
      threads.swap(threads_);
    }
    for (std::jthread& thread : threads) thread.request_stop();
    for (std::jthread& thread : threads) thread.join();
  }

 private:
  const OnEnd on_end_;
  Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::list<std::jthread> threads_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp
