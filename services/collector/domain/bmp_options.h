// What an operator says about BMP: which routers may speak, for which source, and how much of what they say is kept
// (docs/operations/bmp.md).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/ip.h"
#include "lib/bmp/message.h"
#include "lib/bmp/session.h"

namespace virp::collector {

// How much is reported of one peer.
enum class BmpMode : std::uint8_t {
  kEvents,    // its state; nothing is held per route
  kPrefixes,  // and the paths of listed prefixes and their more specifics
  kRoutes,    // and all its paths
};
std::string_view BmpModeName(BmpMode mode);  // "events", "prefixes", "routes"
std::optional<BmpMode> BmpModeFromName(std::string_view name);

inline constexpr std::size_t kMaxListedPrefixes = 1'000;  // a statement of a table names them all

// A prefix whose origin is known. RED when it, or a part of it, is announced with another origin, and when the last
// path for it in a view is gone.
struct ProtectedPrefix {
  Prefix prefix;
  std::vector<std::uint32_t> origins;
};

// Rules that raise a tier to RED; each is off until configured.
struct BmpRedRules {
  std::vector<ProtectedPrefix> protected_prefixes;
  std::uint32_t sessions_lost = 0;  // RED from the loss that makes it more than this many ...
  std::chrono::seconds within{0};   // ... within this time
  bool maximum_prefix = false;      // a session closed because of too many prefixes (Cease, subcode 1)
};

struct BmpPeerOptions {
  IpAddress address;
  std::string vrf = "default";
  BmpMode mode = BmpMode::kEvents;
};

struct BmpRouterOptions {
  std::string source;                // signs what this router says
  std::vector<IpAddress> addresses;  // where it may connect from; IPv4 as IPv4
  std::string sys_name;  // what its Initiation must say; empty: anything, where no other router shares an address
  std::string dial;      // ADDRESS:PORT when the router listens; empty: it connects to us
  std::string md5_key;   // TCP-MD5 (RFC 2385), at most 80 bytes; empty: none
  BmpMode mode = BmpMode::kEvents;  // of peers that are not in `peers`
  std::vector<BmpPeerOptions> peers;
  std::vector<Prefix> prefixes;                               // for mode `prefixes`
  std::array<bool, 5> ribs = {true, true, true, true, true};  // by bmp::Rib: views that are reported
  std::vector<std::pair<std::uint64_t, std::string>>
      vrfs;  // peer distinguisher to VRF name; others are written as the RD
  bmp::PathIdPolicy path_ids = bmp::PathIdPolicy::kAuto;
  BmpRedRules red;
  // Beyond either, the peer that crossed it falls back to `events`.
  std::uint64_t max_paths = 2'000'000;
  std::uint64_t max_attribute_bytes = std::uint64_t{512} << 20;
  std::size_t max_peers = 4'096;
};

struct BmpOptions {
  std::string collector_source;  // signs alarms
  std::vector<BmpRouterOptions> routers;
  std::chrono::seconds quiet{30};  // ends the dump of senders without End-of-RIB
  std::chrono::seconds restate_peers{900};
};

// InvalidArgument names the router and the field.
absl::Status CheckBmpOptions(const BmpOptions& options);

// The VRF of a peer: `default` for global peers, the configured name for its distinguisher, else the distinguisher as
// RFC 4364 writes it ("64500:1", "192.0.2.1:1").
std::string VrfName(const BmpRouterOptions& options, bmp::PeerType type, std::uint64_t distinguisher);

}  // namespace virp::collector
