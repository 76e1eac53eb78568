#include "tools/virpctl/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace virp::virpctl {
namespace {

constexpr std::chrono::milliseconds kEvery{100};
constexpr std::size_t kMostBar = 40;

std::string Grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

unsigned Columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string ProgressLine(std::string_view what, std::uint64_t done, std::uint64_t total,
                         std::chrono::nanoseconds elapsed, unsigned columns) {
  const double seconds = std::chrono::duration<double>(elapsed).count();
  constexpr double kMostRate = 1e18;  // what a number of 64 bits can say
  const double rate = seconds > 0 ? std::min(static_cast<double>(done) / seconds, kMostRate) : 0;
  const double part = total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  std::string numbers = fmt::format(" {:.0f} %  {} of {}", part * 100, Grouped(done), Grouped(total));
  if (rate >= 1) {
    numbers += fmt::format("  {}/s", Grouped(static_cast<std::uint64_t>(rate)));
    if (done < total) numbers += fmt::format("  {:.0f} s left", static_cast<double>(total - done) / rate);
  }
  const std::size_t taken = what.size() + numbers.size() + 3;
  const std::size_t bar = columns > taken ? std::min<std::size_t>(columns - taken, kMostBar) : 0;
  std::string line(what);
  if (bar >= 8) {
    const auto full = static_cast<std::size_t>(part * static_cast<double>(bar));
    line += " [" + std::string(full, '=') + (full < bar ? ">" + std::string(bar - full - 1, ' ') : "") + "]";
  }
  line += numbers;
  return line.substr(0, columns);
}

Progress::Progress(std::string what, std::uint64_t total)
    : what_(std::move(what)),
      total_(total),
      shown_(isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()),
      next_(start_ + kEvery) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

void Progress::Draw(std::uint64_t done) {
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || now < next_) return;
  next_ = now + kEvery;
  // The last column stays free: some terminals begin a new line there.
  std::fputs(("\r\033[K" + ProgressLine(what_, done, total_, now - start_, Columns() - 1)).c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace virp::virpctl
