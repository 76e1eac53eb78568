// Payloads of the types that steer a chain: registration and source events (25), key events (19), gaps (22), alarms
// (23), alarm clearings (26), heartbeats (24), and table_complete (3). Layouts in docs/formats/payloads.md. Pure;
// thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/frame/frame.h"
#include "lib/frame/payload.h"

namespace virp::chain {

enum class Vantage : std::uint8_t { kDaemon, kBmp, kDevice, kService };
std::string_view VantageName(Vantage vantage);

struct RouterScope {
  std::string name;
  std::vector<std::string> bgp_ids;    // dotted quads
  std::vector<std::string> addresses;  // RFC 5952
  std::vector<std::string> vrfs;       // "default" when the payload names none
  bool operator==(const RouterScope&) const = default;
};

// A key version as the chain states it.
struct KeyStatement {
  std::uint32_t version = 0;
  frame::Suite suite = frame::Suite::kEd25519;
  std::string public_key{};  // Ed25519: 32 bytes
  std::string commitment{};  // HMAC: 32 bytes
  UnixNanos accept_from = 0;
  std::optional<UnixNanos> accept_until{};
  bool operator==(const KeyStatement&) const = default;
};

struct Registration {
  std::string source;
  KeyStatement key;  // the first key version
  std::uint8_t min_frame_version = 2;
  Vantage vantage = Vantage::kDaemon;
  std::vector<std::uint8_t> types;
  std::vector<RouterScope> routers;
  std::vector<std::string> subject_prefixes;  // outside BGP: "<domain>/<prefix of subject>"
  std::vector<std::string> carried_by;        // identities that may deliver it, SPIFFE ids
  bool operator==(const Registration&) const = default;
};

struct SourceEvent {  // type 25
  enum class Event : std::uint8_t { kRegistered, kChanged, kSuspended, kResumed, kEpochReset, kLateAdmitted };
  Event event = Event::kRegistered;
  std::string source;
  std::optional<Registration> registration{};  // kRegistered, kChanged: the whole registration after the event
  std::uint64_t epoch = 0;                     // kEpochReset: the poisoned epoch; kLateAdmitted: epoch and ...
  std::uint64_t from = 0, to = 0;              // ... the numbers admitted
  std::string by{}, reason{},
      request_id{};  // operator's identity, free text, idempotency key; empty for the O-Node itself
};

struct KeyEvent {  // type 19
  enum class Event : std::uint8_t { kVersion, kCompromised, kWindow };
  Event event = Event::kVersion;
  std::string source;
  KeyStatement key{};               // kVersion
  std::uint32_t version = 0;        // kCompromised, kWindow
  UnixNanos compromised_since = 0;  // kCompromised: receive time from which on its entries count nowhere
  std::optional<UnixNanos> previous_sign_until{}, previous_accept_until{};  // kVersion
  std::optional<UnixNanos> sign_until{}, accept_until{};                    // kWindow: at least one of them
  std::string by{}, reason{}, request_id{};
};

struct Gap {  // type 22; from 1, to >= from, to below 2^64 - 1
  enum class Why : std::uint8_t { kMissing, kOverflow, kShutdown };
  std::string source;
  std::uint64_t epoch = 0, from = 0, to = 0;
  Why why = Why::kMissing;
};

std::string_view GapWhyName(Gap::Why why);  // "MISSING", "OVERFLOW", "SHUTDOWN": the payload's `reason`

enum class ChannelState : std::uint8_t { kOk, kAlarmed, kKeyMismatch, kBlack };
std::string_view ChannelStateName(ChannelState state);

// Causes of alarms that the platform itself raises; others may be added. 1 to 64 printable characters.
inline constexpr std::string_view kCauseBadTag = "BAD_TAG";
inline constexpr std::string_view kCauseBuildUnexpected =
    "BUILD_UNEXPECTED";  // a beat names a build that is not listed
inline constexpr std::string_view kCauseEquivocation = "EQUIVOCATION";
inline constexpr std::string_view kCauseTierBlack = "TIER_BLACK";
inline constexpr std::string_view kCauseKeyCompromised = "KEY_COMPROMISED";
inline constexpr std::string_view kCauseOperator = "OPERATOR";
inline constexpr std::string_view kCauseScopeViolation = "SCOPE_VIOLATION";

struct Alarm {  // type 23
  std::string source;
  std::string cause;  // BAD_TAG, EQUIVOCATION, TIER_BLACK, KEY_COMPROMISED, OPERATOR, SCOPE_VIOLATION, ...
  ChannelState state = ChannelState::kAlarmed;  // ALARMED or BLACK; KEY_MISMATCH is read as ALARMED with nothing held
  std::uint64_t count = 1;
  std::string first_sha256{}, last_sha256{};  // 32 bytes each, empty where there is none
  std::string by{}, reason{}, request_id{};   // MarkBlack
};

struct AlarmCleared {  // type 26
  std::string source{}, cause{}, by{}, reason{}, request_id{};
};

struct Beat {  // one source's line in a heartbeat
  frame::SourceId source_id{};
  std::uint64_t epoch = 0;
  std::uint64_t last_sequence = 0;
  bool connected = false;
  UnixNanos since = 0;
  UnixNanos last_bytes = 0;
  bool cannot_restate = false;  // the deliverer lost frames of this source and cannot make it restate
};
struct Heartbeat {  // type 24; without `sources` it speaks for its signer (then sources is empty)
  std::vector<Beat> sources;
};

// Parsing: InvalidArgument naming the key that is missing or wrong. Keys beyond those of the format are ignored.
absl::StatusOr<SourceEvent> ParseSourceEvent(const frame::Value& payload);
absl::StatusOr<KeyEvent> ParseKeyEvent(const frame::Value& payload);
absl::StatusOr<Gap> ParseGap(const frame::Value& payload);
absl::StatusOr<Alarm> ParseAlarm(const frame::Value& payload);
absl::StatusOr<AlarmCleared> ParseAlarmCleared(const frame::Value& payload);
absl::StatusOr<Heartbeat> ParseHeartbeat(const frame::Value& payload);

// Building; key order and values as in the vectors. `by`, `reason` and `request_id` are written where they are not
// empty, so are subject prefixes and a count; nothing is checked (CheckRegistration, SourceBook::CheckSourceEvent and
// CheckKeyEvent do).
std::string BuildSourceEvent(const SourceEvent& event);
std::string BuildKeyEvent(const KeyEvent& event);
std::string BuildGap(const Gap& gap);
std::string BuildAlarm(const Alarm& alarm);
std::string BuildAlarmCleared(const AlarmCleared& cleared);
std::string BuildHeartbeat(const Heartbeat& heartbeat);

// Checks what a registration must hold on its own: names, suite and key, types 1..255, canonical addresses, known
// vantage, SPIFFE-shaped carriers, sizes (64 routers with 16 BGP identifiers, 64 addresses and 256 VRFs each, 64
// carriers, 64 prefixes), nothing twice. InvalidArgument with the field. A router without VRFs is one with `default`
// only.
absl::Status CheckRegistration(const Registration& registration);
// The same for a key version: suite, lengths of public key and commitment, times.
absl::Status CheckKeyStatement(const KeyStatement& key);

}  // namespace virp::chain
