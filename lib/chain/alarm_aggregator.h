// Turns bad events into alarm entries without letting whoever causes them fill the chain: the first of a kind at once,
// then at most one entry a minute for each source and cause, with a count. A value; not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/chain/control.h"

namespace virp::chain {

class AlarmAggregator {
 public:
  static constexpr std::uint64_t kIntervalNanos = 60'000'000'000;

  // One event about a registered source. `first` and `last` are SHA-256 values of frames, where there are any.
  void Note(std::string_view source, std::string_view cause, ChannelState state, const Hash& first, const Hash& last);

  // An alarm that stands in the chain, and when it was entered.
  void Entered(std::string_view source, std::string_view cause, ChannelState state, UnixNanos at);

  struct Standing {
    std::string_view source, cause;
    UnixNanos at = 0;
  };
  // What was entered last of each source and cause, for whoever keeps it over a restart; valid until the next change.
  std::vector<Standing> entered() const;

  // An operator cleared it: the next event is entered at once.
  void Cleared(std::string_view source, std::string_view cause);

  // Alarms to be entered now; their counts start again.
  std::vector<Alarm> TakeDue(UnixNanos now);

 private:
  struct Pending {
    ChannelState state = ChannelState::kAlarmed;
    std::uint64_t count = 0;
    std::string first, last;
    UnixNanos entered = 0;  // when the last entry was taken; 0 never
    ChannelState entered_state = ChannelState::kOk;
  };
  std::map<std::pair<std::string, std::string>, Pending, std::less<>> pending_;  // by source and cause
};

}  // namespace virp::chain
