#include "services/collector/domain/edge_limits.h"

#include <algorithm>

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::collector {

namespace {

constexpr std::chrono::minutes kLongestDelay{5};

}  // namespace

void EdgeLimits::Told(std::string_view source) {
  const MutexLock lock(mutex_);
  told_.insert_or_assign(std::string(source), clock_.Steady() + kToldHolds);
  any_told_ = true;
}

std::chrono::nanoseconds EdgeLimits::Until(std::string_view source) {
  std::chrono::nanoseconds wait = own_.Until(source);
  if (!any_told_) return wait;
  const MutexLock lock(mutex_);
  const auto told = told_.find(source);
  if (told == told_.end()) return wait;
  const std::chrono::nanoseconds left = told->second - clock_.Steady();
  if (left > std::chrono::nanoseconds(0)) return std::max(wait, left);
  told_.erase(told);
  any_told_ = !told_.empty();
  return wait;
}

absl::Status EdgeLimits::Admit(std::string_view source) {
  return PushBack(source, Until(source));
}
absl::Status EdgeLimits::AdmitByOwn(std::string_view source) {
  return PushBack(source, UntilByOwn(source));
}

absl::Status EdgeLimits::PushBack(std::string_view source, std::chrono::nanoseconds wait) {
  if (wait <= std::chrono::nanoseconds(0)) return absl::OkStatus();
  ++pushed_back_;
  absl::Status over =
      WithReason(ResourceExhausted("source {} is over its limit; try again later", source), "OVER_LIMIT");
  // Of a day's limit the rest of the day, which nobody sleeps through in one go.
  const auto delay =
      std::chrono::ceil<std::chrono::milliseconds>(std::min<std::chrono::nanoseconds>(wait, kLongestDelay));
  SetRetryAfter(over, delay);
  return over;
}

std::vector<std::string> EdgeLimits::ToldSources() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [source, until] : told_) {
    if (until > clock_.Steady()) out.push_back(source);
  }
  return out;
}

}  // namespace virp::collector
