#include "lib/service/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

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

absl::Status CheckMetric(std::string_view name, Kind kind, std::string_view help, const MetricLabels& labels,
                         MetricName whose) {
  if (!IsName(name)) return InvalidArgument("metric '{}': not lower case with underscores", name);
  if (whose == MetricName::kOwn && name.ends_with("_total") != (kind == Kind::kCounter))
    return InvalidArgument("metric '{}': counters end in _total, others do not", name);
  if (help.empty()) return InvalidArgument("metric '{}': no help text", name);
  for (const auto& [key, value] : labels) {
    if (!IsName(key) || key == "le" || key == "quantile")
      return InvalidArgument("metric '{}': label '{}' cannot be used", name, key);
  }
  return absl::OkStatus();
}

prometheus::ClientMetric ToPrometheus(const Distribution& from, const MetricLabels& labels) {
  prometheus::ClientMetric out;
  for (const auto& [name, value] : labels) out.label.push_back({name, value});
  const Distribution::Snapshot now = from.Read();
  out.histogram.sample_sum = now.sum;
  for (std::size_t i = 0; i < now.counts.size(); ++i) {
    out.histogram.sample_count += now.counts[i];
    const double bound = i < from.bounds().size() ? from.bounds()[i] : std::numeric_limits<double>::infinity();
    out.histogram.bucket.push_back({out.histogram.sample_count, bound});
  }
  return out;
}

}  // namespace

void Counter::Raise(double total) const {
  if (counter_ == nullptr) return;
  if (const double more = total - counter_->Value(); more > 0) counter_->Increment(more);
}

void Gauge::Put(double value) const {
  if (gauge_ != nullptr) gauge_->Set(value);
}

struct Metrics::Impl {
  struct Known {
    Kind kind;
    std::string help;
    std::vector<std::string> keys;
    std::vector<double> bounds;
  };

  struct Histogram {
    std::string name;
    MetricLabels labels;
    const Distribution* from;
  };

  std::string prefix;
  prometheus::Registry registry;
  Mutex scrape;  // taken first
  Mutex mutex;
  std::map<std::string, Known> known ABSL_GUARDED_BY(mutex);
  std::vector<Histogram> histograms ABSL_GUARDED_BY(mutex);
  std::vector<std::function<void()>> updates ABSL_GUARDED_BY(mutex);
  absl::Status status ABSL_GUARDED_BY(mutex);

  // The full name when the metric may be made, and fits what is known under its name.
  std::string Admit(std::string_view name, Kind kind, std::string_view help, const MetricLabels& labels,
                    const std::vector<double>& bounds, MetricName whose = MetricName::kOwn) {
    std::string full = (whose == MetricName::kOwn ? prefix : "") + std::string(name);
    Known wanted{kind, std::string(help), {}, bounds};
    for (const auto& [key, value] : labels) wanted.keys.push_back(key);
    absl::Status problem = CheckMetric(name, kind, help, labels, whose);
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

  // What an update adds is updated too.
  void Update() {
    for (std::size_t i = 0;; ++i) {
      std::function<void()> update;
      {
        const MutexLock lock(mutex);
        if (i == updates.size()) return;
        update = updates[i];
      }
      update();
    }
  }

  void CollectHistograms(std::vector<prometheus::MetricFamily>& out) {
    const MutexLock lock(mutex);
    std::map<std::string, prometheus::MetricFamily> families;
    for (const Histogram& histogram : histograms) {
      prometheus::MetricFamily& family = families[histogram.name];
      family.name = histogram.name;
      family.help = known.at(histogram.name).help;
      family.type = prometheus::MetricType::Histogram;
      family.metric.push_back(ToPrometheus(*histogram.from, histogram.labels));
    }
    for (auto& [name, family] : families) out.push_back(std::move(family));
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

Counter Metrics::AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels,
                            MetricName whose) {
  const std::string full = impl_->Admit(name, Kind::kCounter, help, labels, {}, whose);
  if (full.empty()) return {};
  try {
    return Counter(
        &prometheus::BuildCounter().Name(full).Help(std::string(help)).Register(impl_->registry).Add(labels));
  } catch (const std::exception& error) {
    impl_->Fail(full, error);
    return {};
  }
}

Gauge Metrics::AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels, MetricName whose) {
  const std::string full = impl_->Admit(name, Kind::kGauge, help, labels, {}, whose);
  if (full.empty()) return {};
  try {
    return Gauge(&prometheus::BuildGauge().Name(full).Help(std::string(help)).Register(impl_->registry).Add(labels));
  } catch (const std::exception& error) {
    impl_->Fail(full, error);
    return {};
  }
}

void Metrics::AddHistogram(std::string_view name, std::string_view help, const Distribution& from,
                           const MetricLabels& labels) {
  const std::string full = impl_->Admit(name, Kind::kHistogram, help, labels, from.bounds());
  if (full.empty()) return;
  const MutexLock lock(impl_->mutex);
  const bool twice = std::any_of(impl_->histograms.begin(), impl_->histograms.end(), [&](const Impl::Histogram& there) {
    return there.name == full && there.labels == labels;
  });
  if (!twice) {
    impl_->histograms.push_back({full, labels, &from});
  } else if (impl_->status.ok()) {
    impl_->status = InvalidArgument("metric '{}': a histogram of these labels is there", full);
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
  const MutexLock one_at_a_time(impl_->scrape);
  impl_->Update();
  std::vector<prometheus::MetricFamily> families = impl_->registry.Collect();
  impl_->CollectHistograms(families);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace virp::service
