// BMP version 3 messages: RFC 7854, Loc-RIB RFC 9069, Adj-RIB-Out RFC 8671 (docs/formats/bmp.md). Decoders of bytes
// that anybody may have sent: they read what is there, allocate no more than it, and answer with a Status that says
// what is wrong. Text is repaired to well-formed UTF-8 here; std::string_view members point into the decoded message
// and live as long as its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/ip.h"
#include "lib/bmp/bgp.h"

namespace virp::bmp {

enum class MessageType : std::uint8_t {
  kRouteMonitoring = 0,
  kStatisticsReport = 1,
  kPeerDown = 2,
  kPeerUp = 3,
  kInitiation = 4,
  kTermination = 5,
  kRouteMirroring = 6,
};

enum class PeerType : std::uint8_t { kGlobal = 0, kRd = 1, kLocal = 2, kLocRib = 3 };

// Which of the router's tables a Route Monitoring message speaks about.
enum class Rib : std::uint8_t { kAdjInPre, kAdjInPost, kLoc, kAdjOutPre, kAdjOutPost };

// The name in payloads and subjects: "adj-in-pre", "adj-in-post", "loc", "adj-out-pre", "adj-out-post".
std::string_view RibName(Rib rib);

// What tells one peer of a BMP session from another. The BGP identifier counts for a Loc-RIB only (RFC 9069 section
// 4.1), where it and the distinguisher name the instance; elsewhere it is 0.0.0.0 here, because senders leave it out of
// a Peer Down for a session that never got that far.
struct PeerKey {
  PeerType type{};
  std::uint64_t distinguisher = 0;
  IpAddress address;
  IpAddress bgp_id;

  friend bool operator==(const PeerKey&, const PeerKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const PeerKey& k) {
    return H::combine(std::move(state), k.type, k.distinguisher, k.address, k.bgp_id);
  }
};

// Per-peer header (RFC 7854 section 4.2).
struct PeerHeader {
  PeerType type{};
  std::uint8_t flags = 0;  // as received
  std::uint64_t distinguisher = 0;
  IpAddress address;  // 0.0.0.0 for a Loc-RIB
  std::uint32_t as = 0;
  IpAddress bgp_id;
  std::uint32_t seconds = 0;  // the router's clock since 1970; 0 when it says nothing
  std::uint32_t microseconds = 0;

  // Flags V, L, A, O; all false for a Loc-RIB, whose only flag is F, and F is false for all others.
  bool is_ipv6() const { return Flag(0x80); }
  bool is_post_policy() const { return Flag(0x40); }
  bool is_two_octet_as() const { return Flag(0x20); }
  bool is_adj_rib_out() const { return Flag(0x10); }
  bool is_filtered() const { return type == PeerType::kLocRib && (flags & 0x80) != 0; }

  Rib rib() const;
  PeerKey key() const;
  // Microseconds since 1970 by the router's clock, 0 when it says nothing.
  std::uint64_t router_time_us() const { return std::uint64_t{seconds} * 1'000'000 + microseconds; }

 private:
  bool Flag(std::uint8_t bit) const { return type != PeerType::kLocRib && (flags & bit) != 0; }
};

struct Initiation {
  std::string sys_name;
  std::string sys_descr;
  std::vector<std::string> strings;  // free text, in order
};

struct Termination {
  enum class Reason : std::uint16_t {
    kAdministrativelyClosed = 0,
    kUnspecified = 1,
    kOutOfResources = 2,
    kRedundantConnection = 3,
    kPermanentlyAdministrativelyClosed = 4,
  };
  std::optional<Reason> reason;  // as received; may be none of the named ones
  std::vector<std::string> strings;
};

struct PeerUp {
  PeerHeader peer;
  IpAddress local_address;  // 0.0.0.0 for a Loc-RIB, and where the router does not know it
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
  Open sent;                         // by the monitored router
  Open received;                     // by its peer
  std::vector<std::string> strings;  // information TLVs of type 0, free text
  std::string table_name;            // VRF/Table Name TLV (RFC 9069), empty when absent

  // The monitored router's BGP identifier: from the OPEN that it sent; for a Loc-RIB from the per-peer header, since
  // its OPENs are made up and some senders leave theirs zero.
  IpAddress router_id() const { return peer.type == PeerType::kLocRib ? peer.bgp_id : sent.bgp_id; }
};

struct PeerDown {
  enum class Reason : std::uint8_t {
    kLocalNotification = 1,
    kLocalNoNotification = 2,  // fsm_event says what happened, 0 when the sender does not know
    kRemoteNotification = 3,
    kRemoteNoData = 4,
    kDeconfigured = 5,    // information is no longer sent for this peer; it may be up
    kLocalTableGone = 6,  // RFC 9069
  };
  PeerHeader peer;
  Reason reason{};  // as received; may be none of the named ones
  std::optional<Notification> notification;
  std::optional<std::uint16_t> fsm_event;  // RFC 4271 section 8.1
  std::string table_name;                  // with reason 6, empty when absent
  bool detail_malformed =
      false;  // what follows the reason could not be read; that the peer is down stands all the same
};

struct RouteMonitoring {
  PeerHeader peer;
  Rib rib{};
  std::string_view update;  // body of the BGP UPDATE, for DecodeUpdate
};

struct Statistic {
  std::uint16_t type = 0;              // IANA "BMP Statistics Types"; FRR uses 65531 for rejected next hops
  std::optional<AfiSafi> family;       // types that count per family (9, 10, 16, 17)
  std::optional<std::uint64_t> value;  // absent when a known type does not have its length, or for an unknown type of
                                       // another length than 4 or 8
  std::string_view raw;
};

struct StatisticsReport {
  PeerHeader peer;
  std::vector<Statistic> statistics;
};

// Counted only; the mirrored BGP messages are copies of what Route Monitoring says (RFC 7854 section 4.7).
struct RouteMirroring {
  PeerHeader peer;
  std::uint32_t bgp_messages = 0;
  std::uint32_t errored_pdus = 0;
  std::uint32_t messages_lost = 0;  // notices that messages were lost, not how many messages
  std::uint32_t unknown = 0;        // TLVs and information codes that have no meaning here
};

// A message of a type, or about a type of peer, that this version does not know. Never an error: to be skipped.
struct UnknownType {
  std::uint8_t type = 0;
  std::optional<std::uint8_t> peer_type;
};

using BmpMessage = std::variant<Initiation, Termination, PeerUp, PeerDown, RouteMonitoring, StatisticsReport,
                                RouteMirroring, UnknownType>;

// Decodes one whole message as StreamSplitter gives it. InvalidArgument when a field overruns, required bytes are
// missing, bytes are left over, or the per-peer header cannot be: the message is unusable, those around it are not.
absl::StatusOr<BmpMessage> Decode(std::string_view message);

// The type octet of a message of at least kCommonHeaderSize bytes, as StreamSplitter gives it.
inline std::uint8_t TypeOf(std::string_view message) {
  return static_cast<std::uint8_t>(message[5]);
}

// Decode for Route Monitoring alone, without the variant; for the path that sees a million of them.
// NotFound when the peer type is unknown, else as Decode.
absl::StatusOr<RouteMonitoring> DecodeRouteMonitoring(std::string_view message);

}  // namespace virp::bmp
