// Clocks, CPU accounting and percentiles for the benchmarks. CPU time comes first in every table: on a shared machine
// it is what repeats.
#pragma once

#include <dirent.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace virp::bench {

// Ends the program when what a benchmark needs cannot be made.
inline void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fputs(status.ToString().c_str(), stderr);
  std::abort();
}

inline double SecondsOf(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}
inline double WallSeconds() {
  return SecondsOf(CLOCK_MONOTONIC);
}
inline double OwnCpuSeconds() {
  return SecondsOf(CLOCK_PROCESS_CPUTIME_ID);
}

struct ProcessTimes {
  pid_t parent = 0;
  double own = 0;       // seconds, user and system
  double children = 0;  // of children that ended
};

// From /proc/PID/stat (proc(5)); zeros when the process is gone.
inline ProcessTimes TimesOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(text.substr(name_end + 2));
  std::string state;
  std::vector<long> value(14);
  fields >> state;
  for (long& v : value) fields >> v;  // ppid is field 4 of the file, utime 14, stime 15, cutime 16, cstime 17
  const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return {static_cast<pid_t>(value[0]), static_cast<double>(value[10] + value[11]) * tick,
          static_cast<double>(value[12] + value[13]) * tick};
}

// A server and its children, those that ended included.
inline double TreeCpuSeconds(pid_t server) {
  if (server == 0) return 0;
  const ProcessTimes top = TimesOf(server);
  double sum = top.own + top.children;
  DIR* const proc = ::opendir("/proc");
  if (proc == nullptr) return sum;
  while (const dirent* entry = ::readdir(proc)) {
    const auto pid = static_cast<pid_t>(std::atoi(entry->d_name));
    if (pid <= 0 || pid == server) continue;
    const ProcessTimes times = TimesOf(pid);
    if (times.parent == server) sum += times.own;
  }
  ::closedir(proc);
  return sum;
}

// Sorts.
inline double Percentile(std::vector<double>& values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<std::size_t>(p * static_cast<double>(values.size())))];
}
inline double Median(std::vector<double> values) {
  return Percentile(values, 0.5);
}

}  // namespace virp::bench
