// All that acceptance and verification know of the sources of one chain: registrations, key versions, epochs, gaps,
// beats' high-water marks and channel states. It is a fold over the chain's entries and nothing else: two books that
// applied the same entries are equal, so leader, follower, restart and offline verifier agree.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/hash_map.h"
#include "lib/chain/control.h"
#include "lib/chain/entry.h"
#include "lib/chain/subject.h"
#include "lib/frame/frame.h"
#include "lib/frame/reason.h"

namespace virp::chain {

inline constexpr std::uint64_t kSkewNanos = 60'000'000'000;  // how far a clock may be off before it is suspect

struct KeyState {
  KeyStatement statement;
  std::optional<UnixNanos> sign_until;         // frame times after it are LATE_KEY
  std::optional<UnixNanos> compromised_since;  // receive time
  bool operator==(const KeyState&) const = default;
};

// The part of a source that changes by registration, key and source events only. Immutable once published: streams
// check frames against it without a lock.
struct Source {
  Registration registration;
  std::map<std::uint32_t, KeyState> keys;
  bool suspended = false;
  std::uint64_t registered_at = 0;             // chain sequence of its registration entry
  frame::SourceId id{};
  std::uint64_t short_id = 0;
  bool sent_v2 = false;                        // version 1 is a DOWNGRADE from then on
  // Operator-admitted ranges of LATE_KEY frames: (epoch, from, to).
  struct Admitted { std::uint64_t epoch, from, to; bool operator==(const Admitted&) const = default; };
  std::vector<Admitted> admitted;
  bool MayBeCarriedBy(std::string_view identity) const;
  bool operator==(const Source&) const = default;
};

// Numbers that are missing although a later one is held: one gap entry, or what late frames left of it.
struct MissingRange {
  std::uint64_t from = 0, to = 0;              // inclusive
  std::uint64_t gap_entry = 0;                 // chain sequence of the gap entry
  UnixNanos latest_before = 0;                 // latest frame time among held frames with lower numbers
  Gap::Why why = Gap::Why::kMissing;           // OVERFLOW and SHUTDOWN are the source's own word
  bool operator==(const MissingRange&) const = default;
};

struct EpochState {
  std::uint64_t epoch = 0;
  std::uint64_t next = 1;                      // lowest number above all held and missing ones
  UnixNanos latest_time = 0;                   // latest frame time held
  std::vector<MissingRange> missing;           // ascending
  std::uint64_t stated = 0;                    // highest last_sequence that a counting beat named
  bool operator==(const EpochState&) const = default;
};

struct ActiveAlarm {
  std::string cause;
  ChannelState state = ChannelState::kAlarmed;
  std::uint64_t entry = 0;                     // chain sequence of the newest alarm entry with this cause
  std::uint64_t count = 0;
  bool operator==(const ActiveAlarm&) const = default;
};

struct Channel {
  std::map<std::uint64_t, EpochState> epochs;  // by epoch; older ones only while something in them is missing
  std::uint64_t newest_epoch = 0;              // 0: nothing held yet
  std::uint64_t reset_epoch = 0;               // epochs up to here were declared poisoned (ResetSourceEpoch)
  UnixNanos latest_time_ever = 0;              // version 1: "later than every frame accepted from this source"
  std::uint64_t last_entry = kNone;            // chain sequence of the newest entry
  std::uint64_t held = 0;                      // entries in the chain
  std::map<std::string, ActiveAlarm> alarms;   // by cause
  std::int64_t clock_offset_ns = 0;            // newest frame time minus receipt
  ChannelState State() const;                  // worst of alarms; KEY_MISMATCH: alarmed and nothing held
  bool operator==(const Channel&) const = default;
};

// Where a verified frame belongs among its source's numbers (frames.md, acceptance 4 and 5).
struct Placement {
  enum class Where : std::uint8_t {
    kNext,        // the next number, or the first of a new epoch with nothing missing before it
    kAfterGap,    // accepted with `gaps` in front of it
    kLate,        // fills a number of a gap entry
    kHeld,        // a frame with this number is held: same bytes duplicate, other bytes EQUIVOCATION (version 1: REPLAYED)
    kRefused,     // `reason` says why
  };
  Where where = Where::kRefused;
  std::vector<Gap> gaps;                       // to be entered first, in this order
  frame::Reason reason = frame::Reason::kNone;
};

class SourceBook {
 public:
  explicit SourceBook(std::string origin);
  SourceBook(const SourceBook&);               // deep in what changes per frame, shared in what does not
  SourceBook& operator=(const SourceBook&);
  SourceBook(SourceBook&&) noexcept;
  SourceBook& operator=(SourceBook&&) noexcept;
  ~SourceBook();

