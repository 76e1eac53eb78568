#include "lib/frame/frame.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/reason.h"

namespace virp::frame {
namespace {

constexpr std::string_view kMagic = "VIRP";

// Where fields are; offsets 0 to 7 are common to all versions (docs/formats/frame.md, "Shared prefix").
constexpr std::size_t kVersionAt = 4, kTypeAt = 5, kTierAt = 6, kReservedAt = 7, kSuiteAt = 7, kTimestampAt = 8;
constexpr std::size_t kSequenceAt = 16;
constexpr std::size_t kV1LengthAt = 20, kV1ProducerAt = 24;
constexpr std::size_t kV2LengthAt = 24, kV2KeyVersionAt = 28, kV2EpochAt = 32, kV2SourceAt = 40, kV2ReservedAt = 56;

template <typename... Args>
absl::Status Malformed(fmt::format_string<Args...> format, Args&&... args) {
  return WithReason(InvalidArgument(format, std::forward<Args>(args)...), ReasonName(Reason::kMalformed));
}

std::uint8_t ByteAt(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

// An integer in the byte order of the spelling.
template <typename T>
T Load(const char* at, Spelling spelling) {
  return spelling == Spelling::kV1Le ? LoadLe<T>(at) : LoadBe<T>(at);
}
template <typename T>
void Store(char* at, T value, Spelling spelling) {
  if (spelling == Spelling::kV1Le) {
    StoreLe<T>(at, value);
  } else {
    StoreBe<T>(at, value);
  }
}

// The shared prefix, as much of it as is there.
absl::Status CheckPrefix(std::string_view prefix, Spelling spelling) {
  const std::size_t magic = std::min(prefix.size(), kMagic.size());
  if (std::memcmp(prefix.data(), kMagic.data(), magic) != 0) {
    return Malformed("not a frame: it starts with {} instead of the bytes 'VIRP'", HexEncode(prefix.substr(0, magic)));
  }
  const std::uint8_t version = spelling == Spelling::kV2 ? 2 : 1;
  if (prefix.size() > kVersionAt && ByteAt(prefix, kVersionAt) != version) {
    return Malformed("frame version is {}, {} was expected here", ByteAt(prefix, kVersionAt), version);
  }
  if (prefix.size() > kTierAt && ByteAt(prefix, kTierAt) > static_cast<std::uint8_t>(Tier::kBlack)) {
    return Malformed("trust tier {} does not exist, 3 (BLACK) is the last", ByteAt(prefix, kTierAt));
  }
  if (spelling == Spelling::kV2 && prefix.size() > kSuiteAt) {
    const std::uint8_t suite = ByteAt(prefix, kSuiteAt);
    if (suite != 1 && suite != 2) return Malformed("suite {} does not exist, 1 and 2 do", suite);
  }
  return absl::OkStatus();
}

Suite SuiteAt(std::string_view prefix, Spelling spelling) {
  return spelling == Spelling::kV2 ? static_cast<Suite>(ByteAt(prefix, kSuiteAt)) : Suite::kHmacSha256;
}

absl::StatusOr<Header> ReadHeader(std::string_view bytes, Spelling spelling) {
  const char* at = bytes.data();
  Header out;
  out.spelling = spelling;
  out.type = static_cast<Type>(ByteAt(bytes, kTypeAt));
  out.tier = static_cast<Tier>(ByteAt(bytes, kTierAt));
  out.suite = SuiteAt(bytes, spelling);
  out.timestamp = Load<std::uint64_t>(at + kTimestampAt, spelling);
  if (spelling != Spelling::kV2) {
    out.reserved = ByteAt(bytes, kReservedAt);
    out.sequence = Load<std::uint32_t>(at + kSequenceAt, spelling);
    if (spelling == Spelling::kV1Producer) out.producer_id = LoadBe<std::uint32_t>(at + kV1ProducerAt);
    return out;
  }
  out.sequence = LoadBe<std::uint64_t>(at + kSequenceAt);
  out.key_version = LoadBe<std::uint32_t>(at + kV2KeyVersionAt);
  out.boot_epoch = LoadBe<std::uint64_t>(at + kV2EpochAt);
  std::memcpy(out.source_id.data(), at + kV2SourceAt, out.source_id.size());
  if (out.sequence == 0) return Malformed("sequence is 0, version 2 counts from 1");
  if (out.boot_epoch == 0) return Malformed("boot epoch is 0, which no producer may use");
  if (LoadBe<std::uint64_t>(at + kV2ReservedAt) != 0) return Malformed("reserved bytes 56 to 63 are not zero");
  return out;
}

}  // namespace

SourceId SourceIdOf(std::string_view source_name) {
  const Hash hash = crypto::Sha256(source_name);
  SourceId out;
  std::copy_n(hash.begin(), out.size(), out.begin());
  return out;
}

std::uint64_t ShortIdOf(std::string_view source_name) {
  return ShortIdOf(SourceIdOf(source_name));
}

std::string_view SpellingName(Spelling spelling) {
  switch (spelling) {
    case Spelling::kV1Le:
      return "v1-le";
    case Spelling::kV1Be:
      return "v1-be";
    case Spelling::kV1Producer:
      return "v1-producer";
    case Spelling::kV2:
      return "v2";
  }
  return "unknown";
}

std::optional<Spelling> SpellingFromName(std::string_view name) {
  for (const Spelling spelling : {Spelling::kV1Le, Spelling::kV1Be, Spelling::kV1Producer, Spelling::kV2}) {
    if (SpellingName(spelling) == name) return spelling;
  }
  return std::nullopt;
}

std::string_view TierName(Tier tier) {
  switch (tier) {
    case Tier::kGreen:
      return "GREEN";
    case Tier::kYellow:
      return "YELLOW";
    case Tier::kRed:
      return "RED";
    case Tier::kBlack:
      return "BLACK";
  }
  return "UNKNOWN";
}

std::string_view SuiteName(Suite suite) {
  switch (suite) {
    case Suite::kHmacSha256:
      return "HMAC-SHA256";
    case Suite::kEd25519:
      return "Ed25519";
  }
  return "unknown";
}

std::string_view TypeName(Type type) {
  switch (type) {
    case Type::kPeerStatusChanged:
      return "peer_status_changed";
    case Type::kPeerBackwardTransition:
      return "peer_backward_transition";
    case Type::kBgpProcess:
      return "bgp_process";
    case Type::kBgpRouteUpdate:
      return "bgp_route_update";
    case Type::kDeviceCommandOutput:
      return "device_command_output";
    case Type::kCacheSerialChange:
      return "cache_serial_change";
    case Type::kRouterSessionChange:
      return "router_session_change";
    case Type::kKeyEvent:
      return "key_event";
    case Type::kApprovalRecorded:
      return "approval_recorded";
    case Type::kActionOutcome:
      return "action_outcome";
    case Type::kGap:
      return "gap";
    case Type::kChannelAlarm:
      return "channel_alarm";
    case Type::kHeartbeat:
      return "heartbeat";
    case Type::kSourceEvent:
      return "source_event";
    case Type::kAlarmCleared:
      return "alarm_cleared";
    case Type::kForeignCheckpoint:
      return "foreign_checkpoint";
    case Type::kDecision:
      return "decision";
  }
  return "";
}

absl::StatusOr<std::size_t> FrameSize(std::string_view prefix, Spelling spelling) {
  RETURN_IF_ERROR(CheckPrefix(prefix, spelling));
  const std::size_t length_at = spelling == Spelling::kV2 ? kV2LengthAt : kV1LengthAt;
  if (prefix.size() < length_at + sizeof(std::uint32_t)) return std::size_t{0};
  const auto payload = Load<std::uint32_t>(prefix.data() + length_at, spelling);
  if (payload > kMaxPayload) {
    return WithReason(ResourceExhausted("payload of {} bytes read as {}, {} are the limit", payload,
                                        SpellingName(spelling), kMaxPayload),
                      ReasonName(Reason::kTooLarge));
  }
  return HeaderSize(spelling) + payload + TagSize(SuiteAt(prefix, spelling));
}

absl::StatusOr<Frame> Decode(std::string_view bytes, Spelling spelling) {
  ASSIGN_OR_RETURN(const std::size_t size, FrameSize(bytes, spelling));
  if (size == 0 || bytes.size() < size) {
    return Malformed("frame is cut short: {} of {} bytes are there", bytes.size(),
                     size == 0 ? HeaderSize(spelling) : size);
  }
  if (bytes.size() > size) return Malformed("{} bytes follow the frame, which has {}", bytes.size() - size, size);
  ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes, spelling));
  Frame out;
  out.header = header;
  out.bytes = bytes;
  out.signed_part = bytes.substr(0, size - TagSize(header.suite));
  out.payload = out.signed_part.substr(HeaderSize(spelling));
  out.tag = bytes.substr(out.signed_part.size());
  return out;
}

