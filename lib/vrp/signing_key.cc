#include "lib/vrp/signing_key.h"

#include "absl/cleanup/cleanup.h"
#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/p256_file.h"
#include "lib/crypto/secret.h"
#include "lib/crypto/sha256.h"

namespace virp::vrp {
namespace {

// RFC 8410 sections 4 and 7: what stands in front of the 32 bytes in a SubjectPublicKeyInfo, and in a PKCS#8 key.
constexpr std::string_view kSpki("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 12);
constexpr std::string_view kPkcs8("\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", 16);

std::string PublicPemOf(std::string_view spki) {
  static constexpr std::size_t kLine = 64;
  std::string out = "-----BEGIN PUBLIC KEY-----\n";
  const std::string text = Base64Encode(spki);
  for (std::size_t at = 0; at < text.size(); at += kLine) out.append(text, at, kLine).push_back('\n');
  return out + "-----END PUBLIC KEY-----\n";
}

// The seed, when it is a key of Ed25519; else empty.
crypto::Secret SeedIn(std::string_view pem) {
  static constexpr std::string_view kBegin = "-----BEGIN PRIVATE KEY-----";
  static constexpr std::string_view kEnd = "-----END PRIVATE KEY-----";
  const auto begin = pem.find(kBegin);
  const auto end = begin == std::string_view::npos ? begin : pem.find(kEnd, begin);
  if (end == std::string_view::npos) return {};
  std::string text(pem.substr(begin + kBegin.size(), end - begin - kBegin.size()));
  const absl::Cleanup wipe_text = [&] { crypto::Wipe(text.data(), text.size()); };
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r'; });
  auto der = Base64Decode(text);
  if (!der.ok()) return {};
  const absl::Cleanup wipe_der = [&] { crypto::Wipe(der->data(), der->size()); };
  if (der->size() != kPkcs8.size() + crypto::kEd25519KeySize || !der->starts_with(kPkcs8)) return {};
  return crypto::Secret(std::string_view(*der).substr(kPkcs8.size()));
}

}  // namespace

absl::StatusOr<SigningKey> SigningKey::FromPem(std::string_view pem) {
  if (const crypto::Secret seed = SeedIn(pem); !seed.empty()) {
    ASSIGN_OR_RETURN(auto key, crypto::Ed25519PrivateKey::FromSeed(seed.view()));
    return SigningKey(Key(std::move(key)));
  }
  auto key = crypto::ReadP256PrivateKey(pem);
  if (!key.ok())
    return InvalidArgument("the private key is neither of Ed25519 nor of P-256: {}", Message(key.status()));
  return SigningKey(Key(*std::move(key)));
}

std::string SigningKey::Sign(std::string_view document) const {
  if (const auto* ed25519 = std::get_if<crypto::Ed25519PrivateKey>(&key_)) return ed25519->Sign(document);
  return std::get<crypto::P256PrivateKey>(key_).SignDigest(crypto::Sha256(document));
}

std::string SigningKey::PublicPem() const {
  if (const auto* ed25519 = std::get_if<crypto::Ed25519PrivateKey>(&key_))
    return Ed25519PublicPem(ed25519->public_key().bytes());
  return PublicPemOf(std::get<crypto::P256PrivateKey>(key_).public_key().spki());
}

std::string Ed25519PublicPem(std::string_view public_key) {
  return PublicPemOf(std::string(kSpki) + std::string(public_key));
}

}  // namespace virp::vrp
