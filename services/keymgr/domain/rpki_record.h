// What the ledger keeps of our RPKI: two authorities, and the router certificates that the lower one issued.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/keymgr/domain/key.h"
#include "services/keymgr/domain/record.h"

namespace virp::keymgr {

// The issuing authority comes to a new key in these steps (RFC 6489).
enum class AuthorityState : std::uint8_t {
  kCurrent = 1,    // issues
  kStaging = 2,    // new: relying parties are getting to know it
  kReissuing = 3,  // new: they know it, and it issues; the certificates of the one before are being issued again by it
  kRetiring = 4,   // old: revoked; the CRL that says so is not out yet
  kRetired = 5,    // on the trust anchor's CRL until its certificate ends
  // The database that was restored knows no newer key, but the chain does: it is revoked, and signs nothing more.
  kSuperseded = 6,
};
std::string_view AuthorityStateName(AuthorityState state);

struct AuthorityRecord final : Record {
  static constexpr std::string_view kKind = "rpki_authority";

  std::string id;           // "ta", "ca"; "ca-new" during a roll, "ca-old-N" of those before
  std::string certificate;  // DER
  std::string base_uri;     // rsync folder that holds both publication points; as it was when the certificate was made
  std::uint32_t key_version = 0;
  std::uint64_t number = 0;            // of the newest CRL and manifest that may be out: never used again
  std::uint64_t published_number = 0;  // of the newest that is known to be out
  UnixNanos published_at = 0;          // when; 0: nothing was published yet
  UnixNanos published_until = 0;       // its next update
  AuthorityState state = AuthorityState::kCurrent;
  UnixNanos since = 0;             // in this state; of a new one since it is published
  UnixNanos revoked = 0;           // 0: it is not
  bool waiting = false;            // its certificate, or that it is revoked, is not out yet
  std::uint32_t last_version = 0;  // of a key, given to whatever became of it since; 0: key_version

  std::uint32_t NextVersion() const { return (last_version > key_version ? last_version : key_version) + 1; }
  bool IsAnchor() const { return id == "ta"; }
  std::string folder() const { return IsAnchor() ? "ta" : "ca"; }  // of its publication point
  // Of its files: "ca", then "ca-2".
  std::string stem() const { return key_version <= 1 ? folder() : folder() + "-" + std::to_string(key_version); }
  KeyIdentity identity() const { return {KeyKind::kIssuer, folder(), key_version, Algorithm::kRsa2048}; }
  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

enum class CertificateState : std::uint8_t {
  kIssued = 1,     // signed; relying parties do not see it yet
  kPublished = 2,  // on the manifest of the publication point
  kRevoking = 3,   // revoked; the CRL that says so is not out yet
  kRevoked = 4,    // on the published CRL until it expires
  kExpired = 5,    // ended without having been revoked
  kReplaced = 6,   // the authority came to a new key, and issued it again with that
};
std::string_view CertificateStateName(CertificateState state);

struct RouterCertificateRecord final : Record {
  static constexpr std::string_view kKind = "router_certificate";

  std::string id;  // key identifier / AS / serial number, so that all certificates of a key stand together
  std::string router;
  std::uint32_t asn = 0;
  std::uint32_t bgp_id = 0;
  CertificateState state = CertificateState::kIssued;
  std::string certificate;  // DER
  std::string serial;       // bytes
  UnixNanos not_after = 0;
  UnixNanos revoked = 0;             // 0: it is not
  std::uint32_t issuer_version = 1;  // of the authority's key

  bool IsLive() const { return state == CertificateState::kIssued || state == CertificateState::kPublished; }
  bool IsRevoked() const { return revoked != 0; }
  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

}  // namespace virp::keymgr
