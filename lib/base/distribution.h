// How often values fell into which range: counted by code that knows nothing of metrics, served by service::Metrics as
// a histogram.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace virp {

// Thread-safe; Add takes no lock, and what Read returns may lack an Add that is being made.
class Distribution {
 public:
  // Upper bounds, ascending.
  explicit Distribution(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

  void Add(double value) {
    const auto range = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
    counts_[static_cast<std::size_t>(range)].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(value, std::memory_order_relaxed);
  }

  struct Snapshot {
    std::vector<std::uint64_t> counts;  // [i]: above bounds[i - 1], up to bounds[i]; the last: above all bounds
    double sum = 0;
  };
  Snapshot Read() const {
    Snapshot out;
    for (const auto& count : counts_) out.counts.push_back(count.load(std::memory_order_relaxed));
    out.sum = sum_.load(std::memory_order_relaxed);
    return out;
  }

  const std::vector<double>& bounds() const { return bounds_; }

 private:
  const std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

// `count` bounds, each `factor` times the one before.
inline std::vector<double> ExponentialBounds(double first, double factor, int count) {
  std::vector<double> out;
  for (double bound = first; count > 0; --count, bound *= factor) out.push_back(bound);
  return out;
}

// For latencies in seconds: 100 us to 26 s.
inline std::vector<double> LatencyBounds() {
  return ExponentialBounds(0.0001, 2, 19);
}

}  // namespace virp
