// BGPsec router keys (RFC 8635): routers and their accounts, requests and their approval, keys that are made here,
// certificates, and the life of each key to its end (RFC 8634). Every change is one audit record of the ledger.
// Certificates come from RpkiAuthority, or from outside (router_keys_import.cc); publishing is somebody else's: what it
// changes, Advance() takes notice of.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/router_book.h"
#include "services/keymgr/domain/router_escrow.h"
#include "services/keymgr/domain/router_nonces.h"
#include "services/keymgr/domain/router_plan.h"
#include "services/keymgr/domain/router_record.h"
#include "services/keymgr/domain/rpki_authority.h"
#include "services/keymgr/domain/transfer_keys.h"

namespace virp::keymgr {

// Who calls, by its certificate.
struct RouterCaller {
  std::string identity;          // SPIFFE id
  bool is_operator = false;      // else it acts for routers that name it as their agent only
  std::string certificate = {};  // DER, as TLS has seen it; empty where there was none
};

// Thread-safe. Make it before the ledger starts, and stop the ledger before it goes. Errors besides those named:
// NotFound for what is not there, those of Ledger::Commit and of the custody; PermissionDenied with reason
// NOT_YOUR_ROUTER when a caller that is no operator is not the router's agent; FailedPrecondition with reason
// DECOMMISSIONED. Nothing of a call is done when it fails.
class RouterKeys {
 public:
  using RouterPtr = std::shared_ptr<const RouterRecord>;
  using SlotPtr = std::shared_ptr<const RouterSlotRecord>;
  using RequestPtr = std::shared_ptr<const RouterRequestRecord>;

  // All outlive it. `self`: the manager's own identity, actor of what the clock causes.
  RouterKeys(Ledger& ledger, const Custodies& custodies, RpkiAuthority& authority, const Clock& clock,
             RouterKeyOptions options, std::string self);

  static std::vector<RecordType> Types();

  // ---- Routers ----

  // InvalidArgument as CheckRouter. AlreadyExists when the id is, or was, there, or another router has this agent.
  absl::StatusOr<RouterPtr> Register(const Call& call, const RouterSpec& spec);
  // `revision` 0: whatever it is; else Aborted when it is another. FailedPrecondition with reason ROUTER_KEYS when an
  // AS goes that has keys: revoke them first (RFC 6484 section 4.8.1).
  absl::StatusOr<RouterPtr> Update(const Call& call, const RouterSpec& spec, std::uint64_t revision);
  absl::Status Readable() const { return ledger_.Readable(); }  // ask before what follows is answered from
  absl::StatusOr<RouterPtr> GetRouter(std::string_view id) const;
  std::vector<RouterPtr> ListRouters(std::string_view after, std::size_t limit) const;  // by id
  // The router whose agent this is. NotFound.
  absl::StatusOr<RouterPtr> RouterOf(std::string_view agent) const;
  // No more keys for it. FailedPrecondition with reason ROUTER_KEYS while one may still be signed with: revoke first.
  absl::Status Decommission(const Call& call, std::string_view id);
  // Who had access to preinstalled keys (RFC 8635 section 9(3)): CMS SignedData with its signer's certificate, at most
  // 128 KiB. FailedPrecondition when its signature is not good.
  absl::StatusOr<RouterPtr> AttachCustodyLog(const Call& call, std::string_view router, std::string_view log);
  absl::StatusOr<std::string> CustodyLogOf(std::string_view router, std::string_view sha256) const;

  // ---- Requests of routers (RFC 8635 sections 6.1 and 9; EST, RFC 7030) ----

