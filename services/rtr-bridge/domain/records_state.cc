#include "services/rtr-bridge/domain/records_state.h"

#include "lib/base/saved.h"
#include "lib/base/status.h"

namespace virp::rtr_bridge {
namespace {

std::string Written(const RecordsState::Mark& mark) {
  std::string out;
  AppendSaved(out, std::uint64_t{mark.stopped ? 1U : 0U});
  AppendSaved(out, mark.complete_until);
  return out;
}

}  // namespace

std::string RecordsState::Save() const {
  const MutexLock lock(mutex_);
  return last_ ? Written(*last_) : std::string();
}

absl::Status RecordsState::Load(std::string_view saved) {
  if (!saved.empty()) return ReplayNote(saved);
  const MutexLock lock(mutex_);
  last_.reset();
  return absl::OkStatus();
}

absl::Status RecordsState::ReplayNote(std::string_view note) {
  StateReader reader{note};
  const std::uint64_t stopped = reader.Number();
  const UnixNanos complete_until = reader.Number();
  if (reader.broken || !reader.left.empty() || stopped > 1)
    return DataLoss("the spool's note on the bridge's records is damaged");
  Set({stopped == 1, complete_until});
  return absl::OkStatus();
}

std::optional<RecordsState::Mark> RecordsState::last() const {
  const MutexLock lock(mutex_);
  return last_;
}

void RecordsState::Set(const Mark& mark) {
  const MutexLock lock(mutex_);
  last_ = mark;
}

deliver::Outbox::Note RecordsState::NoteOf(const Mark& mark) const {
  return {std::string(tag()), Written(mark)};
}

}  // namespace virp::rtr_bridge
