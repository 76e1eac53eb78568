#include "lib/base/file_watch.h"

#include <sys/stat.h>

namespace virp {

FileWatch::FileWatch(std::vector<std::string> paths, std::chrono::nanoseconds interval, const Clock& clock)
    : paths_(std::move(paths)),
      interval_(interval),
      clock_(clock),
      seen_(LookAtAll()),
      next_(clock.Steady() + interval) {}

std::vector<FileWatch::Look> FileWatch::LookAtAll() const {
  std::vector<Look> out;
  out.reserve(paths_.size());
  for (const std::string& path : paths_) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) {
      out.push_back({});
      continue;
    }
    out.push_back({true, info.st_dev, info.st_ino, info.st_size,
                   static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec});
  }
  return out;
}

bool FileWatch::Changed() {
  const auto now = clock_.Steady();
  if (now < next_) return false;
  next_ = now + interval_;
  std::vector<Look> look = LookAtAll();
  if (look == seen_) return false;
  seen_ = std::move(look);
  return true;
}

}  // namespace virp