  struct Submission {
    std::string router = {};  // empty: the one whose agent the caller is
    std::uint32_t asn = 0;    // 0: the router's only one. InvalidArgument with field `asn` when it has several
    std::optional<std::uint32_t> bgp_id = std::nullopt;  // compared with the router's when given
    std::string usage = {};
    bool renew = false;             // a certificate that is an hour old or older is replaced (RFC 7030 section 4.2.2)
    std::string_view request = {};  // PKCS #10, DER or PEM, at most 16 KiB
  };
  // A request that came before is answered with what became of it, and nothing is changed: whoever waits sends it
  // again. A new one
  //   - for a key with a certificate of this router and AS is a renewal: issued at once, or answered with the newest
  //     certificate when that is less than an hour old;
  //   - of an agent that matches the router's registered material is approved by it (RFC 8635 section 9), while the
  //     router has no certified key in that AS;
  //   - else waits for Approve.
  // InvalidArgument with the reasons of rpki::CheckRouterRequest, and TLS_KEY: it is for the key that the caller's TLS
  // certificate is for, or one of the account's material (RFC 8635 appendix B.1); FailedPrecondition with reason
  // AS_NOT_HELD, BGP_ID_DIFFERS, METHOD (the router's keys are not its own to make), ROUTER_KEY_STATE (another next key
  // is on its way, or the time of this one is over), COMPROMISED; AlreadyExists KEY_IN_USE, ANOTHER_SLOT (it came for
  // another AS or usage); ResourceExhausted when 16 requests of the router wait, or 20,000 in all, or it has 8 usages
  // in the AS.
  absl::StatusOr<RequestPtr> SubmitRequest(const Call& call, const RouterCaller& caller, const Submission& submission);
  // By id (SHA-256 of the DER in hex).
  absl::StatusOr<RequestPtr> GetRequest(const RouterCaller& caller, std::string_view id) const;
  // By age, oldest first. `after`: id of the last one of the page before.
  std::vector<RequestPtr> ListPending(std::string_view after, std::size_t limit) const;
  // Gives it a version, and a certificate unless an outside authority is to make it. PermissionDenied with reason
  // SAME_PERSON for who submitted it; FailedPrecondition with reason DECIDED when somebody decided before, CUSTODY_LOG
  // when one is to be attached first, and as SubmitRequest.
  absl::StatusOr<RequestPtr> Approve(const Call& call, std::string_view id);
  absl::StatusOr<RequestPtr> Reject(const Call& call, std::string_view id);

  // ---- Certificates ----

  // The newest certificate of a version (0: the active one, else the next) with every authority below the trust anchor,
  // PKCS #7 (RFC 8635 section 7). FailedPrecondition with reason NOT_ISSUED.
  absl::StatusOr<std::string> CertsOnly(const RouterCaller& caller, std::string_view slot, std::uint32_t version) const;
  absl::StatusOr<std::string> CertificateOf(const RouterCaller& caller, std::string_view slot,
                                            std::uint32_t version) const;  // DER, alone
  // What a router installs first: the trust anchor that its certificates lead to, DER (RFC 8635 section 5). The TAL and
  // the authorities below it: RpkiAuthority::Tal, Authorities.
  absl::StatusOr<std::string> TrustAnchor() const { return authority_.TrustAnchor(); }
  // The whole way for /cacerts: trust anchor first, then the authorities below it, DER each.
  absl::StatusOr<std::vector<std::string>> TrustChain() const;

  // ---- Keys that are made here (RFC 8635 section 6.2) ----

  // The next key of the slot, with its request; not issued yet. FailedPrecondition with reason METHOD,
  // ROUTER_KEY_STATE.
  struct Created {
    SlotPtr slot;
    std::uint32_t version = 0;
  };
  absl::StatusOr<Created> Create(const Call& call, std::string_view router, std::uint32_t asn, std::string_view usage);
  // Certifies a version that has no certificate, or renews one. The request is the one that is kept.
  absl::StatusOr<SlotPtr> Issue(const Call& call, std::string_view slot, std::uint32_t version);
  // The private key in a signed package (RFC 5958, RFC 8635 section 6.2.1), encrypted for the holder of `recipient`
  // (certificate, DER, as cms::Encrypt wants it) when that is given. Recorded before it is let out. PermissionDenied
  // with reason NOT_EXPORTABLE; a ONCE key never again.
  absl::StatusOr<crypto::Secret> Package(const Call& call, const RouterCaller& caller, std::string_view slot,
                                         std::uint32_t version, std::string_view recipient);

  // Appendix B in one call: registers the router unless it is there, makes and issues a key for each of its ASes that
  // has none, and packs each. A repeat goes on where it was interrupted.
  struct Provisioned {
    SlotPtr slot;
    std::uint32_t version = 0;
    std::string request;     // DER
    std::string certs_only;  // DER
    crypto::Secret package;  // empty when the key does not leave: policy, or it left by this call before
  };
  struct Provision {
    RouterPtr router;
    std::string trust_anchor, tal;
    std::vector<Provisioned> keys;
  };
  absl::StatusOr<Provision> ProvisionRouter(const Call& call, const RouterSpec& spec, std::string_view recipient);

  // ---- Outside authorities ----

