// Ctrl-C as a request that the running command ends in order: it prints what it has and exits as it should.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <stop_token>
#include <thread>

namespace virp::virpctl {

// Takes SIGINT and SIGTERM while it lives. To be made before anything starts threads: they inherit that the signals are
// not theirs. A second signal ends the program as usual.
class Interrupt {
 public:
  Interrupt() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
    waiter_ = std::thread([this] { Wait(); });
  }
  ~Interrupt() {
    done_ = true;
    // NOLINTNEXTLINE(bugprone-bad-signal-to-kill-thread): blocked, it only wakes the waiter
    pthread_kill(waiter_.native_handle(), SIGTERM);
    waiter_.join();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token token() const { return source_.get_token(); }

 private:
  void Wait() {
    for (int signal = 0;;) {
      sigwait(&signals_, &signal);
      if (done_) return;
      if (source_.stop_requested()) _exit(128 + signal);
      source_.request_stop();
    }
  }

  sigset_t signals_{}, before_{};
  std::stop_source source_;
  std::atomic<bool> done_ = false;
  std::thread waiter_;
};

}  // namespace virp::virpctl
