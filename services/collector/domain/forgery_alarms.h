// Forged frames at the collector's door become alarms of its own source: the first about a source at once, then at most
// one a minute, with a count.
#pragma once

#include <string>
#include <string_view>

#include "lib/base/mutex.h"
#include "lib/chain/alarm_aggregator.h"
#include "lib/deliver/outbox.h"

namespace virp::collector {

// The minute holds over restarts, too: when the last one was signed is in the spool. What came after it and was not
// told yet is counted anew. Thread-safe.
class ForgeryAlarms final : public deliver::OutboxState {
 public:
  explicit ForgeryAlarms(std::string own_source) : own_source_(std::move(own_source)) {}

  // `bytes` claim to be a frame of `source`, which this collector takes frames from, and its key did not sign them.
  void Note(std::string_view source, std::string_view bytes);

  // Signs what is due at `now`, all or none; after an error, which is Outbox::Emit's, nothing has happened.
  absl::Status Emit(deliver::Outbox& outbox, UnixNanos now);

  std::string_view tag() const override { return "forgery-alarms"; }
  void BeforeSave() override;
  void AfterSave() override;
  std::string Save() const override;
  absl::Status Load(std::string_view saved) override;
  absl::Status ReplayNote(std::string_view) override { return absl::OkStatus(); }  // it writes none
  absl::Status ReplayFrame(std::string_view source, const frame::Frame& frame, std::uint64_t epoch) override;

 private:
  const std::string own_source_;
  Mutex mutex_;  // taken before the outbox's
  chain::AlarmAggregator alarms_ ABSL_GUARDED_BY(mutex_);
};

// Signs them as observations of the collector's own source, all or none.
absl::Status EmitAlarms(deliver::Outbox& outbox, std::string_view own_source, const std::vector<chain::Alarm>& alarms);

}  // namespace virp::collector
