// One source's channel: which of its numbers are held, missing or stated by beats, and which alarms stand. The rules of
// frames.md "Acceptance" 4 and 5 (docs/formats/frame.md), for acceptance and for verification alike. Plain values, pure
// functions; thread-safe as values are.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/cow.h"
#include "lib/chain/control.h"
#include "lib/chain/entry.h"
#include "lib/frame/frame.h"
#include "lib/frame/reason.h"

namespace virp::chain {

inline constexpr std::uint64_t kSkewNanos = 60'000'000'000;  // how far a clock may be off before it is suspect

// Numbers that are missing although a later one is held: one gap entry, or what late frames left of it.
struct MissingRange {
  std::uint64_t from = 0, to = 0;     // inclusive
  std::uint64_t gap_entry = 0;        // chain sequence of the gap entry
  UnixNanos latest_before = 0;        // latest frame time among held frames with lower numbers
  Gap::Why why = Gap::Why::kMissing;  // OVERFLOW and SHUTDOWN are the source's own word
  bool operator==(const MissingRange&) const = default;
};

struct EpochState {
  std::uint64_t epoch = 0;
  std::uint64_t next = 1;             // lowest number above all held and missing ones
  UnixNanos latest_time = 0;          // latest frame time held; 0: none held yet
  UnixNanos latest_before = 0;        // version 1: latest frame time of all earlier runs; a frame of this run is later
  std::vector<MissingRange> missing;  // ascending, disjoint; latest_before never falls from one to the next
  std::uint64_t stated = 0;           // highest last_sequence that a counting beat named
  // Where `number` is missing, or null.
  const MissingRange* FindMissing(std::uint64_t number) const;
  bool operator==(const EpochState&) const = default;
};

struct ActiveAlarm {
  std::string cause;
  ChannelState state = ChannelState::kAlarmed;  // ALARMED or BLACK
  std::uint64_t entry = 0;                      // chain sequence of the newest entry that raised it
  std::uint64_t count = 0;
  bool operator==(const ActiveAlarm&) const = default;
};

struct Channel {
  std::map<std::uint64_t, EpochState>
      epochs;                      // by epoch: the newest one, and older ones while something in them is missing
  std::uint64_t newest_epoch = 0;  // the one opened last; 0: nothing held yet
  std::uint64_t floor_epoch = 0;   // a new epoch is above it: newest_epoch, unless that was declared poisoned
  std::uint64_t reset_epoch = 0;   // last ResetSourceEpoch: epochs opened until then, from this one on, bar no other
  Cow<std::vector<std::uint64_t>> opened;               // every epoch ever opened, in that order: none is opened twice
  std::map<std::uint64_t, std::uint64_t> stated_ahead;  // what beats say of epochs that no frame has opened yet
  UnixNanos latest_time_ever = 0;                       // version 1: "later than every frame accepted from this source"
  std::uint64_t last_entry = kNone;                     // chain sequence of the newest entry
  std::uint64_t held = 0;                               // entries in the chain
  std::map<std::string, ActiveAlarm> alarms;            // by cause
  std::int64_t clock_offset_ns = 0;                     // newest frame time minus receipt

  ChannelState State() const;  // worst of alarms; KEY_MISMATCH: bad tags and nothing held
  bool WasOpened(std::uint64_t epoch) const;
  bool operator==(const Channel&) const = default;
};

// Where a verified frame belongs among its source's numbers.
struct Placement {
  enum class Where : std::uint8_t {
    kNext,      // the next number, or the first of a new epoch with nothing missing before it
    kAfterGap,  // accepted with `gaps` in front of it
    kLate,      // fills a number of a gap entry
    kHeld,     // a frame with this number is held: same bytes duplicate, other bytes EQUIVOCATION (version 1: REPLAYED)
    kRefused,  // `reason` says why
  };
  Where where = Where::kRefused;
  std::vector<Gap> gaps;  // to be entered first, in this order; `source` is left empty
  frame::Reason reason = frame::Reason::kNone;
};

// Where the frame with this header belongs. `receipt` is the receive time of the entry that it would become.
Placement PlaceFrame(const Channel& channel, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt);

// CLOCK_SUSPECT: ahead of receipt by more than the skew, or as much behind a held frame of its epoch with a lower
// number.
bool IsClockSuspect(const Channel* channel, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt);

// Enters a frame that PlaceFrame found to be kNext or kLate.
void EnterFrame(Channel& channel, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt,
                std::uint64_t entry);

// Why the O-Node may not enter this gap now; empty when it may: it continues the newest epoch's numbers, or begins an
// epoch that could be opened and in front of which nothing else is due.
std::string WhyNoGap(const Channel& channel, const Gap& gap, UnixNanos receipt);
void EnterGap(Channel& channel, const Gap& gap, std::uint64_t entry);

// The source's own word for what it lost: it names the reason of numbers that are missing already, and no others.
void EnterLoss(Channel& channel, const Gap& loss);

// A beat that counts named this number. It says nothing new when a higher one is known, or of an epoch that could not
// be opened at `receipt`.
bool BeatSaysMore(const Channel& channel, std::uint64_t epoch, std::uint64_t last_sequence, UnixNanos receipt);
void EnterBeat(Channel& channel, std::uint64_t epoch, std::uint64_t last_sequence);

// Epochs from `epoch` on that were opened so far bar no other epoch any more, and times later than `receipt` no run.
void ResetEpochs(Channel& channel, std::uint64_t epoch, UnixNanos receipt);

void RaiseAlarm(Channel& channel, std::string_view cause, ChannelState state, std::uint64_t count, std::uint64_t entry);

}  // namespace virp::chain
