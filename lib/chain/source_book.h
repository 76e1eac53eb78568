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
#include "lib/chain/channel.h"
#include "lib/chain/control.h"
#include "lib/chain/entry.h"
#include "lib/chain/subject.h"
#include "lib/frame/frame.h"
#include "lib/frame/reason.h"

namespace virp::chain {

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
  std::uint64_t registered_at = 0;  // chain sequence of its registration entry
  frame::SourceId id{};
  std::uint64_t short_id = 0;
  bool sent_v2 = false;  // version 1 is a DOWNGRADE from then on
  // Operator-admitted ranges of LATE_KEY frames: (epoch, from, to).
  struct Admitted {
    std::uint64_t epoch, from, to;
    bool operator==(const Admitted&) const = default;
  };
  std::vector<Admitted> admitted;
  bool MayBeCarriedBy(std::string_view identity) const;
  bool operator==(const Source&) const = default;
};

// What acceptance says of a frame with a good tag: everything that Apply will check of the entry that it becomes.
struct Admission {
  frame::Reason reason = frame::Reason::kNone;  // refused: why
  Placement placement;                          // kNext, kAfterGap, kLate or, with reason kNone, kHeld
  std::uint8_t flags = 0;                       // the entry's result byte
};

// Not thread-safe by itself: one writer, or many readers. Copies are independent of each other and may go to other
// threads.
//
// Every `receipt` is the receive time that the entry gets or has: its received_us times 1,000, and nothing finer or
// earlier. A verifier has no other clock, so a rule that was asked with another time may be broken in its eyes.
class SourceBook {
 public:
  // `track_subjects`: whether LastOfSubject is kept; a book that is fed without payloads cannot know.
  explicit SourceBook(std::string origin, bool track_subjects = true);
  SourceBook(const SourceBook&);  // costs a few reference counts: what both hold is shared until one of them changes it
  SourceBook& operator=(const SourceBook&);
  SourceBook(SourceBook&&) noexcept;
  SourceBook& operator=(SourceBook&&) noexcept;
  ~SourceBook();

  using SourceTable = StringMap<std::shared_ptr<const Source>>;  // by name
  // The immutable table; a new one is made when a registration, key or source event is applied, and when a source sends
  // version 2 for the first time. Generation counts them.
  std::shared_ptr<const SourceTable> table() const;
  std::uint64_t generation() const;

  const std::string& origin() const;
  std::uint64_t size() const;              // entries applied
  std::uint64_t last_received_us() const;  // of the newest entry: the next one's is not below it; 0 for an empty chain
  std::shared_ptr<const Source> FindByName(std::string_view name) const;
  std::shared_ptr<const Source> FindById(const frame::SourceId& id) const;
  std::shared_ptr<const Source> FindByShortId(std::uint64_t id) const;
  // Null when nothing of this source is held, no beat spoke of it and no alarm stood. Valid until the next Apply.
  const Channel* FindChannel(std::uint64_t short_id) const;

  // Acceptance step 2 without duplicates, first reason first: may this source speak, through this carrier (NOT_BOUND is
  // looked for before all others), with this frame version and, in version 2, key version and suite, at this time? For
  // version 1 choose the key with AcceptedVersions.
  static frame::Reason CheckSource(const Source& source, const frame::Header& header, std::string_view carrier,
                                   UnixNanos receipt);
  // `admitted_late` (may be null): an operator's admission made a LATE_KEY frame pass.
  static frame::Reason CheckKeyVersion(const Source& source, std::uint32_t version, const frame::Header& header,
                                       std::uint64_t epoch, UnixNanos receipt, bool* admitted_late);
  // Version 1: versions that may have made a tag now, newest first. When there is none, the reason is CheckKeyVersion's
  // for the newest HMAC version (KEY_VERSION_UNKNOWN without any). `epoch`: the deliverer's, for admissions.
  static std::vector<std::uint32_t> AcceptedVersions(const Source& source, const frame::Header& header,
                                                     UnixNanos receipt, std::uint64_t epoch = 0);

  // Steps 4 and 5 for a frame with a good tag; `epoch` is the frame's own (version 2) or the deliverer's (version 1).
  // kHeld says only that the number is taken: compare the bytes with the entry's.
  Placement Place(const Source& source, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt) const;

  // Flag bits of a frame about to be entered: the statement's, CLOCK_SUSPECT, and SCOPE_VIOLATION of a beat, gap or
  // alarm that speaks for a source its signer has nothing to do with, of a type that is not registered, that version 1
  // may not send or that only the O-Node signs. ADMITTED_LATE is CheckKeyVersion's to say and not among them. `payload`
  // may be absent for types other than 19 and 22 to 26.
  std::uint8_t Flags(const Source& source, const frame::Header& header, std::uint64_t epoch, UnixNanos receipt,
                     const Statement& statement, const std::optional<frame::Value>& payload) const;

  // The leader's decision in one call, for a frame whose tag is good under `key_version` and whose carrier was checked:
  // all of the above in the order of acceptance, with the newest table. What it lets pass, Apply takes.
  Admission Admit(const Source& source, const frame::Header& header, std::uint64_t epoch, std::uint32_t key_version,
                  UnixNanos receipt, const Statement& statement, const std::optional<frame::Value>& payload) const;

  // Whether the O-Node may enter this event now; Apply asks the same. AlreadyExists (the name, or its 8 bytes, are
  // taken), NotFound (no such source or key version), InvalidArgument (CheckRegistration, CheckKeyStatement, types that
  // only the O-Node signs), FailedPrecondition (a downgrade of the suite, a version that does not rise, another first
  // key, the O-Node's own source suspended or carried, no epoch to reset).
  absl::Status CheckSourceEvent(const SourceEvent& event) const;
  absl::Status CheckKeyEvent(const KeyEvent& event) const;

  // True when a beat or alarm signed by `signer` counts for `about` (apis.md, "Heartbeats and age").
  static bool MaySpeakFor(const Source& signer, const Source& about, std::string_view origin);

  // Chain sequence of the newest entry of this source / subject, kNone when there is none. LastOfSubject only when the
  // book was made to track subjects.
  std::uint64_t LastOfSource(std::uint64_t short_id) const;
  std::uint64_t LastOfSubject(std::uint64_t subject_id) const;

  // Folds one checked entry: its hashes, its tag and that header and frame agree are the caller's matter (ChainWalk).
  // `frame` is the entry's decoded frame, `statement` what ReadStatement said, `payload` needed when the type is one
  // that steers the chain (19 and 22 to 26). DataLoss when the entry breaks a rule of sequence, source, key or scope:
  // acceptance never enters such an entry, VerifyChain reports it. The book is unchanged then.
  absl::Status Apply(const Entry& entry, const frame::Frame& frame, const Statement& statement,
                     const std::optional<frame::Value>& payload);

  // Mutations by request_id that the chain holds: chain sequence of the first entry that answered it.
  std::optional<std::uint64_t> FindRequest(std::string_view request_id) const;

  std::vector<std::shared_ptr<const Source>> Sources() const;  // by name

  // Same origin and same state, whichever way it came about.
  friend bool operator==(const SourceBook& a, const SourceBook& b);

 private:
  friend class ChainWalk;
  struct Impl;  // lib/chain/book_impl.h
  struct Checked;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::chain
