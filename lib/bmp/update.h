// BGP UPDATE (RFC 4271 section 4.3) for IPv4 and IPv6 unicast: RFC 4760, 6793, 7606, 7911, 8654, 8950, and communities
// of RFC 1997, 4360 and 8092. How errors are handled, and when a path identifier is expected: docs/formats/bmp.md.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/ip.h"
#include "lib/bmp/attributes.h"
#include "lib/bmp/bgp.h"

namespace virp::bmp {

// What names a route within one table of one peer.
struct Route {
  Prefix prefix;
  std::uint32_t path_id = 0;  // 0 without add-path

  friend auto operator<=>(const Route&, const Route&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const Route& r) {
    return H::combine(std::move(state), r.prefix, r.path_id);
  }
};

struct Announcement {
  Route route;
  IpAddress next_hop;  // for IPv6 the global one of the two that may be there
};

// Whether the NLRI of one family carries path identifiers (RFC 7911 section 3).
struct NlriForm {
  bool path_ids = false;
  // Whether a field that reads badly this way and well the other way turns `path_ids` round, because senders do not
  // always write what was negotiated. Reading badly is running over the end, bits set behind a prefix's length, or the
  // default route with others beside it.
  bool adaptive = false;
};

// What must be known from elsewhere to read an UPDATE. DecodeUpdate changes it only where `adaptive` allows.
struct UpdateContext {
  bool two_octet_as = false;  // AS_PATH holds 2-octet numbers (flag A of the per-peer header)
  NlriForm ipv4;
  NlriForm ipv6;
};

// The least that RFC 7606 asks for.
enum class UpdateError : std::uint8_t {
  kNone,
  kAttributeDiscard,  // an attribute was left out, the routes stand
  kTreatAsWithdraw,   // the routes that it announced are among `withdrawn`, `announced` is empty
};

// One UPDATE. Reuse it from message to message: clearing keeps its memory (up to kKeptRoutes routes).
struct Update {
  static constexpr std::size_t kKeptRoutes = 8192;

  std::vector<Route> withdrawn;  // to be applied before `announced`
  std::vector<Announcement> announced;
  PathAttributes attributes;          // of all of `announced`
  std::optional<AfiSafi> end_of_rib;  // RFC 4724 section 2, any family; nothing else is in the message then
  std::vector<AfiSafi> skipped;       // families in this message that are not read here, at most one per attribute
  UpdateError error = UpdateError::kNone;
  std::string error_text;         // the first attribute that was at fault, and why; empty when none was
  bool path_ids_changed = false;  // `adaptive` turned a family round at this message

  void Clear();
};

// Decodes the body of an UPDATE (what follows the BGP header). InvalidArgument when it cannot be parsed, that is where
// RFC 7606 leaves only a session reset: a length that overruns, a prefix length above 32 or 128, a next hop that hides
// where NLRI begins, a repeated MP attribute, or a bad attribute in a message that shows no routes. `out` is empty
// then. At most one route per byte of the message is allocated for.
absl::Status DecodeUpdate(std::string_view body, UpdateContext& context, Update& out);

}  // namespace virp::bmp
