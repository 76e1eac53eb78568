#include "services/onode/domain/source_limits.h"

namespace virp::onode {

bool SourceLimits::Admit(std::string_view source, std::uint64_t epoch, std::uint64_t number, std::uint64_t entries,
                         std::uint64_t bytes) {
  if (limiter_ == nullptr) return true;
  const std::pair place{epoch, number};
  const MutexLock lock(mutex_);
  const auto refused = refused_.find(source);
  const bool standing = refused != refused_.end() && clock_.Steady() < refused->second.expires;
  if (standing && place > refused->second.place) return false;
  if (limiter_->Admit(source, entries, bytes)) {
    // A late frame, which lies in front of the refused one, passes and changes nothing.
    if (refused != refused_.end() && (!standing || place == refused->second.place)) refused_.erase(refused);
    return true;
  }
  // In front of one that stands the later one still has to come again.
  const auto first = standing ? refused->second.place : place;
  refused_.insert_or_assign(std::string(source), Refused{first, clock_.Steady() + kPatience});
  return false;
}

std::vector<std::string> SourceLimits::Limited() const {
  const MutexLock lock(mutex_);
  std::vector<std::string> limited;
  for (const auto& [source, refused] : refused_) {
    if (clock_.Steady() < refused.expires) limited.push_back(source);
  }
  return limited;
}

}  // namespace virp::onode
