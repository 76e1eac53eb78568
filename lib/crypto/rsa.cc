#include "lib/crypto/rsa.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/openssl_util.h"

namespace virp::crypto {
namespace {

using EvpPkeyCtxPtr = std::unique_ptr<EVP_PKEY_CTX, OpenSslDeleter<EVP_PKEY_CTX_free>>;
using Pkcs8Ptr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, OpenSslDeleter<PKCS8_PRIV_KEY_INFO_free>>;

constexpr int kBits = 2048;
// SubjectPublicKeyInfo (RFC 3279 section 2.3.1) up to the modulus, and from it on. Two sizes and one exponent are all
// that there is, so the whole encoding but the modulus is fixed.
constexpr std::string_view kSpkiPrefix(
    "\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00"
    "\x30\x82\x01\x0a\x02\x82\x01\x01\x00",
    33);
constexpr std::string_view kSpkiSuffix("\x02\x03\x01\x00\x01", 5);
constexpr std::size_t kBeforeBits = 24;

const unsigned char* Bytes(std::string_view view) {
  return reinterpret_cast<const unsigned char*>(view.data());
}

EvpMdCtxPtr NewContext() {
  EvpMdCtxPtr ctx(EVP_MD_CTX_new());
  OrDie(ctx != nullptr, "EVP_MD_CTX_new");
  return ctx;
}

std::string SpkiOf(EVP_PKEY* key) {
  unsigned char* encoded = nullptr;
  const int size = i2d_PUBKEY(key, &encoded);
  OrDie(size > 0, "i2d_PUBKEY(RSA)");
  std::string out(reinterpret_cast<const char*>(encoded), static_cast<std::size_t>(size));
  OPENSSL_free(encoded);
  return out;
}

}  // namespace

struct RsaPublicKey::Impl {
  std::string spki;
  EvpPkeyPtr key;
};

RsaPublicKey::RsaPublicKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
RsaPublicKey::~RsaPublicKey() = default;
RsaPublicKey::RsaPublicKey(const RsaPublicKey&) = default;
RsaPublicKey& RsaPublicKey::operator=(const RsaPublicKey&) = default;
RsaPublicKey::RsaPublicKey(RsaPublicKey&&) noexcept = default;
RsaPublicKey& RsaPublicKey::operator=(RsaPublicKey&&) noexcept = default;

bool RsaPublicKey::IsSpki(std::string_view der) {
  // The top bit of the modulus makes it 2048 bits; the last one, odd: an even modulus is no product of large primes.
  return der.size() == kRsaSpkiSize && der.starts_with(kSpkiPrefix) && der.ends_with(kSpkiSuffix) &&
         (static_cast<unsigned char>(der[kSpkiPrefix.size()]) & 0x80) != 0 &&
         (static_cast<unsigned char>(der[kRsaSpkiSize - kSpkiSuffix.size() - 1]) & 1) != 0;
}

absl::StatusOr<RsaPublicKey> RsaPublicKey::FromSpki(std::string_view der) {
  if (!IsSpki(der)) return InvalidArgument("not an RSA key of 2048 bits with exponent 65537 (RFC 7935 section 3)");
  auto impl = std::make_shared<Impl>();
  impl->spki = der;
  const unsigned char* at = Bytes(impl->spki);
  impl->key.reset(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (impl->key == nullptr) return InvalidArgument("RSA public key was refused: {}", DrainOpenSslErrors());
  return RsaPublicKey(std::move(impl));
}

const std::string& RsaPublicKey::spki() const {
  return impl_->spki;
}

std::string_view RsaPublicKey::public_key_bits() const {
  return std::string_view(impl_->spki).substr(kBeforeBits);
}

bool RsaPublicKey::Verify(std::string_view message, std::string_view signature) const {
  if (signature.size() != kRsaSignatureSize) return false;
  const EvpMdCtxPtr ctx = NewContext();
  OrDie(EVP_DigestVerifyInit(ctx.get(), nullptr, EVP_sha256(), nullptr, impl_->key.get()) == 1,
        "EVP_DigestVerifyInit(RSA)");
  const bool good =
      EVP_DigestVerify(ctx.get(), Bytes(signature), signature.size(), Bytes(message), message.size()) == 1;
  if (!good) DrainOpenSslErrors();  // what is left in the queue would be taken for a later failure's cause
  return good;
}

struct RsaPrivateKey::Impl {
  EvpPkeyPtr key;
  RsaPublicKey public_key;
};

RsaPrivateKey::RsaPrivateKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RsaPrivateKey::~RsaPrivateKey() = default;
RsaPrivateKey::RsaPrivateKey(RsaPrivateKey&&) noexcept = default;
RsaPrivateKey& RsaPrivateKey::operator=(RsaPrivateKey&&) noexcept = default;

RsaPrivateKey RsaPrivateKey::Generate() {
  const EvpPkeyCtxPtr ctx(EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, nullptr));
  OrDie(ctx != nullptr && EVP_PKEY_keygen_init(ctx.get()) == 1, "EVP_PKEY_keygen_init(RSA)");
  OrDie(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx.get(), kBits) == 1, "EVP_PKEY_CTX_set_rsa_keygen_bits");
  EVP_PKEY* raw = nullptr;
  OrDie(EVP_PKEY_keygen(ctx.get(), &raw) == 1, "EVP_PKEY_keygen(RSA)");
  EvpPkeyPtr key(raw);
  auto public_key = RsaPublicKey::FromSpki(SpkiOf(key.get()));
  OrDie(public_key.ok(), "the public half of a new RSA key");
  return RsaPrivateKey(std::make_unique<Impl>(Impl{std::move(key), *std::move(public_key)}));
}

