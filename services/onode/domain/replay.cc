#include "services/onode/domain/replay.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/chain/subject.h"

namespace virp::onode {

PastState::PastState(const std::string& origin) : sources_(origin), facts_(origin), head_(chain::GenesisOf(origin)) {}

absl::Status PastState::Add(std::string_view entry_bytes) {
  const auto broken = [&](const absl::Status& why) { return DataLoss("entry {}: {}", size(), Message(why)); };
  const auto entry = chain::DecodeEntry(entry_bytes);
  if (!entry.ok()) return broken(entry.status());
  if (entry->header.previous != head_) return DataLoss("entry {} does not link to the one before", size());
  const auto frame = frame::Decode(entry->frame, entry->header.spelling);
  if (!frame.ok()) return broken(frame.status());
  std::optional<frame::Value> payload;
  if (auto value = payloads_.Read(frame->payload); value.ok()) payload = *value;

  // Entry 0 registers the O-Node itself, so nothing is registered before it; its statement needs no registration.
  static const chain::Registration kNobody;
  const auto source = sources_.FindByShortId(entry->header.source);
  const auto statement =
      chain::ReadStatement(source != nullptr ? source->registration : kNobody, frame->header.type, payload);
  RETURN_IF_ERROR(sources_.Apply(*entry, *frame, statement, payload));
  facts_.Apply(*entry, *frame, statement, payload, sources_);
  head_ = chain::LeafHash(entry_bytes);
  return absl::OkStatus();
}

std::shared_ptr<const PastState> ReplayCache::Find(std::uint64_t size, const Hash& head) {
  const MutexLock lock(mutex_);
  const auto at = std::find_if(kept_.begin(), kept_.end(), [&](const auto& s) {
    return s->size() == size && s->head() == head && !s->facts().NeedsRefold();
  });
  if (at == kept_.end()) return nullptr;
  kept_.splice(kept_.begin(), kept_, at);
  return kept_.front();
}

// The largest state that is not beyond `size` and that nobody is reading, taken out; a new one when there is none.
std::shared_ptr<PastState> ReplayCache::TakeNearest(std::uint64_t size) {
  const MutexLock lock(mutex_);
  auto nearest = kept_.end();
  for (auto at = kept_.begin(); at != kept_.end(); ++at) {
    if ((*at)->size() > size || at->use_count() != 1) continue;
    if (nearest == kept_.end() || (*at)->size() > (*nearest)->size()) nearest = at;
  }
  if (nearest == kept_.end()) return std::make_shared<PastState>(origin_);
  auto out = std::move(*nearest);
  kept_.erase(nearest);
  return out;
}

void ReplayCache::Keep(std::shared_ptr<PastState> state) {
  const MutexLock lock(mutex_);
  kept_.push_front(std::move(state));
  std::size_t bytes = 0, states = 0;
  for (auto at = kept_.begin(); at != kept_.end();) {
    bytes += (*at)->facts().MemoryBytes();
    // The newest stays even when it is too big by itself: a replay that was cut short has to go on from somewhere.
    ++states;
    at = states > 1 && (states > options_.states || bytes > options_.bytes) ? kept_.erase(at) : std::next(at);
  }
}

absl::StatusOr<std::shared_ptr<const PastState>> ReplayCache::At(std::uint64_t size, const Hash& head,
                                                                 const EntrySource& read) {
  if (auto kept = Find(size, head)) return kept;
  const MutexLock replaying(replaying_);
  if (auto kept = Find(size, head)) return kept;

  std::shared_ptr<PastState> state = TakeNearest(size);
  while (state->size() < size) {
    const auto entries = read(state->size());
    if (!entries.ok()) {
      Keep(std::move(state));
      return entries.status();
    }
    if (entries->empty()) return Internal("no entries from {} on, though {} were asked for", state->size(), size);
    for (const std::string& entry : *entries) {
      if (state->size() == size) break;
      RETURN_IF_ERROR(state->Add(entry));
    }
  }
  if (state->head() != head) return DataLoss("the entries up to {} end in another hash than the chain's", size);
  const absl::Status settled = state->Settle([&](std::uint64_t sequence) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(auto entries, read(sequence));
    if (entries.empty()) return Internal("entry {} is not there", sequence);
    return std::move(entries.front());
  });
  Keep(state);
  RETURN_IF_ERROR(settled);
  return state;
}

}  // namespace virp::onode