  using SourceTable = StringMap<std::shared_ptr<const Source>>;  // by name
  // The immutable table; a new one is made when a registration, key or source event is applied. Generation counts them.
  std::shared_ptr<const SourceTable> table() const;
  std::uint64_t generation() const;

  const std::string& origin() const;
  std::uint64_t size() const;                  // entries applied
  std::shared_ptr<const Source> FindByName(std::string_view name) const;
  std::shared_ptr<const Source> FindById(const frame::SourceId& id) const;
  std::shared_ptr<const Source> FindByShortId(std::uint64_t id) const;
  // Null when nothing of this source is held and no alarm stands.
  const Channel* FindChannel(std::uint64_t short_id) const;

  // Acceptance step 2 without duplicates: may this source speak, through this carrier, with this frame version, key
  // version and suite, at this time? `receipt` in ns. For version 1 pass key_version 0 and choose with AcceptedVersions.
  static frame::Reason CheckSource(const Source& source, const frame::Header& header, std::string_view carrier, UnixNanos receipt);
  static frame::Reason CheckKeyVersion(const Source& source, std::uint32_t version, const frame::Header& header,
                                       std::uint64_t epoch, UnixNanos receipt, bool* admitted_late);
  // Version 1: versions that may have made a tag now, newest first.
  static std::vector<std::uint32_t> AcceptedVersions(const Source& source, const frame::Header& header, UnixNanos receipt);

  // Steps 4 and 5 for a frame with a good tag; `epoch` is the frame's own (version 2) or the deliverer's (version 1).
  Placement Place(const Source& source, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt) const;

  // All Flag bits of a frame about to be entered: the statement's, CLOCK_SUSPECT, and SCOPE_VIOLATION of a beat or
  // alarm that speaks for a source its signer has nothing to do with, or of a type that is not registered.
  std::uint8_t Flags(const Source& source, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt,
                     const Statement& statement, const std::optional<frame::Value>& payload) const;

  // True when a beat or alarm signed by `signer` counts for `about` (apis.md, "Heartbeats and age").
  static bool MaySpeakFor(const Source& signer, const Source& about, std::string_view origin);

  // Chain sequence of the newest entry of this source / subject, kNone when there is none. Only when the book was made to
  // track subjects (it is by default; an offline verifier of a range may switch it off).
  std::uint64_t LastOfSource(std::uint64_t short_id) const;
  std::uint64_t LastOfSubject(std::uint64_t subject_id) const;

  // Folds one checked entry. `frame` is the entry's decoded frame, `statement` what ReadStatement said (its payload when
  // the type is one that steers the chain). DataLoss when the entry breaks a rule that makes the fold meaningless (a
  // registration not by the O-Node, a key event that does not parse): VerifyChain reports it, acceptance never enters it.
  absl::Status Apply(const Entry& entry, const frame::Frame& frame, const Statement& statement,
                     const std::optional<frame::Value>& payload);

  // Mutations by request_id that the chain holds: chain sequence of the entry that answered it.
  std::optional<std::uint64_t> FindRequest(std::string_view request_id) const;

  std::vector<std::shared_ptr<const Source>> Sources() const;  // by name

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::chain