absl::StatusOr<RsaPrivateKey> RsaPrivateKey::FromPkcs8(std::string_view der) {
  constexpr std::size_t kMost = 4096;  // a key of 2048 bits has 1,218 bytes or so
  const unsigned char* at = Bytes(der);
  const Pkcs8Ptr info(der.size() > kMost ? nullptr
                                         : d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  EvpPkeyPtr key(info == nullptr ? nullptr : EVP_PKCS82PKEY(info.get()));
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA) {
    DrainOpenSslErrors();
    return InvalidArgument("not an unencrypted PKCS #8 RSA key in DER");
  }
  ASSIGN_OR_RETURN(RsaPublicKey public_key, RsaPublicKey::FromSpki(SpkiOf(key.get())));
  return RsaPrivateKey(std::make_unique<Impl>(Impl{std::move(key), std::move(public_key)}));
}

const RsaPublicKey& RsaPrivateKey::public_key() const {
  return impl_->public_key;
}

std::string RsaPrivateKey::Sign(std::string_view message) const {
  const EvpMdCtxPtr ctx = NewContext();
  OrDie(EVP_DigestSignInit(ctx.get(), nullptr, EVP_sha256(), nullptr, impl_->key.get()) == 1,
        "EVP_DigestSignInit(RSA)");
  std::string signature(kRsaSignatureSize, '\0');
  std::size_t size = signature.size();
  OrDie(EVP_DigestSign(ctx.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, Bytes(message),
                       message.size()) == 1,
        "EVP_DigestSign(RSA)");
  return signature;
}

Secret RsaPrivateKey::Pkcs8() const {
  const Pkcs8Ptr info(EVP_PKEY2PKCS8(impl_->key.get()));
  OrDie(info != nullptr, "EVP_PKEY2PKCS8(RSA)");
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr);
  OrDie(size > 0, "i2d_PKCS8_PRIV_KEY_INFO(RSA)");
  Secret der(static_cast<std::size_t>(size));
  auto* at = reinterpret_cast<unsigned char*>(der.data());
  OrDie(i2d_PKCS8_PRIV_KEY_INFO(info.get(), &at) == size, "i2d_PKCS8_PRIV_KEY_INFO(RSA)");
  return der;
}

}  // namespace virp::crypto
