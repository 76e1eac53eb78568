#include "services/keymgr/domain/publication_keeper.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/der.h"
#include "services/keymgr/domain/rpki_names.h"

namespace virp::keymgr {

PublicationKeeper::PublicationKeeper(RpkiAuthority& authority, rpki::OneTimeKeys& one_time_keys, const Clock& clock,
                                     std::function<bool()> open, PublicationTimes times)
    : authority_(authority), one_time_keys_(one_time_keys), clock_(clock), open_(std::move(open)), times_(times) {}

absl::Status PublicationKeeper::PublishIfDue(bool& published) {
  const auto now = clock_.Steady();
  if (now < not_before_) return absl::OkStatus();
  const auto due = authority_.PublicationDue();
  if (due.ok() && !*due) return absl::OkStatus();
  const absl::Status done = due.ok() ? authority_.Publish() : due.status();
  published = done.ok();
  retry_ = done.ok() ? std::chrono::milliseconds(0) : std::clamp(retry_ * 2, times_.first_retry, times_.last_retry);
  not_before_ = now + (done.ok() ? times_.spacing : retry_);
  const MutexLock lock(mutex_);
  ++(done.ok() ? health_.published : health_.failed);
  return done;
}

// Relying parties look at the dates, names and resources of our chain, too: better to know before they do.
absl::Status PublicationKeeper::CheckChain() {
  const auto now = clock_.Steady();
  if (now >= next_chain_check_) {
    next_chain_check_ = now + times_.chain_check;
    chain_ = authority_.CheckChain();
  }
  return chain_;
}

absl::StatusOr<bool> PublicationKeeper::Round() {
  if (!open_() || !authority_.State().set_up) return false;
  ASSIGN_OR_RETURN(const std::size_t ended, authority_.ExpireEnded());
  const auto advanced = authority_.Advance();
  bool published = false;
  absl::Status trouble = PublishIfDue(published);
  if (trouble.ok()) trouble = advanced.status();
  if (trouble.ok() && clock_.Steady() < not_before_ && retry_.count() != 0) return one_time_keys_.MakeOne();
  if (trouble.ok()) trouble = CheckChain();
  {
    const MutexLock lock(mutex_);
    health_.problem = std::string(Message(trouble));
  }
  RETURN_IF_ERROR(trouble);
  return ended != 0 || *advanced || one_time_keys_.MakeOne();
}

absl::Status PublicationKeeper::Ready() const {
  const PublicationState state = authority_.State();
  if (!open_() || !state.set_up || state.published_until > clock_.NowNanos()) return absl::OkStatus();
  if (state.published_until == 0) return absl::OkStatus();  // relying parties know nothing of it yet
  return Unavailable("the RPKI publication is stale since {}: relying parties drop all router keys. {}",
                     der::TimeText(TimeOf(state.published_until)), health().problem);
}

PublicationHealth PublicationKeeper::health() const {
  const MutexLock lock(mutex_);
  return health_;
}

}  // namespace virp::keymgr
