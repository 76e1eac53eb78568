#include "services/onode/domain/expected_builds.h"

#include <algorithm>
#include <utility>

namespace virp::onode {
namespace {

bool Fits(std::string_view pattern, std::string_view name) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == name;
  const std::string_view head = pattern.substr(0, star), tail = pattern.substr(star + 1);
  return name.size() >= head.size() + tail.size() && name.starts_with(head) && name.ends_with(tail);
}

}  // namespace

void ExpectedBuilds::Replace(std::vector<Rule> rules) {
  const MutexLock lock(mutex_);
  rules_ = std::move(rules);
}

bool ExpectedBuilds::Expects(std::string_view source, std::string_view build) const {
  const MutexLock lock(mutex_);
  bool listed = false;
  for (const Rule& rule : rules_) {
    if (std::none_of(rule.sources.begin(), rule.sources.end(), [&](const auto& name) { return Fits(name, source); }))
      continue;
    if (rule.ids.contains(build)) return true;
    listed = true;
  }
  return !listed;
}

}  // namespace virp::onode