namespace {

absl::Status CheckEncodable(const Header& header, std::string_view payload) {
  if (payload.size() > kMaxPayload) {
    return InvalidArgument("payload has {} bytes, {} are the limit", payload.size(), kMaxPayload);
  }
  if (header.tier > Tier::kBlack) return InvalidArgument("trust tier {} does not exist", static_cast<int>(header.tier));
  switch (header.spelling) {
    case Spelling::kV1Le:
    case Spelling::kV1Be:
    case Spelling::kV1Producer:
      if (header.sequence > std::numeric_limits<std::uint32_t>::max()) {
        return InvalidArgument("sequence {} does not fit the 32 bits of version 1", header.sequence);
      }
      if (header.suite != Suite::kHmacSha256) return InvalidArgument("version 1 frames have suite HMAC-SHA256 only");
      return absl::OkStatus();
    case Spelling::kV2:
      if (header.suite != Suite::kHmacSha256 && header.suite != Suite::kEd25519) {
        return InvalidArgument("suite {} does not exist", static_cast<int>(header.suite));
      }
      if (header.sequence == 0) return InvalidArgument("sequence is 0, version 2 counts from 1");
      if (header.boot_epoch == 0) return InvalidArgument("boot epoch is 0, which no producer may use");
      return absl::OkStatus();
  }
  return InvalidArgument("spelling {} does not exist", static_cast<int>(header.spelling));
}

}  // namespace

