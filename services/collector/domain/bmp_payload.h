// The payloads of types 1 to 3 as the collector writes them (docs/formats/payloads.md). Text is put together from parts
// that are formed once per peer and once per UPDATE; nothing is allocated per route.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/bmp/attributes.h"
#include "lib/bmp/message.h"
#include "lib/bmp/update.h"
#include "services/collector/domain/bmp_table.h"

namespace virp::collector {

// Attribute texts beyond this have their communities, and if need be their AS path, replaced by null and name a digest.
inline constexpr std::size_t kMaxAttributeText = 16'384;

// What stands at the end of a payload.
struct PayloadTail {
  std::string_view protection;       // "plain", "tcp-md5"
  std::uint64_t router_time_us = 0;  // 0: not said
  std::string_view reason;           // empty: not said
  std::string_view red_rule;         // the rule that made it RED
  std::uint64_t first_sequence = 0;  // of a statement of a table: its first frame; 0: not said
  bool inferred = false;
  bool restated = false;
};

// "peer":...,"vrf":...: what each payload about this peer says of it.
std::string PeerText(const HeldPeer& peer);

// "nexthop":...,"communities":[...]; replaces `out`. Equal attributes give equal text.
void FormAttributes(const bmp::PathAttributes& attributes, const IpAddress& next_hop, std::string& out);
// That part of a payload of ours; empty when there is none.
std::string_view AttributesIn(std::string_view payload);

// The origin AS in such a text: the last AS of the path; `local_as` for an empty path; none behind a set, or where the
// path was too long to be written.
std::optional<std::uint32_t> OriginIn(std::string_view attributes, std::uint32_t local_as);

// All of them append to `out`.
void AppendAnnounce(std::string& out, std::string_view peer_text, std::string_view rib, const bmp::Route& route,
                    std::string_view attributes, const PayloadTail& tail);
void AppendWithdraw(std::string& out, std::string_view peer_text, std::string_view rib, const bmp::Route& route,
                    const PayloadTail& tail);
// `prefixes`: the statement is about these only; null for all.
void AppendTableComplete(std::string& out, std::string_view peer_text, std::string_view rib,
                         const std::vector<Prefix>* prefixes, const PayloadTail& tail);
void AppendPeerState(std::string& out, const HeldPeer& peer, std::string_view peer_text, const PayloadTail& tail);
// `uptime` in seconds, `last_event` the FSM event that BMP named, 0 when it named none; `words` the operator's.
void AppendPeerDown(std::string& out, std::string_view peer_text, std::uint16_t last_event, std::uint64_t uptime,
                    std::string_view words, const PayloadTail& tail);

// Why, in words: "remote notification: Cease/Administrative Shutdown".
std::string ReasonText(const bmp::PeerDown& down);

}  // namespace virp::collector