  enum class RequestForm : std::uint8_t { kDer = 1, kPem = 2, kKrill = 3 };  // kKrill: body of `bgpsec` updates, JSON
  absl::StatusOr<std::string> ExportRequest(const RouterCaller& caller, std::string_view slot, std::uint32_t version,
                                            RequestForm form) const;
  // A certificate of this version with the authorities above it: PKCS #7 certs-only, or .cer and PEM. Checked to the
  // letter, up to `trust_anchor` (DER). It is taken as published: its authority has done that. InvalidArgument with the
  // reasons of rpki::CheckPath; FailedPrecondition with reason OWN_AUTHORITY, ROUTER_KEY_STATE.
  absl::StatusOr<SlotPtr> ImportCertificate(const Call& call, std::string_view slot, std::uint32_t version,
                                            std::string_view certificates, std::string_view trust_anchor);

  // ---- Escrow, for the replacement of a router (RFC 8635 section 10.4) ----

  // Takes the private key of a version that the router made (PKCS #8, DER): it leaves to a replacement only.
  // InvalidArgument with reason KEY_DIFFERS when it is another; AlreadyExists when it is here.
  absl::StatusOr<SlotPtr> Deposit(const Call& call, const RouterCaller& caller, std::string_view slot,
                                  std::uint32_t version, const crypto::Secret& pkcs8);
  // Two persons let a key out: one asks, another approves within a day, the first one takes it, once. `agent`: identity
  // of the replacement, which becomes the router's; `recipient`: certificate (DER) that it is encrypted for;
  // `expected`: digest of the request that the approver looked at. PermissionDenied with reason NOT_EXPORTABLE for a
  // key that is not escrowed, SAME_PERSON; FailedPrecondition with reason NOT_REQUESTED, NOT_APPROVED, ANOTHER_REQUEST,
  // ROUTER_KEY_STATE for a key that nobody is to sign with any more; AlreadyExists when another router has this agent.
  using EscrowPtr = std::shared_ptr<const EscrowReleaseRecord>;
  absl::StatusOr<EscrowPtr> RequestRelease(const Call& call, std::string_view slot, std::uint32_t version,
                                           std::string_view agent, std::string_view recipient);
  EscrowPtr ReleaseOf(std::string_view slot, std::uint32_t version) const;  // that waits; null when none does
  absl::Status ApproveRelease(const Call& call, std::string_view slot, std::uint32_t version,
                              std::string_view expected);
  absl::StatusOr<crypto::Secret> TakeRelease(const Call& call, std::string_view slot, std::uint32_t version);

  // ---- Reports (RFC 8635 sections 6.2.1, 8, 10.2) ----

  // 32 bytes, good for ten minutes and one report; asking again voids the one before. Not kept over a restart.
  absl::StatusOr<std::string> Nonce(const RouterCaller& caller, std::string_view slot, std::uint32_t version);
  struct Report {
    RouterEvent event = RouterEvent::kInstalled;
    bool package_valid = false, chain_valid = false, key_match = false;
    std::string detail = {};
    std::string signature = {};  // over ReportStatement by the key of `version`; of kReplaced by the active one
  };
  // Without a signature an operator's word only. FailedPrecondition with reason NONCE when none was asked for or it is
  // over; InvalidArgument with reason KEY_DIFFERS when the signature is not the key's (RFC 8635 section 8: a hard
  // stop); NOT_ORDERED for kSigning without an order; ROUTER_KEY_STATE.
  absl::StatusOr<SlotPtr> TakeReport(const Call& call, const RouterCaller& caller, std::string_view slot,
                                     std::uint32_t version, const Report& report);
  // What the router is to do now. Changes nothing. `router` empty: the caller's own.
  absl::StatusOr<std::vector<RouterPlan>> Plan(const RouterCaller& caller, std::string_view router) const;
  // `router`, or the one whose agent the caller is.
  absl::StatusOr<std::string> RouterIdOf(const RouterCaller& caller, std::string_view router) const;

  // ---- Life (RFC 8634, RFC 8635 section 10) ----

  absl::StatusOr<SlotPtr> GetSlot(std::string_view slot) const;
  std::vector<SlotPtr> ListSlots(std::string_view router, std::string_view after, std::size_t limit) const;  // by id
  // Orders the router to sign with the next key once it is ready; in an emergency at once. FailedPrecondition with
  // reason NOT_CONFIRMED without a good report unless `unconfirmed`.
  absl::StatusOr<SlotPtr> Activate(const Call& call, std::string_view slot, std::uint32_t version, bool emergency,
                                   bool unconfirmed);
  // Never certified again, and a certificate that is not out yet is revoked. The router is told what `continuity` says
  // until a successor signs.
  absl::StatusOr<SlotPtr> Taint(const Call& call, std::string_view slot, std::uint32_t version,
                                std::optional<Continuity> continuity);
  // Every certificate of it is on the CRL with the next publication. A key of an outside authority: say it there first.
  absl::StatusOr<SlotPtr> Revoke(const Call& call, std::string_view slot, std::uint32_t version,
                                 std::optional<Continuity> continuity);

