// Our own RPKI: a trust anchor, one issuing authority below it, and the publication point of both. It issues and
// revokes router certificates and keeps what relying parties see equal to what the ledger says: each issued certificate
// that is neither revoked nor expired, and nothing else. The trust anchor is private: nobody outside trusts it until
// they install its TAL. For the global RPKI the certificate comes from an RIR or a CA below one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/rpki/chain.h"
#include "lib/rpki/check.h"
#include "lib/rpki/feed.h"
#include "lib/rpki/point.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/rpki_record.h"

namespace virp::keymgr {

// Where publications go, possibly those of several managers, of which one at a time leads. Thread-safe.
class PublicationTarget {
 public:
  using Tree = std::map<std::string, std::string>;
  virtual ~PublicationTarget() = default;
  // Of what is out there now; 0: nothing yet.
  virtual absl::StatusOr<std::uint64_t> Number() = 0;
  // Puts the whole tree in the place of the one before, or leaves that one. Aborted with reason NEWER_PUBLICATION when
  // this number or a greater one is out: somebody else leads. FailedPrecondition with reason ANOTHER_AUTHORITY when the
  // publication of another trust anchor is out there.
  virtual absl::Status Publish(const Tree& tree, std::uint64_t number) = 0;
};

struct RpkiOptions {
  std::string base_uri;  // rsync://HOST/MODULE/, where relying parties find the publication
  std::string trust_anchor_name = "VIRP private trust anchor";
  std::string authority_name = "VIRP router authority";
  rpki::AsResources as_numbers;  // all that certificates may be issued for
  rpki::IpResources addresses;   // an authority with AS numbers only troubles some relying parties
  std::chrono::hours authority_life{24 * 365 * 10};
  // Until relying parties have the certificate of a new issuing key: at least a day (RFC 6489 section 2).
  std::chrono::seconds roll_staging{std::chrono::hours(24)};
  std::chrono::hours router_life{24 * 365};
  // CRL and manifest: how long they are good, and how long before their end they are replaced. A point whose manifest
  // is stale loses all its router keys.
  std::chrono::seconds point_life{std::chrono::hours(24)};
  std::chrono::seconds refresh_before{std::chrono::hours(8)};
};

// Where the roll of the issuing authority's key stands.
struct AuthorityRoll {
  std::uint32_t version = 0;  // of the key that issues
  // Of the roll: kCurrent when there is none. kStaging and kReissuing are about `next`, kRetiring about the one before.
  AuthorityState state = AuthorityState::kCurrent;
  std::uint32_t next = 0;    // version; 0: none
  UnixNanos since = 0;       // in this state; 0: staging has not begun, the new certificate is not out yet
  std::size_t reissued = 0;  // certificates by the new key
  std::size_t left = 0;      // those that are not issued again yet
};

// What relying parties can see now, as far as known.
struct PublicationState {
  bool set_up = false;
  std::uint64_t number = 0;  // of the newest that is known to be out
  UnixNanos published_at = 0, published_until = 0;
  std::size_t certificates = 0;  // on it
  std::size_t revoked = 0;       // on its CRL
  std::size_t waiting = 0;       // certificates and revocations that are on the next one only
};

// Thread-safe. Errors besides those named: those of Ledger::Commit and of the custody. Nothing of a call is done when
// it fails.
class RpkiAuthority {
 public:
  using CertificatePtr = std::shared_ptr<const RouterCertificateRecord>;

  // All outlive it. `self`: the manager's own identity, actor of what the clock causes.
  RpkiAuthority(Ledger& ledger, const Custodies& custodies, PublicationTarget& target, rpki::OneTimeKeys& one_time_keys,
                const Clock& clock, RpkiOptions options, std::string self);

  // Makes keys and certificates of both authorities. OK when they are there already. InvalidArgument for options that
  // the profile has no room for.
  absl::Status SetUp(const Call& call);

