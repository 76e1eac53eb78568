// CMS SignedData (RFC 5652) in the shape of RFC 6488: one signer named by its key identifier, SHA-256, signed
// attributes. Also its degenerate form, certs-only (RFC 8551 section 3.8), which every PKCS #7 reader knows. Parsed
// objects borrow from the input. Thread-safe. Each error of a parser is InvalidArgument and says where.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"
#include "lib/crypto/x509.h"

namespace virp::cms {

inline constexpr std::size_t kMaxCertificates = 32;
inline constexpr std::size_t kMaxSignedData = std::size_t{32} << 20;

// What signs: whole certificates, the signer's first, and its key identifier (20 bytes).
struct Signing {
  std::vector<std::string_view> certificates;
  std::string_view key_identifier;
  std::string_view algorithm;  // signatureAlgorithm, whole; for RSA kRsaEncryption (RFC 7935 section 2)
  x509::Time time;             // signing-time, which RFC 9589 demands
  x509::Signer signer;
};

inline constexpr std::string_view kRsaEncryption("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", 15);

// SignedData around `content` of type `content_type` (content of the identifier).
absl::StatusOr<std::string> Sign(std::string_view content_type, std::string_view content, const Signing& signing);
// The same for content that nobody else may see: no copy of it is made outside of what is returned.
absl::StatusOr<crypto::Secret> SignSecret(std::string_view content_type, std::string_view content,
                                          const Signing& signing);

std::string CertsOnly(const std::vector<std::string_view>& certificates);

struct SignerInfo {
  std::string_view key_identifier;     // empty when the signer is named by issuer and serial
  std::string_view digest_algorithm;   // whole
  std::string_view signed_attributes;  // content of [0]
  std::string_view algorithm;          // whole
  std::string_view signature;
};

struct SignedData {
  std::uint64_t version = 0;
  std::string_view content_type;
  std::optional<std::string_view> content;
  std::vector<std::string_view> certificates;  // whole, as they came
  bool has_crls = false;
  std::vector<SignerInfo> signers;
};

absl::StatusOr<SignedData> Parse(std::string_view der);

// The certificates of a certs-only message, at least one, also of a message in BER, as some libraries write it.
absl::StatusOr<std::vector<std::string>> ParseCertsOnly(std::string_view bytes);

// FailedPrecondition unless `data` has exactly one signer, it is named by the key identifier of a certificate within,
// its attributes have the content's type and hash, and its signature is that certificate's. Returns that certificate;
// whether it may be trusted is the caller's to find out.
absl::StatusOr<x509::Certificate> VerifySigner(const SignedData& data);

// Encrypts for the holder of the certificate's key with AES-256-GCM: AuthEnvelopedData, RFC 5083. InvalidArgument
// unless the key is P-256, or RSA of 3,072 bits or more.
absl::StatusOr<std::string> Encrypt(std::string_view content, std::string_view recipient_certificate);
// InvalidArgument when it is no such thing, is for somebody else, or was changed. `private_key` is PKCS #8 in DER.
absl::StatusOr<crypto::Secret> Decrypt(std::string_view enveloped, std::string_view recipient_certificate,
                                       std::string_view private_key);

}  // namespace virp::cms
