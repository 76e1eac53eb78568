// The guard over expiries: what a set says of when its payloads end can empty the routers as well as a set that lacks
// them, only later.
#pragma once

#include <memory>
#include <vector>

#include "lib/base/clock.h"
#include "lib/vrp/payload.h"
#include "services/rtr-bridge/domain/guards.h"

namespace virp::rtr_bridge {

// Why the expiries of `next` must not take the place of those in `serving`: of a kind more than --max-drop (one may
// always) would end earlier than it was said before, and within an hour from `now`; or a route of --must-stay-valid
// would no longer be valid by then for that. Empty when they may. What ends when it always had to is no objection, and
// neither is what is in one of the two sets only. Linear.
std::vector<Objection> FindExpiryObjections(const GuardOptions& options, const vrp::Payloads& serving,
                                            const vrp::Payloads& next, UnixNanos now);

// Whether one of them is FindExpiryObjections'.
bool AnyOfExpiry(const std::vector<Objection>& objections);

// `serving`, where what is in both ends as `other` says: always, or only when that is later. An ASPA is in both when it
// has the same providers. The same pointer when nothing becomes another. Linear.
enum class TakeExpiry : std::uint8_t { kAlways, kLater };
std::shared_ptr<const vrp::Payloads> WithExpiriesOf(std::shared_ptr<const vrp::Payloads> serving,
                                                    const vrp::Payloads& other, TakeExpiry take);

}  // namespace virp::rtr_bridge
