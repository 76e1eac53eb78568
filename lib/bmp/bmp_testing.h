// Helpers of this folder's tests: recorded streams, hand-made messages, and visitors that write down what they are
// told.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/bmp/session.h"

namespace virp::bmp::testing {

inline const std::vector<std::string>& Recordings() {
  static const std::vector<std::string> names = {
      "bird-3.1.7-prepost.bin", "frr-10.3-adjribin-locrib.bin", "frr-8.4.4-addpath.bin", "frr-8.4.4-adjribin.bin",
      "frr-8.4.4-mirror.bin",   "gobgp-3.10.0-addpath.bin",     "gobgp-3.10.0-all.bin"};
  return names;
}

#ifdef VIRP_SOURCE_DIR
inline std::string ReadTestFile(const std::string& name) {
  std::ifstream in(std::string(VIRP_SOURCE_DIR) + "/tests/data/bmp/" + name, std::ios::binary);
  if (!in) throw std::runtime_error("no test file " + name);
  return {std::istreambuf_iterator<char>(in), {}};
}
#endif

// All messages of a stream that is known to be whole.
inline std::vector<std::string> SplitWhole(std::string_view stream) {
  std::vector<std::string> out;
  StreamSplitter splitter;
  splitter.Push(stream);
  for (;;) {
    const auto message = splitter.Next();
    if (!message.ok()) throw std::runtime_error(std::string(message.status().message()));
    if (!*message) break;
    out.emplace_back(**message);
  }
  if (splitter.buffered() != 0) throw std::runtime_error("the stream ends within a message");
  return out;
}

// Integers and raw bytes, one behind the other: Cat(U8(1), U16(2), "abc").
inline std::string U8(unsigned value) {
  return std::string(1, static_cast<char>(value));
}
inline std::string U16(unsigned value) {
  return U8(value >> 8 & 0xff) + U8(value & 0xff);
}
inline std::string U32(std::uint32_t value) {
  return U16(value >> 16) + U16(value & 0xffff);
}
inline std::string U64(std::uint64_t value) {
  return U32(static_cast<std::uint32_t>(value >> 32)) + U32(static_cast<std::uint32_t>(value));
}
template <typename... Parts>
std::string Cat(const Parts&... parts) {
  std::string out;
  (out.append(parts), ...);
  return out;
}
inline std::string Hex(std::string_view text) {
  return HexDecode(text).value();
}

inline std::string TlvBytes(unsigned type, std::string_view value) {
  return Cat(U16(type), U16(static_cast<unsigned>(value.size())), value);
}

inline std::string Bmp(unsigned type, std::string_view body) {
  return Cat(U8(3), U32(static_cast<std::uint32_t>(6 + body.size())), U8(type), body);
}

struct PeerBytes {
  unsigned type = 0;
  unsigned flags = 0;
  std::uint64_t distinguisher = 0;
  std::string address = "192.0.2.2";
  std::uint32_t as = 64501;
  std::string bgp_id = "192.0.2.2";
  std::uint32_t seconds = 1'700'000'000;
  std::uint32_t microseconds = 250'000;

