// Certificate requests that were decided, in the order in which they are to be forgotten.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "services/keymgr/domain/router_plan.h"
#include "services/keymgr/domain/router_record.h"

namespace virp::keymgr {

// Not thread-safe. Of requests that wait it takes no notice.
class RequestIndex {
 public:
  void Add(const RouterRequestRecord& request);
  void Drop(const RouterRequestRecord& request);
  void Clear();

  // Ids that are over the limits, at most `most`: refused ones by age, then a router's oldest, then the oldest of all.
  std::vector<std::string> Over(const RequestLimits& limits, UnixNanos now, std::size_t most) const;

 private:
  using ByAge = std::set<std::pair<UnixNanos, std::string>>;  // when it was decided
  ByAge all_, refused_;
  std::map<std::string, ByAge> by_router_;
  std::set<std::string> crowded_;  // routers with more than kLeast
  static constexpr std::size_t kLeast = 16;
};

}  // namespace virp::keymgr
