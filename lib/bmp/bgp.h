// The BGP messages that BMP carries besides UPDATE: their header (RFC 4271 section 4.1), OPEN and NOTIFICATION.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/ip.h"
#include "lib/bmp/reader.h"

namespace virp::bmp {

// Address family and subsequent address family (RFC 4760).
struct AfiSafi {
  std::uint16_t afi = 0;
  std::uint8_t safi = 0;

  friend auto operator<=>(const AfiSafi&, const AfiSafi&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const AfiSafi& a) {
    return H::combine(std::move(state), a.afi, a.safi);
  }
};
inline constexpr AfiSafi kIpv4Unicast{1, 1};
inline constexpr AfiSafi kIpv6Unicast{2, 1};

// "ipv4-unicast", "ipv6-unicast", else the numbers, as "25/70".
std::string FamilyName(AfiSafi family);

enum class BgpType : std::uint8_t { kOpen = 1, kUpdate = 2, kNotification = 3, kKeepalive = 4, kRouteRefresh = 5 };

inline constexpr std::size_t kBgpHeaderSize = 19;

struct BgpMessage {
  BgpType type{};         // as received; may be none of the named ones
  std::string_view body;  // what follows the header of 19 bytes; borrowed
};

// Takes one BGP message off the front of `reader`. InvalidArgument when the marker is not all ones, the length is below
// 19 or more than there is. Lengths up to 65,535 are taken, whether or not RFC 8654 was negotiated.
absl::StatusOr<BgpMessage> TakeBgpMessage(Reader& reader);

// ADD-PATH capability of one family (RFC 7911 section 4), from the view of the speaker whose OPEN it is.
struct AddPath {
  AfiSafi family;
  bool receive = false;
  bool send = false;
  friend bool operator==(const AddPath&, const AddPath&) = default;
};

// An OPEN message (RFC 4271 section 4.2, RFC 5492, RFC 9072).
struct Open {
  std::uint32_t as = 0;  // the 4-octet number where that capability is there (RFC 6793), else My Autonomous System
  std::uint16_t hold_time = 0;  // seconds
  IpAddress bgp_id;             // written as an IPv4 address
  bool four_octet_as = false;
  bool extended_message = false;
  bool route_refresh = false;
  std::vector<AfiSafi> multiprotocol;      // families offered; none offered means IPv4 unicast
  std::vector<AddPath> add_path;           // in the order received; directions other than 1 to 3 are left out
  std::vector<std::uint8_t> capabilities;  // the code of each capability, known or not, in the order received

  const AddPath* FindAddPath(AfiSafi family) const;  // the last one for the family, nullptr if none
};

// `body` as in BgpMessage. InvalidArgument when a length overruns, the version is not 4, or a capability that we read
// has a length that it cannot have. Unknown parameters and capabilities are skipped.
absl::StatusOr<Open> DecodeOpen(std::string_view body);

// A NOTIFICATION message (RFC 4271 section 4.5).
struct Notification {
  std::uint8_t code = 0;
  std::uint8_t subcode = 0;
  std::string_view data;  // borrowed
  // The operator's words with Cease / Administrative Shutdown or Reset (RFC 9003), as well-formed UTF-8; empty when
  // there are none or their length field overruns. At most 765 bytes.
  std::string shutdown_message;
};

// InvalidArgument when there are fewer than two bytes.
absl::StatusOr<Notification> DecodeNotification(std::string_view body);

// The name in IANA's registry of an error code and subcode, as "Cease/Administrative Shutdown"; numbers where there is
// none.
std::string NotificationName(std::uint8_t code, std::uint8_t subcode);

}  // namespace virp::bmp
