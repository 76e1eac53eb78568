// X.509 certificates, CRLs (RFC 5280) and PKCS #10 requests (RFC 2986) as bytes: taken apart without judging them, and
// put together around a signature that somebody else makes. What a profile demands is in lib/rpki. What is parsed
// borrows from the input. Thread-safe. Each error of a parser is InvalidArgument and says where.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/crypto/der.h"

namespace virp::x509 {

using Time = der::Time;

// Limits before anything is looked at or allocated.
inline constexpr std::size_t kMaxCertificate = std::size_t{64} << 10;
inline constexpr std::size_t kMaxRequest = std::size_t{16} << 10;
inline constexpr std::size_t kMaxCrl = std::size_t{32} << 20;
inline constexpr std::size_t kMaxExtensions = 32;
inline constexpr std::size_t kMaxNameParts = 16;
inline constexpr std::size_t kMaxRevoked = 500'000;

// Makes a signature over the message: by a key in memory, in an envelope, in a token. Its hash is part of the
// algorithm: the message is given whole.
using Signer = std::function<absl::StatusOr<std::string>(std::string_view message)>;

// AlgorithmIdentifiers, whole.
inline constexpr std::string_view kSha256WithRsa("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00", 15);
inline constexpr std::string_view kEcdsaWithSha256("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02", 12);

struct Extension {
  std::string_view oid;  // content of the OBJECT IDENTIFIER
  bool critical = false;
  std::string_view value;
};

struct Certificate {
  std::string_view der;
  std::string_view tbs;
  std::uint64_t version = 0;         // as encoded: 2 for version 3
  std::string_view serial;           // big-endian, without leading zeros; empty for zero
  std::string_view inner_algorithm;  // whole, as the following
  std::string_view issuer;
  std::string_view validity;
  Time not_before;
  Time not_after;
  std::string_view subject;
  std::string_view spki;
  bool has_unique_ids = false;
  std::vector<Extension> extensions;
  std::string_view outer_algorithm;
  std::string_view signature;
};
absl::StatusOr<Certificate> ParseCertificate(std::string_view der);

struct Request {
  std::string_view info;  // what is signed
  std::uint64_t version = 0;
  std::string_view subject;  // whole Name
  std::string_view spki;
  bool has_other_attributes = false;  // beside one extensionRequest (RFC 2985 section 5.4.2)
  std::vector<Extension> extensions;
  std::string_view algorithm;
  std::string_view signature;
};
absl::StatusOr<Request> ParseRequest(std::string_view der);

struct Revoked {
  std::string serial;  // big-endian, without leading zeros
  Time at;
};
struct RevocationList {
  std::string_view tbs;
  std::uint64_t version = 0;  // as encoded: 1 for version 2
  std::string_view inner_algorithm;
  std::string_view issuer;
  Time this_update;
  std::optional<Time> next_update;
  std::vector<Revoked> revoked;
  bool has_entry_extensions = false;
  std::vector<Extension> extensions;
  std::string_view outer_algorithm;
  std::string_view signature;
};
absl::StatusOr<RevocationList> ParseRevocationList(std::string_view der);

struct NamePart {
  std::string_view oid;
  std::uint8_t tag = 0;
  std::string_view value;
};
absl::StatusOr<std::vector<NamePart>> ParseName(std::string_view name);

// SEQUENCE { content, algorithm, signature }: what certificates, CRLs and requests are.
absl::StatusOr<std::string> Sign(std::string_view content, std::string_view algorithm, const Signer& signer);

// One Extension element. `oid` is the content of the identifier, `value` the DER inside its OCTET STRING.
std::string EncodeExtension(std::string_view oid, bool critical, std::string_view value);

// The BIT STRING's bytes of a SubjectPublicKeyInfo: what a key identifier is the SHA-1 of.
absl::StatusOr<std::string_view> PublicKeyBits(std::string_view spki);

// From PEM, or DER as it is. InvalidArgument when there is no block with one of the labels ("CERTIFICATE"), or a broken
// one. At most `limit` bytes are looked at; PEM may hold several blocks, up to `most`.
absl::StatusOr<std::vector<std::string>> DerBlocks(std::string_view pem_or_der, const std::vector<std::string>& labels,
                                                   std::size_t limit, std::size_t most);
std::string PemBlock(std::string_view label, std::string_view der);

}  // namespace virp::x509
