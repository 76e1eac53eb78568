// Counters, gauges and histograms of a service, in Prometheus' sense, over prometheus-cpp and without its exceptions.
// Names are virp_<service>_<noun>_<unit>[_total]; every one is documented in docs/metrics.md (a test checks). Label
// values come from our own finite lists, never from peers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace virp::service {

using MetricLabels = std::map<std::string, std::string>;

// Handles: cheap to copy, thread-safe, valid as long as the Metrics. A default-constructed one does nothing, so that
// code can be tested without a registry.
class Counter {
 public:
  Counter() = default;
  explicit Counter(prometheus::Counter* counter) : counter_(counter) {}
  void Add(double amount = 1.0) const;  // amounts below zero are ignored
  double value() const;

 private:
  prometheus::Counter* counter_ = nullptr;
};

class Gauge {
 public:
  Gauge() = default;
  explicit Gauge(prometheus::Gauge* gauge) : gauge_(gauge) {}
  void Set(double value) const;
  void Add(double amount) const;
  double value() const;

 private:
  prometheus::Gauge* gauge_ = nullptr;
};

class Histogram {
 public:
  Histogram() = default;
  explicit Histogram(prometheus::Histogram* histogram) : histogram_(histogram) {}
  void Observe(double value) const;

 private:
  prometheus::Histogram* histogram_ = nullptr;
};

// Bounds of buckets: `count` of them, each `factor` times the one before.
std::vector<double> ExponentialBuckets(double first, double factor, int count);
// For latencies in seconds: 100 us to 26 s.
std::vector<double> LatencyBuckets();

// Thread-safe.
class Metrics {
 public:
  // `service` is the second part of every name: "onode", "collector".
  explicit Metrics(std::string_view service);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // `name` is what follows virp_<service>_: "frames_total". A counter's ends in _total, others' do not. The same name
  // with other labels (of the same keys) is another time series of the same metric; the same name and labels give the
  // same one. Create all label sets at the start, so that rates begin at zero. A wrong name, help or label yields a
  // handle that does nothing and shows in status().
  Counter AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Gauge AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Histogram AddHistogram(std::string_view name, std::string_view help, const std::vector<double>& bounds,
                         const MetricLabels& labels = {});

  // Called before each scrape, to set gauges that are cheaper to read then than to keep up to date. Must not block.
  void OnCollect(std::function<void()> update);

  // The first thing that was wrong in an Add; checked by main before the service begins, and by tests.
  absl::Status status() const;

  std::string Serialize() const;           // the text that /metrics serves
  std::vector<std::string> Names() const;  // full names, sorted

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::service
