// What a router had been served by a time, and what it had confirmed, from the records of an RTR bridge
// (docs/formats/payloads.md). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"

namespace virp::virpctl {

// One record about a router.
struct RtrTold {
  std::uint64_t entry = 0;  // in the chain
  UnixNanos time = 0;       // when it was: of a record behind a summary not when it was made
  std::string payload, event, transport, identity, why, set;
  std::uint64_t connection = 0, version = 0, session = 0, serial = 0;
  UnixNanos first = 0, last = 0;  // of a summary

  auto data() const { return std::tuple(version, session, serial); }
};
// `observed` is the time in the frame. Errors as PayloadReader::Read.
absl::StatusOr<RtrTold> ReadRtrTold(std::uint64_t entry, UnixNanos observed, const std::string& payload);

// Records of one router, given from the newest to the oldest. Not thread-safe.
class RtrHistory {
 public:
  // At most `limit` records are kept to be shown.
  RtrHistory(UnixNanos by, std::size_t limit) : by_(by), limit_(limit) {}

  void Take(RtrTold told);
  // A record about the bridge itself (NAME/cache): it may say that records are missing.
  absl::Status TakeCache(const std::string& payload);
  // Nothing older can change the answer or what is shown.
  bool enough() const { return told_.size() >= limit_ && sent_ && confirmed_ && !confirmed_set().empty(); }

  UnixNanos by() const { return by_; }
  const std::vector<RtrTold>& told() const { return told_; }    // newest first
  const std::optional<RtrTold>& sent() const { return sent_; }  // the newest End of Data that was written to it
  const std::optional<RtrTold>& confirmed() const { return confirmed_; }
  // The set that was confirmed; empty while its End of Data is not among the records.
  std::string confirmed_set() const;
  // Why the answer may be an older one than the truth: what is missing between `sent` and `by`. Empty when nothing is.
  std::vector<std::string> missing() const;

 private:
  struct Hole {
    UnixNanos since = 0, until = 0;
    std::string why;
  };

  const UnixNanos by_;
  const std::size_t limit_;
  std::vector<RtrTold> told_, ends_;  // ends_: all End of Data so far
  std::optional<RtrTold> sent_, confirmed_;
  std::vector<Hole> holes_;
};

}  // namespace virp::virpctl