absl::StatusOr<std::string> EncodeUnsigned(const Header& header, std::string_view payload) {
  RETURN_IF_ERROR(CheckEncodable(header, payload));
  const Spelling spelling = header.spelling;
  const std::size_t header_size = HeaderSize(spelling);
  std::string out;
  out.reserve(header_size + payload.size() + TagSize(header.suite));  // the tag is appended next
  out.resize(header_size, '\0');
  char* at = out.data();
  const auto length = static_cast<std::uint32_t>(payload.size());
  kMagic.copy(at, kMagic.size());
  at[kVersionAt] = spelling == Spelling::kV2 ? 2 : 1;
  at[kTypeAt] = static_cast<char>(header.type);
  at[kTierAt] = static_cast<char>(header.tier);
  Store(at + kTimestampAt, header.timestamp, spelling);
  if (spelling == Spelling::kV2) {
    at[kSuiteAt] = static_cast<char>(header.suite);
    StoreBe(at + kSequenceAt, header.sequence);
    StoreBe(at + kV2LengthAt, length);
    StoreBe(at + kV2KeyVersionAt, header.key_version);
    StoreBe(at + kV2EpochAt, header.boot_epoch);
    std::memcpy(at + kV2SourceAt, header.source_id.data(), header.source_id.size());
  } else {
    at[kReservedAt] = static_cast<char>(header.reserved);
    Store(at + kSequenceAt, static_cast<std::uint32_t>(header.sequence), spelling);
    Store(at + kV1LengthAt, length, spelling);
    if (spelling == Spelling::kV1Producer) StoreBe(at + kV1ProducerAt, header.producer_id);
  }
  out += payload;
  return out;
}

}  // namespace virp::frame
