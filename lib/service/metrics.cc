#include "lib/service/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>

#include "lib/base/mutex.h"
#include "lib/base/status.h"

namespace virp::service {
namespace {

enum class Kind { kCounter, kGauge, kHistogram };

bool IsName(std::string_view name) {
  if (name.empty() || name.front() < 'a' || name.front() > 'z' || name.ends_with('_')) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

absl::Status CheckMetric(std::string_view name, Kind kind, std::string_view help, const MetricLabels& labels) {
  if (!IsName(name)) return InvalidArgument("metric '{}': not lower case with underscores", name);
  if (name.ends_with("_total") != (kind == Kind::kCounter))
    return InvalidArgument("metric '{}': counters end in _total, others do not", name);
  if (help.empty()) return InvalidArgument("metric '{}': no help text", name);
  for (const auto& [key, value] : labels) {
    if (!IsName(key) || key == "le" || key == "quantile")
      return InvalidArgument("metric '{}': label '{}' cannot be used", name, key);
  }
  return absl::OkStatus();
}

}  // namespace

void Counter::Add(double amount) const {
  if (counter_ != nullptr && amount > 0) counter_->Increment(amount);
}
double Counter::value() const {
  return counter_ == nullptr ? 0 : counter_->Value();
}

void Gauge::Set(double value) const {
  if (gauge_ != nullptr) gauge_->Set(value);
}
void Gauge::Add(double amount) const {
  if (gauge_ != nullptr) gauge_->Increment(amount);
}
double Gauge::value() const {
  return gauge_ == nullptr ? 0 : gauge_->Value();
}

void Histogram::Observe(double value) const {
  if (histogram_ != nullptr) histogram_->Observe(value);
}

std::vector<double> ExponentialBuckets(double first, double factor, int count) {
  std::vector<double> out;
  for (double bound = first; count > 0; --count, bound *= factor) out.push_back(bound);
  return out;
}

std::vector<double> LatencyBuckets() {
  return ExponentialBuckets(0.0001, 2, 19);
}

struct Metrics::Impl {
  struct Known {
    Kind kind;
    std::string help;
    std::vector<std::string> keys;
    std::vector<double> bounds;
  };

  std::string prefix;
  prometheus::Registry registry;
  mutable Mutex mutex;
  std::map<std::string, Known> known ABSL_GUARDED_BY(mutex);
  std::vector<std::function<void()>> updates ABSL_GUARDED_BY(mutex);
  absl::Status status ABSL_GUARDED_BY(mutex);

  // The full name when the metric may be made, and fits what is known under its name.
  std::string Admit(std::string_view name, Kind kind, std::string_view help, const MetricLabels& labels,
                    const std::vector<double>& bounds) {
    std::string full = prefix + std::string(name);
    Known wanted{kind, std::string(help), {}, bounds};
    for (const auto& [key, value] : labels) wanted.keys.push_back(key);
    absl::Status problem = CheckMetric(name, kind, help, labels);
    const MutexLock lock(mutex);
    if (problem.ok()) {
      const auto [at, added] = known.emplace(full, wanted);
      const Known& there = at->second;
      if (added || (there.kind == kind && there.help == help && there.keys == wanted.keys && there.bounds == bounds))
        return full;
      problem = InvalidArgument("metric '{}': declared before with another kind, help, labels or buckets", full);
    }
    if (status.ok()) status = std::move(problem);
    return {};
  }

  void Fail(const std::string& name, const std::exception& error) {
    const MutexLock lock(mutex);
    if (status.ok()) status = InvalidArgument("metric '{}': {}", name, error.what());
  }
};

Metrics::Metrics(std::string_view service) : impl_(std::make_unique<Impl>()) {
  impl_->prefix = fmt::format("virp_{}_", service);
}
Metrics::~Metrics() = default;

Counter Metrics::AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels) {
  const std::string full = impl_->Admit(name, Kind::kCounter, help, labels, {});
  if (full.empty()) return {};
  try {
    return Counter(
        &prometheus::BuildCounter().Name(full).Help(std::string(help)).Register(impl_->registry).Add(labels));
  } catch (const std::exception& error) {
    impl_->Fail(full, error);
    return {};
  }
}

Gauge Metrics::AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels) {
  const std::string full = impl_->Admit(name, Kind::kGauge, help, labels, {});
  if (full.empty()) return {};
  try {
    return Gauge(&prometheus::BuildGauge().Name(full).Help(std::string(help)).Register(impl_->registry).Add(labels));
  } catch (const std::exception& error) {
    impl_->Fail(full, error);
    return {};
  }
}

Histogram Metrics::AddHistogram(std::string_view name, std::string_view help, const std::vector<double>& bounds,
                                const MetricLabels& labels) {
  const std::string full = impl_->Admit(name, Kind::kHistogram, help, labels, bounds);
  if (full.empty()) return {};
  try {
    return Histogram(
        &prometheus::BuildHistogram().Name(full).Help(std::string(help)).Register(impl_->registry).Add(labels, bounds));
  } catch (const std::exception& error) {
    impl_->Fail(full, error);
    return {};
  }
}

void Metrics::OnCollect(std::function<void()> update) {
  const MutexLock lock(impl_->mutex);
  impl_->updates.push_back(std::move(update));
}

absl::Status Metrics::status() const {
  const MutexLock lock(impl_->mutex);
  return impl_->status;
}

std::string Metrics::Serialize() const {
  std::vector<std::function<void()>> updates;
  {
    const MutexLock lock(impl_->mutex);
    updates = impl_->updates;
  }
  for (const auto& update : updates) update();
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

std::vector<std::string> Metrics::Names() const {
  const MutexLock lock(impl_->mutex);
  std::vector<std::string> out;
  for (const auto& [name, known] : impl_->known) out.push_back(name);
  return out;
}

}  // namespace virp::service
