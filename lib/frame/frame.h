// Observation frames: the signed unit that everything else carries byte for byte (docs/formats/frame.md).
// Pure functions over bytes, no I/O; thread-safe. A Frame borrows the bytes it was decoded from.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"

namespace virp::frame {

inline constexpr std::size_t kMaxPayload = 65'279;
inline constexpr std::size_t kMaxFrame = 64 + kMaxPayload + 64;  // fits a chain entry of 65,535 bytes
inline constexpr std::size_t kV2HeaderSize = 64;

// How the bytes are laid out. The numbers are those of a chain entry's header.
enum class Spelling : std::uint8_t { kV1Le = 1, kV1Be = 2, kV1Producer = 3, kV2 = 4 };

// Observation types; others exist (reserved, other domains, private use) and are carried all the same.
enum class Type : std::uint8_t {
  kPeerStatusChanged = 1,
  kPeerBackwardTransition = 2,
  kBgpProcess = 3,
  kBgpRouteUpdate = 4,
  kDeviceCommandOutput = 16,
  kCacheSerialChange = 17,
  kRouterSessionChange = 18,
  kKeyEvent = 19,
  kApprovalRecorded = 20,
  kActionOutcome = 21,
  kGap = 22,
  kChannelAlarm = 23,
  kHeartbeat = 24,
  kSourceEvent = 25,
  kAlarmCleared = 26,
  kForeignCheckpoint = 27,
  kDecision = 28,
};

enum class Tier : std::uint8_t { kGreen = 0, kYellow = 1, kRed = 2, kBlack = 3 };
enum class Suite : std::uint8_t { kHmacSha256 = 1, kEd25519 = 2 };

using SourceId = std::array<std::uint8_t, 16>;

SourceId SourceIdOf(std::string_view source_name);      // first 16 bytes of SHA-256(name)
std::uint64_t ShortIdOf(std::string_view source_name);  // first 8 of them, big-endian: the chain's source field
inline std::uint64_t ShortIdOf(const SourceId& id) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8 | id[i];
  return value;
}

std::string_view SpellingName(Spelling spelling);  // "v1-le", "v1-be", "v1-producer", "v2"
std::optional<Spelling> SpellingFromName(std::string_view name);
std::string_view TierName(Tier tier);     // "GREEN", ...
std::string_view SuiteName(Suite suite);  // "HMAC-SHA256", "Ed25519"
std::string_view TypeName(Type type);     // "peer_status_changed", ...; empty for types without a name

// Size of the header and of the tag on the wire.
constexpr std::size_t HeaderSize(Spelling spelling) {
  return spelling == Spelling::kV2 ? kV2HeaderSize : spelling == Spelling::kV1Producer ? 28 : 24;
}
constexpr std::size_t TagSize(Suite suite) {
  return suite == Suite::kEd25519 ? 64 : 32;
}

struct Header {
  Spelling spelling = Spelling::kV2;
  Type type{};
  Tier tier = Tier::kGreen;
  std::uint8_t reserved = 0;         // version 1 only: byte 7, covered by the tag
  Suite suite = Suite::kHmacSha256;  // version 1 is always HMAC-SHA256
  UnixNanos timestamp = 0;
  std::uint64_t sequence = 0;     // version 1: 32 bits on the wire
  std::uint32_t key_version = 0;  // version 2 only
  std::uint64_t boot_epoch = 0;   // version 2 only
  SourceId source_id{};           // version 2 only
  std::uint32_t producer_id = 0;  // v1-producer only
};

struct Frame {
  Header header;
  std::string_view bytes;  // the whole frame
  std::string_view payload;
  std::string_view signed_part;  // what the tag covers: header and payload
  std::string_view tag;          // 32 or 64 bytes
};

// Decodes exactly one whole frame. Checks shape only, not the tag: magic, version, tier, lengths; in version 2 also a
// known suite, reserved bytes of zero, and that number and boot epoch are not zero. Errors: InvalidArgument with reason
// MALFORMED, ResourceExhausted with reason TOO_LARGE (lib/frame/reason.h: ReasonOf).
absl::StatusOr<Frame> Decode(std::string_view bytes, Spelling spelling);

// How many bytes the frame that starts here has, as far as this prefix tells: 0 when more bytes are needed. Each field
// is checked as soon as its bytes are there, the first byte already. Errors as Decode.
absl::StatusOr<std::size_t> FrameSize(std::string_view prefix, Spelling spelling);

// Header and payload without tag; the caller appends the tag over it. InvalidArgument when a field does not fit the
// spelling (sequence beyond 32 bits or another suite in version 1, number or epoch 0 in version 2, payload too long):
// what this makes, Decode accepts.
absl::StatusOr<std::string> EncodeUnsigned(const Header& header, std::string_view payload);

}  // namespace virp::frame
