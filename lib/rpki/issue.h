// Makes the objects of an RPKI certification authority, byte for byte in their profiles: certificates (RFC 6487, 8209),
// CRL (RFC 6487 section 5), manifest (RFC 9286, 6488). Keys stay where they are: each object is built around a
// signature that an x509::Signer makes with RSA and SHA-256. Functions are thread-safe; each fails with
// InvalidArgument for what the profile has no room for, or with what the signer said.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/crypto/rsa.h"
#include "lib/crypto/x509.h"
#include "lib/rpki/resources.h"

namespace virp::rpki {

using der::Time;

inline constexpr std::size_t kKeyIdentifierSize = 20;

// SHA-1 over the public key's bits (RFC 6487 section 4.8.2). InvalidArgument when `spki` is no SubjectPublicKeyInfo.
absl::StatusOr<std::string> KeyIdentifier(std::string_view spki);

// 16 random bytes, positive: unique without a counter, and as long as any validator takes.
std::string RandomSerial();

// Whole Name with CommonName and, when not empty, serialNumber in one SET, both PrintableString (RFC 6487 section 4.4).
absl::StatusOr<std::string> EncodeName(std::string_view common_name, std::string_view serial_number = {});
std::string RouterCommonName(std::uint32_t asn);  // ROUTER-0000FBF0 (RFC 8209 section 3.1.1)

struct Validity {
  Time not_before;
  Time not_after;
};

// Who signs: an authority as what it issues names it.
struct Issuer {
  std::string name;             // whole Name: the subject of its certificate, byte for byte
  std::string key_identifier;   // 20 bytes
  std::string certificate_uri;  // rsync, its certificate
  std::string crl_uri;          // rsync, its CRL
  x509::Signer signer;
};

struct RouterSpec {
  std::uint32_t asn = 0;     // one AS per certificate: relying parties refuse more
  std::uint32_t bgp_id = 0;  // 0 only for a key that routers share (RFC 8635 section 5)
  std::string serial;        // big-endian
  Validity validity;
  std::string_view spki;  // P-256; the caller has seen proof of possession
};
absl::StatusOr<std::string> IssueRouterCertificate(const RouterSpec& spec, const Issuer& issuer);

// An authority: its own name, key, resources and publication point.
struct AuthoritySpec {
  std::string common_name;
  std::string serial;
  Validity validity;
  std::string_view spki;  // RSA-2048
  AsResources as_numbers;
  IpResources addresses;
  // Instead of both: extensions as another certificate has them (x509::EncodeExtension).
  std::vector<std::string> resources = {};
  std::string repository_uri;  // rsync directory, ends with '/'
  std::string manifest_uri;    // rsync
  std::string notify_uri;      // https, RRDP; may be empty
};
absl::StatusOr<std::string> IssueAuthorityCertificate(const AuthoritySpec& spec, const Issuer& issuer);
// Self-signed. Resources may not inherit.
absl::StatusOr<std::string> IssueTrustAnchor(const AuthoritySpec& spec, const x509::Signer& signer);

// RFC 8630: the URIs, an empty line, the key in base64.
absl::StatusOr<std::string> EncodeTal(const std::vector<std::string>& uris, std::string_view spki);

struct CrlSpec {
  std::uint64_t number = 0;  // higher than any before
  Time this_update;
  Time next_update;
  std::vector<x509::Revoked> revoked;  // that are not expired yet
};
absl::StatusOr<std::string> IssueCrl(const CrlSpec& spec, const Issuer& issuer);

// File names of a publication point with their content.
using Files = std::map<std::string, std::string>;

struct ManifestSpec {
  std::uint64_t number = 0;  // higher than any before
  Time this_update;          // the CRL's
  Time next_update;
  std::string uri;        // rsync, where the manifest will be
  std::string ee_serial;  // of the certificate that is made for this one manifest
};
// Over all `files`, CRL included. `one_time_key` signs this manifest only: destroy it afterwards (RFC 9286 section 4).
absl::StatusOr<std::string> IssueManifest(const ManifestSpec& spec, const Files& files,
                                          const crypto::RsaPrivateKey& one_time_key, const Issuer& issuer);

}  // namespace virp::rpki
