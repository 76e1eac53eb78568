#include "lib/chain/entry.h"

#include <algorithm>
#include <cstring>

#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::chain {
namespace {

constexpr std::string_view kTag = "onode/1\n";
constexpr std::string_view kLeafPrefix{"\0", 1};  // RFC 9162, 2.1.1
constexpr std::uint8_t kAllFlags = kClockSuspect | kScopeViolation | kOpaque | kAdmittedLate;

// Offsets of the header's fields (docs/formats/chain.md, "Entry").
enum Offset : std::size_t {
  kOriginAt = 8,
  kSequenceAt = 24,
  kPreviousAt = 32,
  kReceivedAt = 64,
  kSourceAt = 72,
  kEpochAt = 80,
  kSourceSequenceAt = 88,
  kSourcePreviousAt = 96,
  kSubjectPreviousAt = 104,
  kKeyLineAt = 112,
  kKeyVersionAt = 116,
  kKindAt = 120,
  kCheckedByAt = 121,
  kResultAt = 122,
  kSpellingAt = 123,
  kFrameLengthAt = 124,
};

absl::Status CheckShape(std::string_view bytes) {
  if (bytes.size() < kEntryHeaderSize || bytes.size() > kMaxEntry) {
    return InvalidArgument("an entry has {} to {} bytes, got {}", kEntryHeaderSize, kMaxEntry, bytes.size());
  }
  if (!bytes.starts_with(kTag))
    return InvalidArgument("an entry starts with \"onode/1\" and a line feed; this does not");
  const auto frame_length = LoadBe<std::uint32_t>(bytes.data() + kFrameLengthAt);
  if (frame_length != bytes.size() - kEntryHeaderSize) {
    return InvalidArgument("the entry states a frame of {} bytes and holds {}", frame_length,
                           bytes.size() - kEntryHeaderSize);
  }
  return absl::OkStatus();
}

// Values that only a later version may define: a reader that does not know them must not guess.
absl::Status CheckValues(const char* at) {
  const auto byte = [at](std::size_t offset) { return static_cast<std::uint8_t>(at[offset]); };
  if (const auto line = LoadBe<std::uint32_t>(at + kKeyLineAt); line != kKeyLine) {
    return InvalidArgument("the entry's key line is {}; only {} is defined", line, kKeyLine);
  }
  if (byte(kKindAt) > static_cast<std::uint8_t>(Kind::kDecision)) {
    return InvalidArgument("the entry's kind is {}; 0 to 6 are defined", byte(kKindAt));
  }
  if (byte(kCheckedByAt) < 1 || byte(kCheckedByAt) > 2) {
    return InvalidArgument("the entry was checked by suite {}; 1 and 2 are defined", byte(kCheckedByAt));
  }
  if ((byte(kResultAt) & ~kAllFlags) != 0) {
    return InvalidArgument("the entry's result has undefined flags: {:#04x}", byte(kResultAt));
  }
  if (byte(kSpellingAt) < 1 || byte(kSpellingAt) > 4) {
    return InvalidArgument("the entry's frame spelling is {}; 1 to 4 are defined", byte(kSpellingAt));
  }
  return absl::OkStatus();
}

}  // namespace

Kind KindOf(frame::Type type) {
  switch (type) {
    case frame::Type::kGap:
      return Kind::kGap;
    case frame::Type::kChannelAlarm:
    case frame::Type::kAlarmCleared:
      return Kind::kAlarm;
    case frame::Type::kKeyEvent:
      return Kind::kKeyEvent;
    case frame::Type::kSourceEvent:
      return Kind::kSourceEvent;
    case frame::Type::kForeignCheckpoint:
      return Kind::kCheckpoint;
    case frame::Type::kDecision:
      return Kind::kDecision;
    default:
      return Kind::kObservation;
  }
}

std::array<std::uint8_t, 16> OriginIdOf(std::string_view origin) {
  const Hash hash = crypto::Sha256(origin);
  std::array<std::uint8_t, 16> id;
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

Hash GenesisOf(std::string_view origin) {
  return crypto::Sha256({kLeafPrefix, "onode/1 genesis\n", origin, "\n"});
}

Hash LeafHash(std::string_view entry_bytes) {
  return crypto::Sha256({kLeafPrefix, entry_bytes});
}

absl::StatusOr<Entry> DecodeEntry(std::string_view bytes) {
  RETURN_IF_ERROR(CheckShape(bytes));
  const char* at = bytes.data();
  RETURN_IF_ERROR(CheckValues(at));
  Entry entry;
  EntryHeader& h = entry.header;
  std::memcpy(h.origin_id.data(), at + kOriginAt, h.origin_id.size());
  h.sequence = LoadBe<std::uint64_t>(at + kSequenceAt);
  std::memcpy(h.previous.data(), at + kPreviousAt, h.previous.size());
  h.received_us = LoadBe<std::uint64_t>(at + kReceivedAt);
  h.source = LoadBe<std::uint64_t>(at + kSourceAt);
  h.source_epoch = LoadBe<std::uint64_t>(at + kEpochAt);
  h.source_sequence = LoadBe<std::uint64_t>(at + kSourceSequenceAt);
  h.source_previous = LoadBe<std::uint64_t>(at + kSourcePreviousAt);
  h.subject_previous = LoadBe<std::uint64_t>(at + kSubjectPreviousAt);
  h.key_line = LoadBe<std::uint32_t>(at + kKeyLineAt);
  h.key_version = LoadBe<std::uint32_t>(at + kKeyVersionAt);
  h.kind = static_cast<Kind>(at[kKindAt]);
  h.checked_by = static_cast<frame::Suite>(at[kCheckedByAt]);
  h.result = static_cast<std::uint8_t>(at[kResultAt]);
  h.spelling = static_cast<frame::Spelling>(at[kSpellingAt]);
  entry.bytes = bytes;
  entry.frame = bytes.substr(kEntryHeaderSize);
  return entry;
}

std::string EncodeEntry(const EntryHeader& h, std::string_view frame) {
  std::string out;
  out.reserve(kEntryHeaderSize + frame.size());
  out.resize(kEntryHeaderSize);
  char* at = out.data();
  std::memcpy(at, kTag.data(), kTag.size());
  std::memcpy(at + kOriginAt, h.origin_id.data(), h.origin_id.size());
  StoreBe(at + kSequenceAt, h.sequence);
  std::memcpy(at + kPreviousAt, h.previous.data(), h.previous.size());
  StoreBe(at + kReceivedAt, h.received_us);
  StoreBe(at + kSourceAt, h.source);
  StoreBe(at + kEpochAt, h.source_epoch);
  StoreBe(at + kSourceSequenceAt, h.source_sequence);
  StoreBe(at + kSourcePreviousAt, h.source_previous);
  StoreBe(at + kSubjectPreviousAt, h.subject_previous);
  StoreBe(at + kKeyLineAt, h.key_line);
  StoreBe(at + kKeyVersionAt, h.key_version);
  at[kKindAt] = static_cast<char>(h.kind);
  at[kCheckedByAt] = static_cast<char>(h.checked_by);
  at[kResultAt] = static_cast<char>(h.result);
  at[kSpellingAt] = static_cast<char>(h.spelling);
  StoreBe(at + kFrameLengthAt, static_cast<std::uint32_t>(frame.size()));
  return out.append(frame);
}

}  // namespace virp::chain
