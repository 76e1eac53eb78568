// What an entry is about, computed from registration and payload (docs/formats/chain.md, "Subject"). Pure; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/chain/control.h"
#include "lib/frame/frame.h"
#include "lib/frame/payload.h"

namespace virp::chain {

// A statement taken from a frame: its subject, and the parts that facts are made of. Strings are in canonical form.
struct Statement {
  std::uint8_t flags = 0;        // Flag bits that the content earns: kOpaque, kScopeViolation
  std::string subject;           // text; empty when there is none
  std::uint64_t subject_id = 0;  // first 8 bytes of SHA-256(text), 0 when there is none

  enum class What : std::uint8_t {
    kOther,          // no fact of its own: other domains, device output, gaps ...
    kPeerState,      // type 1: peer is in `state`
    kPeerDown,       // type 2 with last_state Established
    kPathPresent,    // type 3 route_announce
    kPathAbsent,     // type 3 route_withdraw
    kTableComplete,  // type 3 table_complete
    kTableSummary,   // type 3 routes_summarised
    kBestPath,       // type 4
    kHeartbeat,
    kAlarm,
    kGap,
    kKeyEvent,
    kSourceEvent,
    kAlarmCleared,
  };
  What what = What::kOther;
  std::string router, vrf, rib, peer, prefix;  // registered router name; canonical address and prefix
  std::uint64_t path_id = 0;
  std::string state;         // kPeerState: new_state
  bool best_exists = false;  // kBestPath: `new` is an object
  bool open = false;         // kTableSummary: paths that were summarised have not all been stated since
  bool restated = false;
};

std::uint64_t SubjectIdOf(std::string_view subject);
std::string PeerSubject(std::string_view router, std::string_view vrf, std::string_view peer);
std::string PathSubject(std::string_view router, std::string_view vrf, std::string_view rib, std::string_view peer,
                        std::string_view prefix, std::uint64_t path_id);
std::string TableSubject(std::string_view router, std::string_view vrf, std::string_view rib, std::string_view peer);
std::string BestSubject(std::string_view router, std::string_view vrf, std::string_view prefix);
std::string SourceSubject(std::string_view source);

// The five names that `rib` may have.
bool IsRibName(std::string_view rib);

// The subject id that an entry with this result byte has: none when it is out of scope or opaque (flags beyond the
// statement's own come from SourceBook::Flags).
std::uint64_t SubjectUnder(const Statement& statement, std::uint8_t result);

// Reads a verified frame's payload as the source with this registration said it. `payload` is absent when the payload
// is not I-JSON (kOpaque). Whether a beat, a gap or an alarm may speak for another source is the SourceBook's to say,
// not ours. Never fails: a payload that lacks a key or holds one that does not parse has no subject and states nothing.
// SAFI other than unicast has its subject, and states nothing: the platform's claims are about unicast.
Statement ReadStatement(const Registration& registration, frame::Type type, const std::optional<frame::Value>& payload);

}  // namespace virp::chain
