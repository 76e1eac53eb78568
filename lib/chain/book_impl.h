// Private to lib/chain: what a SourceBook is made of, and the two halves of Apply, which ChainWalk calls one by one to
// tell kinds of breaks apart.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lib/base/cow.h"
#include "lib/base/persistent_map.h"
#include "lib/chain/source_book.h"

namespace virp::chain {

// An entry that may be folded, or the rule that it breaks.
struct SourceBook::Checked {
  enum class Rule : std::uint8_t { kKept, kSequence, kSource };
  Rule broken = Rule::kKept;
  std::string detail;  // only when broken

  // What the fold needs again: the payload of an entry that steers the chain and counts.
  std::variant<std::monostate, SourceEvent, KeyEvent, Gap, Alarm, AlarmCleared, Heartbeat> control;
};

// Types whose payloads the fold reads; all others are folded by header alone.
constexpr bool SteersChain(frame::Type type) {
  return type == frame::Type::kKeyEvent || (type >= frame::Type::kGap && type <= frame::Type::kAlarmCleared);
}

struct SourceBook::Impl {
  struct Slot {
    std::shared_ptr<const Source> source;
    Cow<Channel> channel;
    friend bool operator==(const Slot& a, const Slot& b) {
      return (a.source == b.source || *a.source == *b.source) && a.channel == b.channel;
    }
  };

  Impl(std::string name, bool track)
      : origin(std::move(name)), track_subjects(track), table(std::make_shared<SourceTable>()) {}
  Impl(const Impl& other);

  std::string origin;
  bool track_subjects;
  std::uint64_t size = 0;
  std::uint64_t last_received_us = 0;
  std::uint64_t generation = 0;
  PersistentMap<Slot> slots;              // by short id
  PersistentMap<std::uint64_t> subjects;  // newest entry by subject id
  // By the first 8 bytes of the request id's SHA-256; whoever finds two ids with the same ones finds both here.
  PersistentMap<std::vector<std::pair<std::string, std::uint64_t>>> requests;

  // The table is changed in place while nobody else has seen it: a replay of many registrations copies it once.
  std::shared_ptr<SourceTable> table;
  mutable std::atomic<bool> table_is_shared{false};

  const Slot* Find(std::uint64_t short_id) const { return slots.Find(short_id); }
  const Slot* Find(std::string_view name) const;
  bool IsOwn(const Source& source) const { return source.registration.source == origin; }

  // An entry passes whose payload nobody reads: what the newest entry of a subject is cannot be known any more.
  void ForgetSubjects() {
    if (!track_subjects) return;
    track_subjects = false;
    subjects = {};
  }

  // First half: nothing is changed. `content`: whether `statement` was read from the payload; when it was not, the
  // flags that only the content earns are taken from the entry's word.
  Checked Check(const Entry& entry, const frame::Frame& frame, const Statement& statement,
                const std::optional<frame::Value>& payload, bool content) const;
  // Second half, for an entry that Check let pass.
  void Commit(const Entry& entry, const frame::Frame& frame, const Statement& statement, const Checked& checked);

  // book_rules.cc
  bool IsOutOfScope(const Source& source, const frame::Header& header,
                    const std::optional<frame::Value>& payload) const;
  bool SpeaksForStrangers(const Source& source, frame::Type type, const frame::Value& payload) const;
  std::uint8_t HeaderFlags(const Source& source, const frame::Header& header, std::uint64_t epoch,
                           UnixNanos receipt) const;
  Checked CheckFirst(const Entry& entry, const frame::Frame& frame, const std::optional<frame::Value>& payload) const;
  std::string WhyNotAllowed(const Source& source, const Entry& entry, const frame::Frame& frame,
                            const Statement& statement, const std::optional<frame::Value>& payload, bool content) const;
  Checked ReadControl(const Source& source, const Entry& entry, frame::Type type,
                      const std::optional<frame::Value>& payload) const;
  Checked CheckOwnGap(Gap gap, UnixNanos receipt) const;
  absl::Status CheckSourceEvent(const SourceEvent& event) const;
  absl::Status CheckRegistrationEvent(const SourceEvent& event) const;
  absl::Status CheckKeyEvent(const KeyEvent& event) const;

  // Changes a source by replacing it, in the table too.
  template <typename F>
  void ChangeSource(std::uint64_t short_id, F&& change);
  void Publish(std::uint64_t short_id, std::shared_ptr<const Source> source);
  Channel& ChannelOf(std::uint64_t short_id) { return slots.Mutable(short_id).channel.Mutable(); }

  void Fold(const SourceEvent& event, std::uint64_t entry, UnixNanos receipt);
  void Fold(const KeyEvent& event, std::uint64_t entry);
  void Fold(const Gap& gap, bool own, std::uint64_t entry);
  void Fold(const Alarm& alarm, const Source& signer, std::uint64_t entry);
  void Fold(const AlarmCleared& cleared);
  void Fold(const Heartbeat& heartbeat, const Source& signer, UnixNanos receipt);
  void Remember(const std::string& request_id, std::uint64_t entry);
};

inline UnixNanos ReceiptOf(const EntryHeader& header) {
  constexpr std::uint64_t kLimit = ~std::uint64_t{0} / 1000;
  return (header.received_us < kLimit ? header.received_us : kLimit) * 1000;
}

}  // namespace virp::chain
