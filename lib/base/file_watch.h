// Notices that files were changed or replaced, by polling: works for Kubernetes' swapped symbolic links, for editors
// that rename, and over network file systems, where notification does not.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/clock.h"

namespace virp {

// Not thread-safe.
class FileWatch {
 public:
  // Files or folders (a folder changes when an entry comes, goes or is renamed, not when one is written to). Looks at
  // most once per `interval`. What is there now is the state that changes are measured against.
  FileWatch(std::vector<std::string> paths, std::chrono::nanoseconds interval, const Clock& clock);

  // Whether anything differs since the last call that returned true (or since the start): modification time, inode,
  // size, coming or going.
  bool Changed();

 private:
  struct Look {
    bool exists = false;
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t modified_ns = 0;
    friend bool operator==(const Look&, const Look&) = default;
  };
  std::vector<Look> LookAtAll() const;

  const std::vector<std::string> paths_;
  const std::chrono::nanoseconds interval_;
  const Clock& clock_;
  std::vector<Look> seen_;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace virp