  operator std::string() const {  // NOLINT: reads as the bytes that it stands for
    const auto ip = IpAddress::Parse(address).value();
    return Cat(U8(type), U8(flags | (ip.is_v6() && type != 3 ? 0x80u : 0u)), U64(distinguisher),
               ip.is_v4() ? std::string(12, '\0') : std::string(), ip.bytes(), U32(as),
               IpAddress::Parse(bgp_id)->bytes(), U32(seconds), U32(microseconds));
  }
};

inline std::string BgpBytes(unsigned type, std::string_view body) {
  return Cat(std::string(16, '\xff'), U16(static_cast<unsigned>(19 + body.size())), U8(type), body);
}

inline std::string CapabilityBytes(unsigned code, std::string_view value) {
  return Cat(U8(code), U8(static_cast<unsigned>(value.size())), value);
}

// The body of an OPEN with all capabilities in one parameter.
inline std::string OpenBody(unsigned as, std::string_view bgp_id, std::string_view capabilities = {},
                            unsigned hold_time = 90) {
  const std::string parameter =
      capabilities.empty() ? "" : Cat(U8(2), U8(static_cast<unsigned>(capabilities.size())), capabilities);
  return Cat(U8(4), U16(as), U16(hold_time), IpAddress::Parse(bgp_id)->bytes(),
             U8(static_cast<unsigned>(parameter.size())), parameter);
}

// direction: 1 receive, 2 send, 3 both.
inline std::string AddPathCapability(unsigned afi, unsigned safi, unsigned direction) {
  return CapabilityBytes(69, Cat(U16(afi), U8(safi), U8(direction)));
}

inline std::string PeerUpBytes(const PeerBytes& peer, std::string_view sent_body, std::string_view received_body,
                               std::string_view tlvs = {}) {
  return Bmp(3, Cat(std::string(peer), std::string(12, '\0'), IpAddress::Parse("192.0.2.1")->bytes(), U16(179),
                    U16(40000), BgpBytes(1, sent_body), BgpBytes(1, received_body), tlvs));
}

inline std::string AttributeBytes(unsigned flags, unsigned code, std::string_view value) {
  const auto size = static_cast<unsigned>(value.size());
  return (flags & 0x10) != 0 ? Cat(U8(flags), U8(code), U16(size), value) : Cat(U8(flags), U8(code), U8(size), value);
}

// A prefix as in NLRI.
inline std::string Nlri(std::string_view prefix) {
  const auto parsed = Prefix::Parse(prefix).value();
  return Cat(U8(static_cast<unsigned>(parsed.length())),
             parsed.address().bytes().substr(0, (static_cast<std::size_t>(parsed.length()) + 7) / 8));
}

inline std::string UpdateBody(std::string_view withdrawn, std::string_view attributes, std::string_view nlri) {
  return Cat(U16(static_cast<unsigned>(withdrawn.size())), withdrawn, U16(static_cast<unsigned>(attributes.size())),
             attributes, nlri);
}

inline std::string RouteMonitoringBytes(const PeerBytes& peer, std::string_view update_body) {
  return Bmp(0, Cat(std::string(peer), BgpBytes(2, update_body)));
}

// ORIGIN igp, AS_PATH of one sequence, NEXT_HOP.
inline std::string BasicAttributes(std::string_view next_hop = "192.0.2.2",
                                   const std::vector<std::uint32_t>& path = {64501}) {
  std::string numbers;
  for (const auto as : path) numbers += U32(as);
  return Cat(AttributeBytes(0x40, 1, U8(0)),
             AttributeBytes(0x40, 2, Cat(U8(2), U8(static_cast<unsigned>(path.size())), numbers)),
             AttributeBytes(0x40, 3, IpAddress::Parse(next_hop)->bytes()));
}

inline std::string MpReachBytes(unsigned afi, unsigned safi, std::string_view next_hop, std::string_view nlri,
                                unsigned flags = 0x90) {
  return AttributeBytes(flags, 14,
                        Cat(U16(afi), U8(safi), U8(static_cast<unsigned>(next_hop.size())), next_hop, U8(0), nlri));
}

inline std::string MpUnreachBytes(unsigned afi, unsigned safi, std::string_view nlri, unsigned flags = 0x90) {
  return AttributeBytes(flags, 15, Cat(U16(afi), U8(safi), nlri));
}

inline std::string Text(const Route& route) {
  return route.path_id == 0 ? route.prefix.ToString() : fmt::format("{}#{}", route.prefix.ToString(), route.path_id);
}

inline std::string Text(const Announcement& a, const PathAttributes& attributes) {
  std::string out =
      fmt::format("{} via {} path [{}] {}", Text(a.route), a.next_hop.ToString(), attributes.as_path.ToString(),
                  attributes.origin ? OriginName(*attributes.origin) : "-");
  if (attributes.med) out += fmt::format(" med {}", *attributes.med);
  if (attributes.local_pref) out += fmt::format(" pref {}", *attributes.local_pref);
  for (const auto& community : attributes.CommunityTexts()) out += " " + community;
  return out;
}

inline std::string Text(const PeerHeader& peer) {
  return fmt::format("pt{} fl{:02x} {} as {} id {}", static_cast<int>(peer.type), peer.flags, peer.address.ToString(),
                     peer.as, peer.bgp_id.ToString());
}

// One line per event.
class EventLog : public SessionVisitor {
 public:
  std::vector<std::string> lines;

