// A child process of a test: its own process group, its output in a file, killed with the test.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/testutil/wait.h"

namespace virp::testutil {

struct ProcessOptions {
  std::vector<std::string> command;                  // program by path, and its arguments
  std::map<std::string, std::string> environment{};  // beside the test's own
  std::string log;                                   // standard output and error are appended to it
};

// Used by one thread at a time. It is killed (SIGKILL) by the destructor, and by the kernel when the thread that
// started it ends: start it from the test's main thread.
class Process {
 public:
  Process() = default;
  explicit Process(ProcessOptions options) : options_(std::move(options)) {}
  ~Process() { Kill(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  absl::Status Start();  // again after it ended; Unavailable when it cannot be forked
  // SIGKILL, and returns when it is gone. Nothing is flushed, as in a crash.
  void Kill();
  void Pause() const;   // SIGSTOP, and returns when it has stopped
  void Resume() const;  // SIGCONT
  // SIGTERM; its exit status, or DeadlineExceeded (it still runs then).
  absl::StatusOr<int> Terminate(std::chrono::milliseconds patience);
  // Its exit status once it has ended by itself; 128 + signal as a shell says it.
  absl::StatusOr<int> AwaitExit(std::chrono::milliseconds patience);

  bool running();                     // false too when it ended by itself
  pid_t pid() const { return pid_; }  // 0 when it does not run
  std::string log() const;            // all that it has written, over all its lives
  ProcessOptions& options() { return options_; }

 private:
  ProcessOptions options_;
  pid_t pid_ = 0;
  int status_ = 0;
};

}  // namespace virp::testutil
