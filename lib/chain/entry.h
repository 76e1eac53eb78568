// Entries of a VIRP chain: a fixed header of 128 bytes and the frame as it was received (docs/formats/chain.md). An
// entry's leaf hash is at once the Merkle leaf and the link that the next entry holds. Pure; thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/frame/frame.h"

namespace virp::chain {

inline constexpr std::size_t kEntryHeaderSize = 128;
inline constexpr std::size_t kMaxEntry = 65'535;
inline constexpr std::uint64_t kNone = ~std::uint64_t{0};  // "no previous entry"
inline constexpr std::uint32_t kKeyLine = 1;               // others are reserved

enum class Kind : std::uint8_t {
  kObservation = 0,
  kGap = 1,
  kAlarm = 2,
  kKeyEvent = 3,
  kSourceEvent = 4,
  kCheckpoint = 5,
  kDecision = 6,
};
Kind KindOf(frame::Type type);

// Bits of the result byte; 0 is verified with nothing odd.
enum Flag : std::uint8_t { kClockSuspect = 1, kScopeViolation = 2, kOpaque = 4, kAdmittedLate = 8 };

struct EntryHeader {
  std::array<std::uint8_t, 16> origin_id{};  // first 16 bytes of SHA-256(origin)
  std::uint64_t sequence = 0;                // in this chain, from 0
  Hash previous{};                           // leaf hash of the entry before, or the genesis value
  std::uint64_t received_us = 0;             // microseconds since the Unix epoch, never falling
  std::uint64_t source = 0;                  // short id
  std::uint64_t source_epoch = 0;
  std::uint64_t source_sequence = 0;
  std::uint64_t source_previous = kNone;   // chain sequence of this source's previous entry
  std::uint64_t subject_previous = kNone;  // chain sequence of this subject's previous entry
  std::uint32_t key_line = kKeyLine;
  std::uint32_t key_version = 0;
  Kind kind = Kind::kObservation;
  frame::Suite checked_by = frame::Suite::kHmacSha256;
  std::uint8_t result = 0;  // Flag bits
  frame::Spelling spelling = frame::Spelling::kV2;
};

struct Entry {
  EntryHeader header;
  std::string_view bytes;  // header and frame
  std::string_view frame;
};

// The three origin-bound constants of a chain.
std::array<std::uint8_t, 16> OriginIdOf(std::string_view origin);
Hash GenesisOf(std::string_view origin);
Hash LeafHash(std::string_view entry_bytes);  // SHA-256(0x00, entry)

// InvalidArgument when the bytes are not one entry: tag, lengths, values out of range. Does not decode the frame. The
// result borrows `bytes`.
absl::StatusOr<Entry> DecodeEntry(std::string_view bytes);
// The caller keeps the frame within kMaxEntry - kEntryHeaderSize bytes.
std::string EncodeEntry(const EntryHeader& header, std::string_view frame);

}  // namespace virp::chain