  std::string All() const {
    std::string out;
    for (const auto& line : lines) out += line + "\n";
    return out;
  }

  void OnInitiation(const Initiation& m) override {
    Add("initiation {} | {}", m.sys_name, m.sys_descr);
    for (const auto& text : m.strings) Add("  {}", text);
  }
  void OnTermination(const Termination& m) override {
    Add("termination {}", m.reason ? static_cast<int>(*m.reason) : -1);
  }
  void OnPeerUp(const PeerUp& m) override {
    Add("up {} local {}:{} remote port {} sent as {} id {} received as {} id {} table '{}'", Text(m.peer),
        m.local_address.ToString(), m.local_port, m.remote_port, m.sent.as, m.sent.bgp_id.ToString(), m.received.as,
        m.received.bgp_id.ToString(), m.table_name);
    for (const auto& text : m.strings) Add("  {}", text);
  }
  void OnPeerDown(const PeerDown& m) override {
    Add("down {} reason {}{}", Text(m.peer), static_cast<int>(m.reason), m.detail_malformed ? " malformed" : "");
    if (m.notification) {
      Add("  notification {} '{}'", NotificationName(m.notification->code, m.notification->subcode),
          m.notification->shutdown_message);
    }
    if (m.fsm_event) Add("  event {}", *m.fsm_event);
  }
  void OnRoutes(const PeerHeader& peer, Rib rib, const Update& update) override {
    Add("routes {} {}", Text(peer), RibName(rib));
    for (const auto& route : update.withdrawn) Add("  - {}", Text(route));
    for (const auto& a : update.announced) Add("  + {}", Text(a, update.attributes));
    if (update.error != UpdateError::kNone) Add("  error {} {}", static_cast<int>(update.error), update.error_text);
    if (update.path_ids_changed) Add("  ! path ids changed");
  }
  void OnEndOfRib(const PeerHeader& peer, Rib rib, AfiSafi family) override {
    Add("end-of-rib {} {} {}", Text(peer), RibName(rib), FamilyName(family));
  }
  void OnStatistics(const StatisticsReport& m) override {
    Add("statistics {}", Text(m.peer));
    for (const auto& s : m.statistics) {
      Add("  {} {}{}", s.type, s.family ? FamilyName(*s.family) + " " : "",
          s.value ? fmt::to_string(*s.value) : HexEncode(s.raw));
    }
  }
  void OnMirroring(const RouteMirroring& m) override {
    Add("mirroring {} messages {} errored {} lost {} unknown {}", Text(m.peer), m.bgp_messages, m.errored_pdus,
        m.messages_lost, m.unknown);
  }
  void OnSkipped(const Skipped& s) override {
    Add("skipped {} type {} {}{}{}", SkippedName(s.reason), s.message_type, s.peer ? Text(*s.peer) : "-",
        s.family ? " " + FamilyName(*s.family) : "", s.detail.empty() ? "" : fmt::format(" ({})", s.detail));
  }

 private:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    lines.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
};

// Counts events and nothing else.
class EventCounter : public SessionVisitor {
 public:
  int events = 0;
  void OnInitiation(const Initiation&) override { ++events; }
  void OnTermination(const Termination&) override { ++events; }
  void OnPeerUp(const PeerUp&) override { ++events; }
  void OnPeerDown(const PeerDown&) override { ++events; }
  void OnRoutes(const PeerHeader&, Rib, const Update&) override { ++events; }
  void OnEndOfRib(const PeerHeader&, Rib, AfiSafi) override { ++events; }
  void OnStatistics(const StatisticsReport&) override { ++events; }
  void OnMirroring(const RouteMirroring&) override { ++events; }
  void OnSkipped(const Skipped&) override { ++events; }
};

}  // namespace virp::bmp::testing
