// What guards compare with beside what is served: what was served up to an hour ago, or what a person accepted since,
// so that a set does not go in small steps. Plain values: not thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "lib/base/clock.h"
#include "lib/rtr/delta.h"
#include "lib/vrp/set.h"
#include "services/rtr-bridge/domain/guards.h"

namespace virp::rtr_bridge {

class Reference {
 public:
  using Set = std::shared_ptr<const vrp::Payloads>;

  bool begun() const { return payloads_ != nullptr; }
  // `served` is what others are compared with from now on.
  void Begin(Set served, UnixNanos now);
  // What is served becomes another set, which is `delta` away. Once begun.
  void Follow(const rtr::Delta& delta);

  // Against `next`, which is `delta` away from what is served; without a delta it is compared as a whole. What is
  // expired by itself counts for neither; expiries that were renewed since, in `served`, are the ones that hold.
  std::vector<Objection> FindObjections(const GuardOptions& options, const Set& served, const rtr::Delta* delta,
                                        const vrp::Payloads& next, UnixNanos now, vrp::FirstExpiry& expiries);

 private:
  Set payloads_;  // null: not begun
  UnixNanos since_ = 0;
  rtr::Delta change_;  // from it to what is served
};

}  // namespace virp::rtr_bridge
