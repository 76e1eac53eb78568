#include "services/onode/domain/delivery_order.h"

#include "lib/frame/frame.h"

namespace virp::onode {

frame::Reason HeldSources::Behind(std::string_view source, std::uint64_t epoch, std::uint64_t number) const {
  if (refused_.empty()) return frame::Reason::kNone;
  const auto first = refused_.find(frame::ShortIdOf(source));
  const bool behind = first != refused_.end() && std::pair{epoch, number} > first->second.place;
  return behind ? first->second.reason : frame::Reason::kNone;
}

void HeldSources::Note(std::string_view source, std::uint64_t epoch, std::uint64_t number, frame::Reason reason) {
  const bool passing = frame::IsPassing(reason);
  if (refused_.empty() && !passing) return;
  const std::uint64_t id = frame::ShortIdOf(source);
  const std::pair place{epoch, number};
  const auto first = refused_.find(id);
  if (!passing) {
    if (first != refused_.end() && first->second.place == place) refused_.erase(first);
  } else if (first == refused_.end()) {
    if (refused_.size() < kMost) refused_.emplace(id, Refused{place, reason});
  } else if (place <= first->second.place) {
    first->second = {place, reason};
  }
}

}  // namespace virp::onode