  struct Order {
    std::string router;  // as CheckKeyId
    std::uint32_t asn = 0;
    std::uint32_t bgp_id = 0;
    std::string_view request;  // PKCS #10, DER
    // The same, when it was checked for this AS number: it is not checked again then. May be null.
    const rpki::RouterRequest* checked = nullptr;
    std::optional<std::chrono::seconds> life = std::nullopt;  // else the options' router_life
    // What else changes with it, in the same commit; leaves no audit record. May be null.
    std::function<absl::Status(const Snapshot& now, const RouterCertificateRecord& issued, Changes& changes)> also = {};
    std::vector<KeyIdentity> keys = {};  // for the audit record
  };
  // Checks the request, issues, checks what was issued up to the trust anchor, and records it. It is out after the next
  // Publish. Errors:
  //   InvalidArgument     with the reason of rpki::CheckRouterRequest
  //   FailedPrecondition  reason NO_AUTHORITY before SetUp; AS_NOT_HELD
  //   AlreadyExists       reason KEY_IN_USE: another router has this key, or this one has a certificate for this AS
  //                       with it that is neither revoked nor expired (unless `renew`)
  absl::StatusOr<CertificatePtr> Issue(const Call& call, const Order& order, bool renew = false);

  // Many, for a fleet: they share commits. A result for each, in this order; that one is refused is no other's matter.
  struct Item {
    Call call;
    Order order;
    bool renew = false;
  };
  std::vector<absl::StatusOr<CertificatePtr>> IssueAll(const std::vector<Item>& items);

  // Within an Edit of somebody else, who leaves the audit record: on the CRL after the next Publish. What is revoked
  // already stays so. NotFound.
  static absl::Status RevokeIn(const Snapshot& now, Changes& changes, std::string_view id);
  // Every certificate of a key for an AS, whatever became of it; whose slots and lists they are in does not matter.
  static std::vector<CertificatePtr> CertificatesOf(const Snapshot& now, std::string_view spki, std::uint32_t asn);

  absl::StatusOr<CertificatePtr> Get(std::string_view id) const;
  absl::StatusOr<std::string> TrustAnchor() const;  // DER
  absl::StatusOr<std::string> Tal() const;
  std::vector<std::string> AuthoritiesBelow() const;  // the trust anchor, DER; none before SetUp

  // A certificate for the key that signs key packages, good for `life` from now: it is recorded by who asks.
  absl::StatusOr<std::string> CertifyTransferKey(std::string_view spki, std::chrono::seconds life) const;

  // What is published and valid, for RTR caches and exports, by AS and key.
  std::vector<rpki::RouterKey> RouterKeys() const;

  // DER of all that are published and valid, by AS and key identifier.
  std::vector<std::string> PublishedCertificates() const;

  PublicationState State() const;
  // Whether relying parties see something else than they should, or CRL and manifest are to be replaced: they end soon,
  // or begin in the future. The target's
  // error when it does not say what it has.
  absl::StatusOr<bool> PublicationDue() const;
  // Publishes now: takes a new number, signs CRLs and manifests, hands the whole to the target, and records what is out
  // now. A crash at any point is made good by the next one. `call`: who wants it; without, it is due. A repeated
  // request publishes nothing.
  absl::Status Publish(const Call* call = nullptr);

  // Marks certificates that ended, at most 256: the feed withdraws them, the next publication leaves them out. Takes
  // the mark back from those that have not ended, which a wrong clock left: they are published again. How many.
  absl::StatusOr<std::size_t> ExpireEnded();

  // The issuing authority comes to a new key (RFC 6489): the key and its certificate now, all else by Advance.
  // FailedPrecondition with reason ROLLING while the roll before is not over.
  absl::Status StartRoll(const Call& call);
  AuthorityRoll Roll() const;
  // What time asks for: certificates of authorities that end are made anew with their keys; a roll goes on, a bounded
  // part at a time; a superseded key (TakeOverRpki) is replaced, and nothing is published until that is done. Whether
  // something was done. Call it every few seconds on the active manager.
  absl::StatusOr<bool> Advance();
  // `also` changes what else must know that a certificate was issued again. Before the ledger starts.
  using Reissued = std::function<void(const Snapshot& now, const RouterCertificateRecord& old_one,
                                      const RouterCertificateRecord& new_one, Changes& changes)>;
  void OnReissue(Reissued also) { reissued_ = std::move(also); }
  // Whether the authority that issues now made this certificate.
  bool IsOurs(std::string_view certificate) const;

