// Counters, gauges and histograms of a service, in Prometheus' sense, over prometheus-cpp and without its exceptions.
// Names are virp_<service>_<noun>_<unit>[_total]; every one is documented in docs/metrics.md (a test checks). Label
// values come from our own finite lists, never from peers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lib/base/distribution.h"

namespace prometheus {
class Counter;
class Gauge;
}  // namespace prometheus

namespace virp::service {

using MetricLabels = std::map<std::string, std::string>;

// Handles: cheap to copy, thread-safe, valid as long as the Metrics. A default-constructed one does nothing, so that
// code can be tested without a registry.

// Of what is counted elsewhere: set before each scrape, never by two threads at once (OnCollect sees to both).
class Counter {
 public:
  Counter() = default;
  explicit Counter(prometheus::Counter* counter) : counter_(counter) {}
  template <typename Count>  // a number, or an atomic of one
  void Set(const Count& total) const {
    Raise(static_cast<double>(total));
  }

 private:
  void Raise(double total) const;  // less than before: nothing

  prometheus::Counter* counter_ = nullptr;
};

class Gauge {
 public:
  Gauge() = default;
  explicit Gauge(prometheus::Gauge* gauge) : gauge_(gauge) {}
  template <typename Value>
  void Set(const Value& value) const {
    Put(static_cast<double>(value));
  }

 private:
  void Put(double value) const;

  prometheus::Gauge* gauge_ = nullptr;
};

// Whose name a metric has. Another program's is whole, and ends as it does there: for dashboards that were made for it.
enum class MetricName { kOwn, kForeign };

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
  Counter AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels = {},
                     MetricName whose = MetricName::kOwn);
  Gauge AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {},
                 MetricName whose = MetricName::kOwn);
  // `from` is read at each scrape and outlives the Metrics. A name and its labels are given once.
  void AddHistogram(std::string_view name, std::string_view help, const Distribution& from,
                    const MetricLabels& labels = {});

  // Called before each scrape, one after the other, to set what is cheaper to read then than to keep up to date. Must
  // not block; may add metrics.
  void OnCollect(std::function<void()> update);

  // The first thing that was wrong in an Add; checked by main before the service begins, and by tests.
  absl::Status status() const;

  std::string Serialize() const;  // the text that /metrics serves

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::service
