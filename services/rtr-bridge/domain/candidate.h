// A set that may be served next: what the sources say together, with SLURM applied.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/rtr/delta.h"
#include "lib/vrp/payload.h"
#include "lib/vrp/set.h"
#include "lib/vrp/slurm.h"
#include "services/rtr-bridge/domain/generation.h"
#include "services/rtr-bridge/domain/source_table.h"

namespace virp::rtr_bridge {

struct Candidate {
  std::shared_ptr<const vrp::Payloads> payloads;
  Hash sha256{};  // of its canonical form
  std::vector<NamedHash> sources, slurm;
  std::vector<std::string> left_out = {};  // payloads that did not fit together, a sentence each
  std::shared_ptr<const Step> step = {};   // of the one source that it is the set of; null: not known
  // From what routers have, for as long as they have that; null when nobody knows yet.
  std::shared_ptr<const rtr::Delta> delta = {};

  // From `served`: by the step when that leads from there, else by looking at both as a whole.
  rtr::Delta DeltaFrom(const std::shared_ptr<const vrp::Payloads>& served) const;
};

// Kinds that are left out of what sources say.
struct Dropped {
  bool router_keys = false, aspas = false;
};

// What is to be served at `now`. Errors of SourceTable::Merge; Unavailable until every source was tried. `slurm` may be
// null.
absl::StatusOr<Candidate> MakeCandidate(const SourceTable& sources, const vrp::Slurm* slurm, Dropped dropped,
                                        UnixNanos now);

// The same pointer when nothing is expired.
std::shared_ptr<const vrp::Payloads> WithoutExpired(const std::shared_ptr<const vrp::Payloads>& set, UnixNanos now,
                                                    vrp::FirstExpiry& expiries);

}  // namespace virp::rtr_bridge
