// How one router key follows another (RFC 8634 section 3.1, RFC 8635 section 10): pure functions over the keys of one
// (router, AS). A next key is published long before it is used, so that relying parties know it when the router begins
// to sign with it; the old one goes only when nothing under it is left in the network. Plain values; time is given.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/clock.h"

namespace virp::keymgr {

enum class RouterKeyState : std::uint8_t {
  kCreated = 1,    // exists; relying parties do not know it
  kPublished = 2,  // its certificate is out: staging begins
  kStaging = 3,    // waits until relying parties everywhere have it
  kReady = 4,      // the next key; may stay so for months (RFC 8207 section 4)
  kActive = 5,     // the router signs with it
  kTwilight = 6,   // its successor signs; UPDATEs that it signed are being replaced
  kRevoked = 7,    // on the CRL
  kWithdrawn = 8,  // relying parties have dropped it: expired, or the CRL has spread
  kDestroyed = 9,
};
std::string_view RouterKeyStateName(RouterKeyState state);

// What an operator accepts while a compromised key has no successor (RFC 8635 section 10.3).
enum class Continuity : std::uint8_t {
  kKeepSigning = 1,    // the router goes on with the compromised key until its successor is there
  kDisableBgpsec = 2,  // it announces unsigned meanwhile
  kOffline = 3,        // it goes off the net
};

struct RollTimes {
  UnixNanos staging = UnixNanos{24} * 3'600 * 1'000'000'000;        // until relying parties have what is published
  UnixNanos propagation = UnixNanos{24} * 3'600 * 1'000'000'000;    // until they have dropped what is not
  UnixNanos destroy_after = UnixNanos{7} * 86'400 * 1'000'000'000;  // once withdrawn
};

struct RollKey {
  std::uint32_t version = 0;
  RouterKeyState state = RouterKeyState::kCreated;
  UnixNanos since = 0;      // in this state
  UnixNanos not_after = 0;  // of its certificate
  bool compromised = false;
  bool replaced = false;  // no UPDATE under it is left in the network, as its router says

  bool operator==(const RollKey&) const = default;
};

// The keys of one (router, AS), oldest first. At most one is active.
struct RouterRoll {
  std::vector<RollKey> keys;
  std::optional<Continuity> continuity;  // while no key may be used

  const RollKey* Find(std::uint32_t version) const;
  const RollKey* Active() const;  // null when there is none
  const RollKey* Next() const;    // the newest that comes behind the active one: created to ready

  bool operator==(const RouterRoll&) const = default;
};

// Each: OK and the roll has changed, or FailedPrecondition with reason ROUTER_KEY_STATE that says what must come first,
// and nothing has changed. NotFound for a version that is not there.

// A key that was just made. Refused while another next key is on its way: there are two slots, as in routers.
absl::Status AddNext(RouterRoll& roll, std::uint32_t version, UnixNanos now);
// Its certificate is on a publication point. A renewal, too, which may come out after its successor has taken over.
absl::Status MarkPublished(RouterRoll& roll, std::uint32_t version, UnixNanos not_after, UnixNanos now);
// The router was told to sign with it, and has confirmed. Before staging is over only with `emergency`, which the
// audit names. The one before it goes into twilight; a compromised one too: revoking it is another step.
absl::Status Activate(RouterRoll& roll, std::uint32_t version, bool emergency, UnixNanos now);
// The router confirms that no UPDATE under it is out any more. A key that is not revoked is withdrawn when its
// certificate ends.
absl::Status MarkReplaced(RouterRoll& roll, std::uint32_t version);
// Its serial number is on the CRL. A key in twilight only when its UPDATEs are replaced, or it is compromised: until
// then revoking it takes routes away. The active key only with a `continuity`, and not with kKeepSigning: the next one
// is activated first (RFC 8635 section 10.3). `certified`: relying parties may get a certificate of it that is not
// revoked. Only then a key that nobody has seen yet, or one that is over already, which stays so.
absl::Status MarkRevoked(RouterRoll& roll, std::uint32_t version, std::optional<Continuity> continuity, bool certified,
                         UnixNanos now);
// Somebody else may have it. It is never certified again (RFC 8634 section 3), and nothing but its end is left for it.
absl::Status MarkCompromised(RouterRoll& roll, std::uint32_t version, UnixNanos now);

// What time alone moves: published -> staging -> ready, revoked or expired -> withdrawn -> destroyed. Returns the
// versions that moved; those that are destroyed now are to be erased.
std::vector<std::uint32_t> Advance(RouterRoll& roll, const RollTimes& times, UnixNanos now);
// When Advance has something to do next; nothing when it never will.
std::optional<UnixNanos> NextAdvance(const RouterRoll& roll, const RollTimes& times);

}  // namespace virp::keymgr