  // Whether the chain below the trust anchor holds now: its dates, names, signatures and resources.
  absl::Status CheckChain() const;

 private:
  struct Authorities {
    std::shared_ptr<const AuthorityRecord> anchor, issuer;
    std::shared_ptr<const AuthorityRecord> next;  // during a roll, else null
    std::shared_ptr<const Snapshot> snapshot;
    const AuthorityRecord& Signing() const {
      return next != nullptr && next->state == AuthorityState::kReissuing ? *next : *issuer;
    }
  };
  struct Wanted {
    struct Point {
      rpki::Files files;
      std::vector<x509::Revoked> revoked;
    };
    std::map<std::uint32_t, Point> points;  // by version of the issuing key
    std::vector<x509::Revoked> authorities;
    std::size_t listed = 0, revoked = 0;
    std::vector<std::string> issued, revoking;  // ids that change their state when this is out
  };
  absl::StatusOr<Authorities> Find() const;
  absl::StatusOr<SealedKey> MakeKey(std::string_view id, std::uint32_t version);
  absl::StatusOr<x509::Signer> SignerOf(const SealedKey& key) const;
  absl::StatusOr<rpki::Issuer> IssuerOf(const Authorities& both, const AuthorityRecord& which) const;
  rpki::AuthoritySpec SpecOf(const AuthorityRecord& which, std::string_view name, std::string_view spki) const;
  bool IsSuperseded() const;
  Wanted WantedNow(const Authorities& both) const;
  absl::StatusOr<PublicationTarget::Tree> Build(const Authorities& both, std::uint64_t number, Wanted& wanted,
                                                rpki::Time until);
  absl::StatusOr<CertificatePtr> Certify(const Order& order) const;
  absl::StatusOr<std::shared_ptr<RouterCertificateRecord>> Sign(const Authorities& both, std::uint32_t asn,
                                                                std::uint32_t bgp_id, std::string_view spki,
                                                                rpki::Time until,
                                                                const crypto::P256PublicKey* key) const;
  Edit EditFor(const Order& order, CertificatePtr record, bool renew) const;
  absl::StatusOr<std::shared_ptr<const rpki::Chain>> ChainOf(const Authorities& both) const;
  absl::StatusOr<std::uint64_t> TakeNumber(const Call& call, bool& replayed);
  absl::Status Mark(const std::vector<std::string>& ids, CertificateState as, std::string_view event);
  absl::Status RecordPublished(const Authorities& both, const Wanted& wanted, std::uint64_t number, rpki::Time until,
                               std::string fields);

  // rpki_roll.cc
  struct Left {
    std::vector<CertificatePtr> todo;  // of the key that goes, and not issued again
    std::size_t reissued = 0;
    bool all_out = true;  // those that were are published
  };
  static Left LeftOf(const Snapshot& state, const AuthorityRecord& old_one, const AuthorityRecord& new_one,
                     UnixNanos now);
  absl::StatusOr<std::string> CertifyAuthority(const Authorities& both, const AuthorityRecord& which,
                                               std::string_view name, std::string_view spki) const;
  absl::Status MakeNext(const Call& call, const Authorities& both, AuthorityState state_of_next);
  absl::StatusOr<bool> RenewEnding(const Authorities& both, const AuthorityRecord& which);
  absl::StatusOr<bool> GoOn(const Authorities& both);
  absl::Status Reissue(const Authorities& both, std::vector<CertificatePtr> todo);
  absl::Status Switch(const Authorities& both);
  absl::StatusOr<bool> Retire(const Authorities& both, const AuthorityRecord& old_one);
  Call OwnCall(std::string_view what) const;
  rpki::Time Now() const;

  Ledger& ledger_;
  const Custodies& custodies_;
  PublicationTarget& target_;
  rpki::OneTimeKeys& one_time_keys_;
  const Clock& clock_;
  const RpkiOptions options_;
  const std::string self_;
  Reissued reissued_;
  mutable Mutex chain_mutex_;
  mutable std::shared_ptr<const rpki::Chain> chain_ ABSL_GUARDED_BY(chain_mutex_);  // that was asked for last
  Mutex publishing_;  // one publication at a time: numbers reach the target in their order
};

}  // namespace virp::keymgr
