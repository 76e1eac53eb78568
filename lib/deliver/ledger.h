// What became of each spooled frame that is not freed yet. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "lib/frame/reason.h"

namespace virp::deliver {

class Audit;

class Ledger {
 public:
  enum class State : std::uint8_t { kUnsent, kSent, kHeld, kAppended, kDropped };

  // A frame was read from the spool, in order; false when it is settled already and must not be sent again.
  bool Note(std::uint64_t number, std::string_view source);
  void MarkSent(std::uint64_t number);
  // True while frames of this source are held back: later ones queue up behind them.
  bool IsHeld(std::string_view source) const { return held_.contains(source); }

  // Answers. False when no such frame is open: the O-Node answered what was not asked.
  bool Appended(std::uint64_t number, std::uint64_t chain_sequence);
  bool Refused(std::uint64_t number, frame::Reason reason);
  void Hold(std::uint64_t number);
  std::string_view SourceOf(std::uint64_t number) const;  // empty when no such frame is open

  // A connection ended: all but what was refused for good is to be offered again. An answer that no checkpoint has
  // shown yet was heard on that connection, and its place is known to the audit of that connection only.
  void StartOver();

  // Highest number up to which everything is settled and shown by the audit; what lies behind is forgotten. `read` is
  // the highest number read from the spool.
  std::uint64_t Settle(const Audit& audit, std::uint64_t read);
  // Whether everything is answered for good, whatever the audit says.
  bool AllAnswered() const;

  std::size_t unanswered() const { return sent_; }
  std::size_t held_frames() const;
  const std::map<std::string, std::uint64_t, std::less<>>& held() const { return held_; }

 private:
  struct Open {
    std::uint64_t number = 0;
    std::string source;
    State state = State::kUnsent;
    std::uint64_t chain_sequence = 0;
  };
  Open* Find(std::uint64_t number);
  const Open* Find(std::uint64_t number) const;

  std::deque<Open> open_;                                   // ascending numbers
  std::map<std::string, std::uint64_t, std::less<>> held_;  // frames held back, by source
  std::size_t sent_ = 0;
};

}  // namespace virp::deliver
