// Waiting in tests: always for a condition, never for a time.
#pragma once

#include <chrono>
#include <thread>

namespace virp::testutil {

// Asks again every few milliseconds until it is true or time is up.
template <typename Condition>
bool WaitUntil(std::chrono::milliseconds patience, const Condition& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// As long as is long even on a busy machine.
template <typename Condition>
bool Eventually(const Condition& condition) {
  return WaitUntil(std::chrono::seconds(30), condition);
}

}  // namespace virp::testutil
