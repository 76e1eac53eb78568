// Refused frames for whoever looks into them: who sends what, named by path. Never in the way of those that are
// accepted: what comes faster than the store takes it pushes the oldest of its own path out.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "services/onode/domain/chain_store.h"

namespace virp::onode {

struct QuarantineCounters {
  std::atomic<std::uint64_t> kept{0};    // written to the store
  std::atomic<std::uint64_t> gone{0};    // pushed out again: by their path's bound, or before they were written
  std::atomic<std::uint64_t> failed{0};  // the store did not take them
};

// Thread-safe. Memory: at most 1,000 frames and 4 MiB for each path that waits to be written, 64 paths. The store
// outlives it.
class Quarantine {
 public:
  static constexpr std::size_t kQueuedFrames = 1'000;
  static constexpr std::size_t kQueuedBytes = std::size_t{4} << 20;
  static constexpr std::size_t kQueuedPaths = 64;
  static constexpr std::size_t kLongestFrame = std::size_t{64} << 10;  // of what is longer its beginning is kept

  Quarantine(ChainStore& store, ChainId chain) : store_(store), chain_(chain) {}
  ~Quarantine();  // Stop

  void Start();
  // Writes what waits, and ends.
  void Stop();
  void Put(QuarantinedFrame frame);
  const QuarantineCounters& counters() const { return counters_; }

 private:
  struct Path {
    std::deque<QuarantinedFrame> frames;
    std::size_t bytes = 0;
  };
  void Run();
  std::vector<QuarantinedFrame> Next();

  ChainStore& store_;
  const ChainId chain_;
  QuarantineCounters counters_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Path> paths_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::jthread writer_;
};

}  // namespace virp::onode
