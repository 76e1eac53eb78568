#include "lib/crypto/p256.h"

#include <openssl/x509.h>

#include <array>
#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/openssl_util.h"

namespace virp::crypto {
namespace {

using EvpPkeyCtxPtr = std::unique_ptr<EVP_PKEY_CTX, OpenSslDeleter<EVP_PKEY_CTX_free>>;

// SEQUENCE { SEQUENCE { id-ecPublicKey, secp256r1 }, BIT STRING { 04...: what comes before the point (RFC 5480 section
// 2).
constexpr std::string_view kSpkiPrefix(
    "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00", 26);
// ECPrivateKey without its public part (RFC 5915 section 3), around the scalar.
constexpr std::string_view kPrivatePrefix("\x30\x31\x02\x01\x01\x04\x20", 7);
constexpr std::string_view kPrivateSuffix("\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 12);
// The order of the curve (FIPS 186-5, SP 800-186 section 3.2.1.3).
constexpr std::string_view kOrder(
    "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2"
    "\xfc\x63\x25\x51",
    32);

const unsigned char* Bytes(std::string_view view) {
  return reinterpret_cast<const unsigned char*>(view.data());
}

bool IsScalar(std::string_view scalar) {
  // std::string_view compares as unsigned bytes. Where they differ is no secret worth keeping: below the order or not.
  return scalar.size() == kP256ScalarSize && scalar < kOrder &&
         scalar.find_first_not_of('\0') != std::string_view::npos;
}

// Any key of the curve. Another public key is a copy of it with another point: the decoders of OpenSSL 3 take twenty
// times as long to come to the same.
EVP_PKEY* AnyKey() {
  static EVP_PKEY* const key = [] {
    // The curve's generator (SP 800-186 section 3.2.1.3).
    std::string spki(kSpkiPrefix);
    spki.append(
        "\x04\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4"
        "\xa1\x39\x45\xd8\x98\xc2\x96\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33"
        "\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5",
        kP256PointSize);
    const unsigned char* at = Bytes(spki);
    EVP_PKEY* out = d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size()));
    OrDie(out != nullptr, "d2i_PUBKEY(P-256)");
    return out;
  }();
  return key;
}

EvpPkeyCtxPtr ContextOf(EVP_PKEY* key) {
  EvpPkeyCtxPtr ctx(EVP_PKEY_CTX_new(key, nullptr));
  OrDie(ctx != nullptr, "EVP_PKEY_CTX_new");
  return ctx;
}

}  // namespace

struct P256PublicKey::Impl {
  std::string spki;
  EvpPkeyPtr key;
};

P256PublicKey::P256PublicKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
P256PublicKey::~P256PublicKey() = default;
P256PublicKey::P256PublicKey(const P256PublicKey&) = default;
P256PublicKey& P256PublicKey::operator=(const P256PublicKey&) = default;
P256PublicKey::P256PublicKey(P256PublicKey&&) noexcept = default;
P256PublicKey& P256PublicKey::operator=(P256PublicKey&&) noexcept = default;

absl::StatusOr<P256PublicKey> P256PublicKey::FromPoint(std::string_view point) {
  if (point.size() != kP256PointSize || point.front() != '\x04') {
    return InvalidArgument("a P-256 key is an uncompressed point of {} bytes that begins with 04, not these {} bytes",
                           kP256PointSize, point.size());
  }
  auto impl = std::make_shared<Impl>();
  impl->spki = std::string(kSpkiPrefix).append(point);
  impl->key.reset(EVP_PKEY_dup(AnyKey()));
  OrDie(impl->key != nullptr, "EVP_PKEY_dup(P-256)");
  // Refuses what is no point of the curve.
  if (EVP_PKEY_set1_encoded_public_key(impl->key.get(), Bytes(point), point.size()) != 1)
    return InvalidArgument("not a point of the curve P-256: {}", DrainOpenSslErrors());
  return P256PublicKey(std::move(impl));
}

bool P256PublicKey::IsSpki(std::string_view der) {
  return der.size() == kP256SpkiSize && der.starts_with(kSpkiPrefix) && der[kSpkiPrefix.size()] == '\x04';
}

