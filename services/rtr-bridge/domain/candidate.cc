#include "services/rtr-bridge/domain/candidate.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/base/status.h"

namespace virp::rtr_bridge {
namespace {

constexpr UnixNanos kSecond = 1'000'000'000;

using Set = std::shared_ptr<const vrp::Payloads>;

Set Without(Set set, Dropped dropped) {
  const bool keys_go = dropped.router_keys && !set->router_keys.empty();
  const bool aspas_go = dropped.aspas && !set->aspas.empty();
  if (!keys_go && !aspas_go) return set;
  auto less = std::make_shared<vrp::Payloads>(*set);
  if (keys_go) less->router_keys.clear();
  if (aspas_go) less->aspas.clear();
  return less;
}

}  // namespace

rtr::Delta Candidate::DeltaFrom(const Set& served) const {
  if (step != nullptr && step->before.lock() == served) return rtr::Diff(step->left, step->came);
  return rtr::Diff(*served, *payloads);
}

absl::StatusOr<Candidate> MakeCandidate(const SourceTable& sources, const vrp::Slurm* slurm, Dropped dropped,
                                        UnixNanos now) {
  if (!sources.all_tried()) return Unavailable("not every source was tried yet");
  ASSIGN_OR_RETURN(SourceTable::Merged merged, sources.Merge(now));
  Candidate made;
  made.payloads = std::move(merged.payloads);
  made.left_out = std::move(merged.left_out);
  for (const std::size_t source : merged.sources) {
    const SourceState& state = sources.sources()[source];
    made.sources.push_back({state.name, state.reading->sha256});
  }
  if (slurm != nullptr) {
    vrp::Applied applied = vrp::Apply(*slurm, *made.payloads);
    made.payloads = std::make_shared<const vrp::Payloads>(std::move(applied.payloads));
    std::move(applied.refused.begin(), applied.refused.end(), std::back_inserter(made.left_out));
    for (const vrp::Slurm::File& file : slurm->files) made.slurm.push_back({file.name, file.sha256});
  }
  made.payloads = Without(std::move(made.payloads), dropped);
  for (const std::size_t source : merged.sources) {
    const Reading& reading = *sources.sources()[source].reading;
    if (!reading.sha256_of_set || reading.payloads != made.payloads) continue;
    made.sha256 = reading.sha256;
    made.step = reading.step;
    return made;
  }
  made.sha256 = vrp::HashOf(*made.payloads);
  return made;
}

Set WithoutExpired(const Set& set, UnixNanos now, vrp::FirstExpiry& expiries) {
  const auto second = static_cast<std::int64_t>(now / kSecond);
  if (!vrp::IsExpired(expiries.Of(set), second)) return set;
  return std::make_shared<const vrp::Payloads>(vrp::WithoutExpired(*set, second));
}

}  // namespace virp::rtr_bridge
