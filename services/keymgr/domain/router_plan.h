// What is to be done about the keys of a slot: by the router, by operators, by time. Pure functions of the record and
// the time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/keymgr/domain/router_record.h"
#include "services/keymgr/domain/router_roll.h"

namespace virp::keymgr {

// Of certificate requests, so that they cannot fill the ledger. A version keeps its own request whatever is forgotten.
struct RequestLimits {
  std::chrono::hours waiting{24 * 30};  // undecided ones end after it
  std::chrono::hours kept{24 * 90};     // refused and ended ones are forgotten after it
  std::size_t per_router = 64;          // decided ones that are kept of one router: the newest
  std::size_t in_all = 100'000;         // and of all
};

struct RouterKeyOptions {
  RollTimes times;
  // Certificates are renewed so long before their end, and at least a week (RFC 8635 appendix B).
  std::chrono::hours renew_before{24 * 30};
  std::chrono::hours transfer_life{24 * 90};  // of the certificate that key packages are signed with
  RequestLimits requests;
};
inline constexpr std::chrono::hours kLeastRenewBefore{24 * 7};

// When the certificate that ends at `not_after` is renewed: spread by `slot` over a tenth of the time, so that a fleet
// that was made in an hour is not renewed in one.
UnixNanos RenewAt(std::string_view slot, UnixNanos not_after, const RouterKeyOptions& options);

// When time has to look at the slot next; nothing when it never has to.
std::optional<UnixNanos> NextLook(const RouterSlotRecord& slot, const RollTimes& times);

// What a router reports of a key.
enum class RouterEvent : std::uint8_t {
  kInstalled = 1,  // key and certificate are there and were checked
  kSigning = 2,    // it signs with the key from now on
  kReplaced = 3,   // no UPDATE that the key signed is left in the network
};
std::string_view RouterEventName(RouterEvent event);  // "INSTALLED", ...

// What the router signs to show that it has the key: "virp router report/1" LF slot LF version LF event LF key
// identifier in hex LF nonce in hex LF. ECDSA P-256 with SHA-256.
std::string ReportStatement(std::string_view slot, std::uint32_t version, RouterEvent event,
                            std::string_view key_identifier, std::string_view nonce);

// What a router is to make true for one slot, in this order: install, sign, replace, remove.
struct RouterPlan {
  std::string slot;
  std::uint32_t asn = 0;
  std::string usage;
  std::vector<std::uint32_t> install;  // fetch key (if it is made here) and certificate, check, report INSTALLED
  std::uint32_t sign_with = 0;         // 0: with none; then `continuity` says how it goes on
  std::optional<Continuity> continuity;
  std::vector<std::uint32_t> replace;  // sign again what these signed, then report REPLACED
  std::vector<std::uint32_t> remove;
  bool submit_next = false;  // make a key and send its request
  bool operator==(const RouterPlan&) const = default;
};
RouterPlan PlanFor(const RouterSpec& router, const RouterSlotRecord& slot, UnixNanos now);

// Whether the router should have reported the version as installed: relying parties have its certificate since the
// time of staging, or the router signs with it for as long (RFC 8635 section 6.2.1).
bool IsReportOverdue(const RouterSlotRecord& slot, const RouterVersion& version, const RollTimes& times, UnixNanos now);

// Keys that are compromised and that nobody has revoked: relying parties accept them to the end of their certificates.
std::size_t CompromisedInUse(const RouterSlotRecord& slot);

// Whether an order may be carried out now.
bool IsAllowed(const RouterSlotRecord& slot, const RouterSlotRecord::Order& order, UnixNanos now);

// What people are to do, in words: "approve the next key". Empty when nothing.
std::vector<std::string> Missing(const RouterSpec& router, const RouterSlotRecord& slot, UnixNanos now);

}  // namespace virp::keymgr
