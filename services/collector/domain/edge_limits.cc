#include "services/collector/domain/edge_limits.h"

#include <algorithm>

namespace virp::collector {

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

std::vector<std::string> EdgeLimits::ToldSources() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [source, until] : told_) {
    if (until > clock_.Steady()) out.push_back(source);
  }
  return out;
}

}  // namespace virp::collector
