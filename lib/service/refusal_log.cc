#include "lib/service/refusal_log.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "lib/base/error_info.h"

namespace virp::service {

std::size_t RefusalLog::IndexOf(std::string_view reason) {
  const auto at = std::find(kReasons.begin(), kReasons.end(), reason);
  return std::min(static_cast<std::size_t>(at - kReasons.begin()), kReasons.size() - 1);
}

void RefusalLog::Refused(const Refusal& refusal) {
  ++counts_[IndexOf(GetReason(refusal.status))];
  const auto suppressed = limiter_.Admit();
  if (!suppressed) return;
  LogStatus(LogLevel::kWarning, "a call was refused", refusal.status,
            {{"method", refusal.method}, {"caller", refusal.caller}, {"suppressed", *suppressed}});
}

RefusalHook RefusalLog::OnRefusal() {
  return [this](const Refusal& refusal) { Refused(refusal); };
}

DenyList::Hook RefusalLog::OnDenyListChanged() {
  return [this](const absl::Status& read) {
    deny_list_broken_ = !read.ok();
    if (read.ok()) {
      LogInfo("another deny list is in force");
    } else {
      LogStatus(LogLevel::kError, "the deny list cannot be used; the last good one stays in force", read);
    }
  };
}

void RefusalLog::AddMetrics(Metrics& metrics, const ServerRunner* server) const {
  std::vector<Counter> refused;
  for (const std::string_view reason : kReasons) {
    refused.push_back(metrics.AddCounter("refused_calls_total", "Calls and connections refused, by reason.",
                                         {{"reason", std::string(reason)}}));
  }
  const Gauge broken = metrics.AddGauge("deny_list_broken", "1 while the deny file cannot be used.");
  const Counter failed = metrics.AddCounter(
      "failed_handshakes_total", "Connections to the gRPC port whose TLS handshake showed no good certificate.");
  const Gauge expiry = metrics.AddGauge("certificate_expiry_seconds", "Unix time at which the certificate ends.");
  metrics.OnCollect([this, refused, broken, failed, expiry, server] {
    for (std::size_t i = 0; i < refused.size(); ++i) refused[i].Set(counts_[i]);
    broken.Set(deny_list_broken_ ? 1 : 0);
    if (server == nullptr) return;
    failed.Set(server->failed_handshakes());
    expiry.Set(static_cast<double>(server->certificate_not_after() / 1'000'000'000));
  });
}

std::uint64_t RefusalLog::count(std::string_view reason) const {
  return counts_[IndexOf(reason)];
}

}  // namespace virp::service