absl::StatusOr<P256PublicKey> P256PublicKey::FromSpki(std::string_view der) {
  if (!IsSpki(der)) {
    return InvalidArgument("not the SubjectPublicKeyInfo of an uncompressed P-256 key (RFC 8608 section 3.1): {} bytes",
                           der.size());
  }
  return FromPoint(der.substr(kSpkiPrefix.size()));
}

std::string_view P256PublicKey::spki() const {
  return impl_->spki;
}

bool P256PublicKey::VerifyDigest(const Hash& digest, std::string_view signature) const {
  const EvpPkeyCtxPtr ctx = ContextOf(impl_->key.get());
  OrDie(EVP_PKEY_verify_init(ctx.get()) == 1, "EVP_PKEY_verify_init(P-256)");
  const bool good = EVP_PKEY_verify(ctx.get(), Bytes(signature), signature.size(), digest.data(), digest.size()) == 1;
  if (!good) DrainOpenSslErrors();  // what is left in the queue would be taken for a later failure's cause
  return good;
}

struct P256PrivateKey::Impl {
  EvpPkeyPtr key;
  P256PublicKey public_key;
};

P256PrivateKey::P256PrivateKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
P256PrivateKey::~P256PrivateKey() = default;
P256PrivateKey::P256PrivateKey(P256PrivateKey&&) noexcept = default;
P256PrivateKey& P256PrivateKey::operator=(P256PrivateKey&&) noexcept = default;

absl::StatusOr<P256PrivateKey> P256PrivateKey::FromScalar(std::string_view scalar) {
  if (!IsScalar(scalar)) {
    return InvalidArgument("a P-256 private key is {} bytes, above zero and below the order of the curve",
                           kP256ScalarSize);
  }
  Secret der(kPrivatePrefix.size() + scalar.size() + kPrivateSuffix.size());
  char* at = der.data();
  for (const std::string_view part : {kPrivatePrefix, scalar, kPrivateSuffix}) at += part.copy(at, part.size());
  const unsigned char* begin = Bytes(der.view());
  EvpPkeyPtr key(d2i_PrivateKey(EVP_PKEY_EC, nullptr, &begin, static_cast<long>(der.size())));
  OrDie(key != nullptr, "d2i_PrivateKey(P-256)");
  std::array<unsigned char, kP256SpkiSize> spki{};
  unsigned char* end = spki.data();
  OrDie(i2d_PUBKEY(key.get(), nullptr) == static_cast<int>(spki.size()) && i2d_PUBKEY(key.get(), &end) > 0,
        "i2d_PUBKEY(P-256)");
  ASSIGN_OR_RETURN(P256PublicKey public_key,
                   P256PublicKey::FromSpki({reinterpret_cast<const char*>(spki.data()), spki.size()}));
  return P256PrivateKey(std::make_unique<Impl>(Impl{std::move(key), std::move(public_key)}));
}

P256PrivateKey P256PrivateKey::Generate() {
  while (true) {  // once in 2^32 the bytes are no scalar
    const Secret scalar = Secret::Random(kP256ScalarSize);
    if (!IsScalar(scalar.view())) continue;
    auto key = FromScalar(scalar.view());
    OrDie(key.ok(), "P-256 key generation");
    return *std::move(key);
  }
}

const P256PublicKey& P256PrivateKey::public_key() const {
  return impl_->public_key;
}

std::string P256PrivateKey::SignDigest(const Hash& digest) const {
  const EvpPkeyCtxPtr ctx = ContextOf(impl_->key.get());
  OrDie(EVP_PKEY_sign_init(ctx.get()) == 1, "EVP_PKEY_sign_init(P-256)");
  std::string signature(kP256MaxSignatureSize, '\0');
  std::size_t size = signature.size();
  OrDie(EVP_PKEY_sign(ctx.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, digest.data(),
                      digest.size()) == 1,
        "EVP_PKEY_sign(P-256)");
  signature.resize(size);
  return signature;
}

}  // namespace virp::crypto
