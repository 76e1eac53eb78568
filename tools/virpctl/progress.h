// How far something long is: one line on standard error, drawn again and again, and only when that is a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace virp::virpctl {

// "verifying [=====>    ] 52 %  1,234,567 of 2,400,000  612,000/s  2 s left", at most `columns` wide.
std::string ProgressLine(std::string_view what, std::uint64_t done, std::uint64_t total,
                         std::chrono::nanoseconds elapsed, unsigned columns);

// For one thread. The line is gone when the object is.
class Progress {
 public:
  Progress(std::string what, std::uint64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Cheap: looks at the clock once in 1,024 entries and draws ten times a second.
  void Update(std::uint64_t done) {
    if (shown_ && (done & 1'023) == 0) Draw(done);
  }
  // For who hears of progress seldom.
  void Draw(std::uint64_t done);
  void SetTotal(std::uint64_t total) { total_ = total; }

 private:
  const std::string what_;
  std::uint64_t total_;
  const bool shown_;
  const std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace virp::virpctl
