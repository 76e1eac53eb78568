// Whether threads of this process rest. What is measured is processor time, so a busy machine cannot fail it falsely.
#pragma once

#include <time.h>

#include <chrono>
#include <thread>

namespace virp::testutil {

// Processor time of this process over the time that passes: one thread that spins makes it 1 where there is a core for
// it.
inline double BusyShare() {
  const auto cpu = [] {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  const auto cpu_before = cpu();
  const auto before = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(
      std::chrono::milliseconds(500));  // nothing to wait for: that nothing happens is the point
  const std::chrono::duration<double> busy = cpu() - cpu_before, all = std::chrono::steady_clock::now() - before;
  return busy / all;
}

}  // namespace virp::testutil
