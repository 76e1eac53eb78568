// Guards between a new set and the routers: what looks like an accident upstream waits for a person.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/ip.h"
#include "lib/rtr/delta.h"
#include "lib/vrp/payload.h"
#include "services/rtr-bridge/domain/generation.h"

namespace virp::rtr_bridge {

struct RouteToKeep {
  Prefix prefix;
  std::uint32_t origin = 0;
};

struct GuardOptions {
  double max_drop = 0.10;            // of what is served, at most this part may go; 1: any
  std::optional<double> max_growth;  // and at most this part may come; nothing: any
  std::size_t min_records = 0;
  std::vector<RouteToKeep> must_stay_valid;
};

// Lines "PREFIX AS", as "192.0.2.0/24 64500" or "2001:db8::/32 AS64500"; '#' begins a comment. InvalidArgument begins
// with NAME:LINE.
absl::StatusOr<std::vector<RouteToKeep>> ParseRoutesToKeep(std::string_view name, std::string_view text);

// Why a set must not be served without being asked.
struct Objection {
  std::string about;  // names the guard and what it guards: the same for the same fault of another set
  std::string text;   // a sentence
};

// Why `next` must not be served instead of `serving`; empty when it may. Each kind of payload is held against its own
// number, and a single one may always come or go.
std::vector<Objection> FindObjections(const GuardOptions& options, const vrp::Payloads& serving,
                                      const vrp::Payloads& next);
// The same where what changes is known: from a set of these numbers to `next`.
std::vector<Objection> FindObjections(const GuardOptions& options, const Counts& serving, const rtr::Delta& change,
                                      const vrp::Payloads& next);
// The same where only the numbers of what was served are known, as after a restart: what goes or comes is taken to be
// the difference. Without numbers nothing was served yet: then only --min-records and the routes count.
std::vector<Objection> FindObjections(const GuardOptions& options, const std::optional<Counts>& served,
                                      const vrp::Payloads& next);

// Of them, those about how much goes and comes: between `before`, which was served or held `ago`, and `next`, or by a
// change of it. A change of up to `few` of a kind is none.
std::vector<Objection> FindChanges(const GuardOptions& options, const vrp::Payloads& before, const vrp::Payloads& next,
                                   std::size_t few, std::chrono::nanoseconds ago);
std::vector<Objection> FindChanges(const GuardOptions& options, const Counts& before, const rtr::Delta& change,
                                   std::size_t few, std::chrono::nanoseconds ago);

}  // namespace virp::rtr_bridge