  // What time and publications move on: states, renewals, next keys, destruction of what is over. Call it every few
  // seconds on the active manager; does a bounded part. The first error, after all of the part was tried.
  absl::Status Advance();

  // Records once of each version that its router has not reported it as installed in time, at most 64 at once. As
  // Advance.
  absl::Status TellOverdueReports();
  std::size_t OverdueReports() const;  // versions
  // Versions that are compromised and not revoked, so that relying parties accept what they sign.
  std::size_t CompromisedKeys() const;

  const RouterBook& book() const { return book_; }

 private:
  using Step = std::function<absl::Status(const Snapshot& now, RouterSlotRecord& slot, Changes& changes)>;

  // router_keys.cc
  absl::StatusOr<RouterPtr> Allowed(const RouterCaller& caller, const Snapshot& now, std::string_view router) const;
  absl::StatusOr<SlotPtr> AllowedSlot(const RouterCaller& caller, std::string_view slot) const;
  absl::StatusOr<SlotPtr> Change(const Call& call, std::string_view slot, const RouterBook::Change& change) const;
  Call OwnCall(std::string_view what, std::string reason) const;

  // router_keys_enrol.cc
  struct Wanted {  // a request that was checked, for a router that may have it
    RouterPtr router;
    std::uint32_t asn = 0;
    std::string slot, request, spki, id;
    std::shared_ptr<const rpki::RouterRequest> checked;
  };
  absl::StatusOr<Wanted> Check(const RouterCaller& caller, const Snapshot& now, const Submission& submission,
                               RouterPtr router, std::string request) const;
  static bool Matches(const RouterCaller& caller, const RouterRecord& router, std::string_view spki);
  static absl::Status CheckNoTlsKey(const RouterCaller& caller, const RouterRecord& router, std::string_view spki);
  absl::StatusOr<RequestPtr> RenewFor(const Call& call, const Wanted& wanted, const RouterSlotRecord& slot,
                                      const RouterVersion& version);
  // `checked`: its request, when that was checked just now; null else.
  absl::StatusOr<RequestPtr> Accept(const Call& call, std::shared_ptr<RouterRequestRecord> request, bool approved,
                                    const rpki::RouterRequest* checked);

  // router_keys_issue.cc
  static absl::Status AddVersion(RouterSlotRecord& slot, RouterVersion version, UnixNanos now);
  absl::Status TakeCertificate(const Snapshot& now, RouterSlotRecord& slot, std::uint32_t version,
                               const RouterCertificateRecord& issued, Changes& changes) const;
  // Borrows `request` and `checked`.
  RpkiAuthority::Order OrderOf(const RouterRecord& router, std::string_view slot, std::uint32_t asn,
                               std::string_view usage, std::uint32_t version, std::string_view request,
                               const rpki::RouterRequest* checked, Step step) const;
  absl::StatusOr<RpkiAuthority::Item> ItemFor(const Call& call, std::string_view slot, std::uint32_t version) const;
  absl::StatusOr<Created> MakeKey(const Call& call, const RouterRecord& router, std::uint32_t asn,
                                  std::string_view usage);
  absl::StatusOr<Provisioned> ProvisionSlot(const Call& call, const RouterRecord& router, std::uint32_t asn,
                                            std::string_view recipient);

  // router_keys_roll.cc
  struct Settled {
    bool changed = false;
    std::vector<std::uint32_t> moved;
    std::vector<std::uint32_t> destroyed;
  };
  Settled Settle(const Snapshot& now, RouterSlotRecord& slot, UnixNanos time) const;
  absl::Status SettleAll(const std::vector<std::string>& slots);
  // Certificates that are to be made now, each with its slot.
  using Due = std::vector<std::pair<std::string, RpkiAuthority::Item>>;
  absl::Status Renewals(const std::string& slot, Due& due) const;
  absl::Status NextKey(const std::string& slot, Due& due);

  void NoteReissued(const Snapshot& now, const RouterCertificateRecord& old_one, const RouterCertificateRecord& new_one,
                    Changes& changes) const;

  // router_requests.cc
  absl::Status PruneRequests(UnixNanos time);

  Ledger& ledger_;
  const Custodies& custodies_;
  RpkiAuthority& authority_;
  const Clock& clock_;
  const RouterKeyOptions options_;
  const std::string self_;
  RouterBook book_;
  RouterNonces nonces_;
  TransferKeys transfer_;
};

}  // namespace virp::keymgr
