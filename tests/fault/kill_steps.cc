#include "tests/fault/kill_steps.h"

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

namespace virp::testutil {
namespace {

std::atomic<int> steps_left{-1};

}  // namespace

void KillAfter(int steps) {
  steps_left = steps;
}

void Step() {
  if (steps_left.load() > 0 && steps_left.fetch_sub(1) == 1) ::kill(::getpid(), SIGKILL);
}

}  // namespace virp::testutil

// In place of the C library's, for this program.
extern "C" {
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  virp::testutil::Step();
  return syscall(SYS_pwrite64, fd, bytes, size, at);
}
int fdatasync(int fd) {
  virp::testutil::Step();
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}
int fsync(int fd) {
  virp::testutil::Step();
  return static_cast<int>(syscall(SYS_fsync, fd));
}
}
