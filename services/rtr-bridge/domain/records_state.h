// What the spool remembers of the bridge's records over a start: how far they are complete, and whether the last start
// ended in order.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/deliver/outbox.h"

namespace virp::rtr_bridge {

// Thread-safe. Whoever spools a mark as a note sets it here once it is spooled: a snapshot that is taken in between has
// the mark before, which claims less.
class RecordsState final : public deliver::OutboxState {
 public:
  struct Mark {
    bool stopped = false;          // behind the last record of a start
    UnixNanos complete_until = 0;  // all that was told before is spooled, or is said to be lost
    friend bool operator==(const Mark&, const Mark&) = default;
  };

  std::string_view tag() const override { return "rtr-records"; }
  std::string Save() const override;
  absl::Status Load(std::string_view saved) override;
  absl::Status ReplayNote(std::string_view note) override;
  absl::Status ReplayFrame(std::string_view, const frame::Frame&, std::uint64_t) override { return absl::OkStatus(); }

  // Nothing before the first mark.
  std::optional<Mark> last() const;
  void Set(const Mark& mark);
  deliver::Outbox::Note NoteOf(const Mark& mark) const;

 private:
  mutable Mutex mutex_;
  std::optional<Mark> last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::rtr_bridge
