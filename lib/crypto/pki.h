// X.509 for mutual TLS between the services: a small certificate authority (development, tests) and the few facts of a
// certificate that a service needs to decide whom it talks to. Not for router certificates (RFC 8209).
// All functions are thread-safe. PEM is borrowed and returned as text; times are UnixNanos (UTC).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"

namespace virp::crypto {

inline constexpr std::size_t kMaxCertificatePem = std::size_t{64}
                                                  << 10;            // one certificate; larger input is refused unread
inline constexpr std::size_t kMaxBundlePem = std::size_t{1} << 20;  // a chain or a bundle of roots
inline constexpr std::size_t kMaxSubjectNames = 64;                 // subject alternative names per certificate

// A certificate (leaf first, its chain may follow) with its private key (PKCS#8, unencrypted).
struct CertifiedKey {
  std::string certificate_pem;
  std::string private_key_pem;
};

struct CertificateInfo {
  std::string common_name;  // for people only: no decision rests on it
  std::vector<std::string> uri_sans;
  std::vector<std::string> dns_sans;
  std::vector<std::string> ip_sans;  // RFC 5952 text
  std::string serial;                // lower-case hex without leading zeros, "0" for zero
  UnixNanos not_before = 0;          // 0 when earlier than 1970
  UnixNanos not_after = 0;           // the largest value when later than the type can say
  bool is_ca = false;
};

// What to put into a leaf. The key is a new ECDSA P-256 key, the usages serverAuth and clientAuth.
struct LeafSpec {
  std::string common_name;
  std::vector<std::string> uri_sans;  // exactly one spiffe:// URI
  std::vector<std::string> dns_sans;
  std::vector<std::string> ip_sans;
  UnixNanos not_before = 0;
  UnixNanos not_after = 0;
};

class CertificateAuthority {
 public:
  // A self-signed authority with a new ECDSA P-256 key. InvalidArgument for an empty or overlong name (64 bytes) or
  // not_after <= not_before.
  static absl::StatusOr<CertificateAuthority> Create(std::string_view name, UnixNanos not_before, UnixNanos not_after);

  // From PEM. InvalidArgument when either does not parse, they do not belong together, or the certificate is no CA.
  static absl::StatusOr<CertificateAuthority> Load(std::string_view certificate_pem, std::string_view private_key_pem);

  CertificateAuthority(CertificateAuthority&&) noexcept;
  CertificateAuthority& operator=(CertificateAuthority&&) noexcept;
  ~CertificateAuthority();

  // A leaf that our services accept. InvalidArgument unless there is exactly one URI SAN, it starts with spiffe://, all
  // names fit their type, and the lifetime is not empty and within the authority's.
  absl::StatusOr<CertifiedKey> Issue(const LeafSpec& spec) const;

  // Signs whatever `spec` says: tests need certificates that our rules refuse.
  absl::StatusOr<CertifiedKey> IssueUnchecked(const LeafSpec& spec) const;

  const std::string& certificate_pem() const;
  std::string private_key_pem() const;

 private:
  struct Impl;
  explicit CertificateAuthority(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The first certificate in `pem`. InvalidArgument when it does not parse, has an embedded NUL in a name, more than
// kMaxSubjectNames names, a serial number that is negative or longer than 20 octets, or exceeds the size limits.
absl::StatusOr<CertificateInfo> ParseCertificate(std::string_view pem);

// Every certificate of a bundle, in order; InvalidArgument when one is broken or there is none.
absl::StatusOr<std::vector<CertificateInfo>> ParseCertificates(std::string_view pem);

// Whether the first certificate of `chain_pem`, with those that follow it between, leads to one of the roots, as a
// handshake at this time would have it. FailedPrecondition says why not; InvalidArgument when the PEM does not parse.
absl::Status VerifyCertificateChain(std::string_view chain_pem, std::string_view roots_pem, UnixNanos now);

// FailedPrecondition when the first certificate's public key is not that of the private key, InvalidArgument when
// either does not parse.
absl::Status CheckKeyMatches(std::string_view certificate_pem, std::string_view private_key_pem);

// True when the first certificate has a DNS SAN (one wildcard label allowed, RFC 6125) or IP SAN for `host`. The common
// name is never looked at. False for anything that does not parse.
bool CertificateCoversHost(std::string_view certificate_pem, std::string_view host);

// Lower case, no colons, no leading zeros, no 0x: the form of CertificateInfo::serial. InvalidArgument for anything
// else than 1 to 20 octets in hex.
absl::StatusOr<std::string> CanonicalSerial(std::string_view text);

// Writes `<directory>/<name>.crt` (0644) and `<directory>/<name>.key` (0600), each in one step (temporary file, fsync,
// rename): the key first, so that who watches the certificate finds its key in place.
absl::Status WriteCertifiedKey(const std::string& directory, std::string_view name, const CertifiedKey& pair);

}  // namespace virp::crypto
