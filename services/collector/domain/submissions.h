// Request ids of Submit that were answered, durable with the spool: a repeat gets the first answer.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/mutex.h"
#include "lib/deliver/outbox.h"

namespace virp::collector {

// Remembers the last 10,000 requests. Thread-safe.
class Submissions final : public deliver::OutboxState {
 public:
  static constexpr std::size_t kRemembered = 10'000;

  struct Answer {
    Hash request{};  // SHA-256 of what was asked
    std::vector<deliver::Receipt> receipts;
  };

  std::string_view tag() const override { return "submit"; }
  std::string Save() const override;
  absl::Status Load(std::string_view saved) override;
  absl::Status ReplayNote(std::string_view note) override;
  absl::Status ReplayFrame(std::string_view, const frame::Frame&, std::uint64_t) override { return absl::OkStatus(); }

  std::optional<Answer> Find(std::string_view key) const;  // identity, LF, request id
  void Remember(std::string_view key, const Answer& answer);
  static deliver::Outbox::Note NoteOf(std::string_view key, const Answer& answer);

 private:
  absl::Status Add(std::string_view encoded) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  mutable Mutex mutex_;
  std::map<std::string, Answer, std::less<>> answers_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> order_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::collector
