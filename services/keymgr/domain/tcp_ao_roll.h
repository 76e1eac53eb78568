// The rollover of one TCP-AO key without a gap. RFC 5925 lets two ends change keys in the middle of a connection, and
// leaves open when the old one may go; this is the answer:
//
//   PENDING      both ends are told to install the new key, and go on with the old one
//   INSTALLED    both have it; waits for the time from which it is to be used
//   RNEXT_SET    both are told to ask for it (RNextKeyID) and to begin connections with it
//   CONFIRMING   both have asked for nothing else for as long as a segment may be under way. So no segment that is
//                still on its way makes anybody go back to the old key; both are told to look once more
//   CURRENT      both saw all their connections on the new key, in both directions by its counters; told to remove the
//                old one
//   OLD_REMOVED  both did. The end
//
// What an end is to do is a plan with a serial number, a report says which plan was carried out before it was taken:
// conditions count only reports of the plan that asks for them, so neither late reports nor the clocks of the ends
// matter. Everything here is a pure function of what was reported and the time that is given.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "services/keymgr/domain/tcp_ao.h"

namespace virp::keymgr {

inline constexpr std::size_t kMaxReportedKeys = 256, kMaxReportedSessions = 256;

// The first key of a pair goes through the same phases without an old one.
enum class TcpAoPhase : std::uint8_t {
  kPending = 1,
  kInstalled = 2,
  kRnextSet = 3,
  kConfirming = 4,
  kCurrent = 5,
  kOldRemoved = 6,
  kAborting = 7,  // before anybody used the new key: it is taken away again
  kAborted = 8,
};
std::string_view TcpAoPhaseName(TcpAoPhase phase);  // "PENDING", ...
std::optional<TcpAoPhase> TcpAoPhaseFromName(std::string_view name);

struct TcpAoTuple {
  std::uint32_t version = 0;  // of the key
  TcpAoIds ids;
  bool operator==(const TcpAoTuple&) const = default;
};

// What an end saw of itself.
struct TcpAoReport {
  struct Key {
    std::uint8_t send_id = 0, recv_id = 0;
    std::uint64_t good = 0, bad = 0;  // segments that verified under it, and that did not
  };
  struct Session {
    std::uint8_t current = 0;  // SendID that it sends by
    std::uint8_t rnext = 0;    // RecvID that it asks for
  };
  std::uint64_t serial = 0;  // of the newest plan that was carried out as a whole before this was seen
  // Installed for each socket of the pair, those that listen or connect included, and in what a restart reads.
  std::vector<Key> keys;
  std::vector<Session> sessions;  // established ones
  // How long every socket has asked for, and began connections with, the key that the plan prefers. By a clock that
  // does not step.
  UnixNanos asked_for = 0;
};

// What matters of the newest report of an end.
struct TcpAoView {
  std::uint64_t serial = 0;
  UnixNanos at = 0;  // when it came; 0: none came
  bool has_old = false, has_new = false;
  bool all_ask = false;      // every session asks for the new key
  bool all_current = false;  // every session sends by it
  std::uint32_t sessions = 0;
  std::uint64_t good = 0, bad = 0;  // of the new key
  UnixNanos asked_for = 0;

  bool operator==(const TcpAoView&) const = default;
};

struct TcpAoRoll {
  std::optional<TcpAoTuple> old_key;
  TcpAoTuple new_key;
  TcpAoPhase phase = TcpAoPhase::kPending;
  std::uint64_t serial = 0;  // of the plan; grows with each phase, over all rollovers of a pair
  UnixNanos started = 0;
  UnixNanos use_from = 0;  // earliest time of RNEXT_SET; key chains switch by the clock then
  UnixNanos deadline = 0;
  UnixNanos hold = 0;
  bool force_current = false;  // ends are told to send by the new key, whatever the peer asks for
  bool forced_removal = false;
  std::array<TcpAoView, 2> views;

  const TcpAoView& view(TcpAoEnd end) const { return views[At(end)]; }
  bool operator==(const TcpAoRoll&) const = default;
};

// What an end is to make true. Versions, in the order in which it is safe: install, then ask, then remove.
struct TcpAoPlan {
  std::uint64_t serial = 0;
  std::vector<TcpAoTuple> keys;  // these are to be installed, and no others of the pair; oldest first
  std::uint32_t preferred = 0;   // new connections begin with it, and every connection asks for it; 0: none yet
  bool set_current = false;      // every connection sends by it at once
};

bool IsOver(const TcpAoRoll& roll);                                      // OLD_REMOVED or ABORTED
bool IsOverdue(const TcpAoRoll& roll, UnixNanos now);                    // not over, and its deadline has passed
std::vector<std::string> Missing(const TcpAoRoll& roll, UnixNanos now);  // what it waits for, for people

// `last_serial`: of the pair's rollover before; 0 when there was none.
TcpAoRoll StartRoll(std::optional<TcpAoTuple> old_key, TcpAoTuple new_key, std::uint64_t last_serial, UnixNanos now,
                    UnixNanos use_from, UnixNanos deadline, UnixNanos hold);

// The same for both ends. When the rollover is over, it keeps the key that stayed.
TcpAoPlan PlanFor(const TcpAoRoll& roll);

// Takes in what `end` saw, and goes on as far as that lets it. A report of an older plan than one that came before is
// left aside. InvalidArgument for the serial of a plan that was never made, and for more keys or sessions than the
// limits.
absl::Status Report(TcpAoRoll& roll, TcpAoEnd end, const TcpAoReport& report, UnixNanos now);

// Goes on as far as the time lets it. True when the phase changed.
bool Advance(TcpAoRoll& roll, UnixNanos now);

// For a peer that ignores RNextKeyID: both ends are told to send by the new key. FailedPrecondition unless both were
// told to ask for it.
absl::Status ForceCurrent(TcpAoRoll& roll, UnixNanos now);
// The old key goes although nobody knows that no connection needs it: connections may break. FailedPrecondition unless
// both ends have the new one installed and were told to ask for it.
absl::Status ForceRemoval(TcpAoRoll& roll, UnixNanos now);
// Takes the new key away again. FailedPrecondition when somebody was told to use it: then the way out is forward.
absl::Status Abort(TcpAoRoll& roll, UnixNanos now);

}  // namespace virp::keymgr
