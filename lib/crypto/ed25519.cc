#include "lib/crypto/ed25519.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/openssl_util.h"
#include "lib/crypto/secret.h"

namespace virp::crypto {
namespace {

const unsigned char* Bytes(std::string_view view) {
  return reinterpret_cast<const unsigned char*>(view.data());
}

EVP_MD_CTX* ThreadContext() {
  thread_local const EvpMdCtxPtr ctx = [] {
    EvpMdCtxPtr fresh(EVP_MD_CTX_new());
    OrDie(fresh != nullptr, "EVP_MD_CTX_new");
    return fresh;
  }();
  return ctx.get();
}

// Gives back what a signing or verifying context holds of its key.
struct ResetOnExit {
  EVP_MD_CTX* ctx;
  ~ResetOnExit() { EVP_MD_CTX_reset(ctx); }
};

// The y coordinates, little-endian, of the eight points whose order divides the cofactor; the sign bit of x is apart.
constexpr std::array<std::string_view, 5> kSmallOrderY{
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"};

std::string WithoutSign(std::string_view key) {
  std::string y(key);
  y.back() = static_cast<char>(y.back() & 0x7f);
  return y;
}

// y below p = 2^255 - 19, as RFC 8032 section 5.1.3 wants it.
bool IsCanonical(std::string_view y) {
  if (y.back() != 0x7f || static_cast<unsigned char>(y.front()) < 0xed) return true;
  return !std::all_of(y.begin() + 1, y.end() - 1, [](char c) { return static_cast<unsigned char>(c) == 0xff; });
}

}  // namespace

struct Ed25519PublicKey::Impl {
  std::string bytes;
  EvpPkeyPtr key;
};

Ed25519PublicKey::Ed25519PublicKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Ed25519PublicKey::~Ed25519PublicKey() = default;
Ed25519PublicKey::Ed25519PublicKey(const Ed25519PublicKey&) = default;
Ed25519PublicKey& Ed25519PublicKey::operator=(const Ed25519PublicKey&) = default;
Ed25519PublicKey::Ed25519PublicKey(Ed25519PublicKey&&) noexcept = default;
Ed25519PublicKey& Ed25519PublicKey::operator=(Ed25519PublicKey&&) noexcept = default;

absl::StatusOr<Ed25519PublicKey> Ed25519PublicKey::FromBytes(std::string_view bytes) {
  if (bytes.size() != kEd25519KeySize) {
    return InvalidArgument("an Ed25519 public key has {} bytes, not {}", kEd25519KeySize, bytes.size());
  }
  const std::string y = WithoutSign(bytes);
  if (!IsCanonical(y)) return InvalidArgument("Ed25519 public key is not in canonical form: y is 2^255 - 19 or more");
  if (std::find(kSmallOrderY.begin(), kSmallOrderY.end(), HexEncode(y)) != kSmallOrderY.end()) {
    return InvalidArgument("Ed25519 public key is a point of small order, which no seed gives");
  }
  auto impl = std::make_shared<Impl>();
  impl->bytes = bytes;
  impl->key.reset(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(bytes), bytes.size()));
  if (impl->key == nullptr) return InvalidArgument("Ed25519 public key was refused: {}", DrainOpenSslErrors());
  return Ed25519PublicKey(std::move(impl));
}

const std::string& Ed25519PublicKey::bytes() const {
  return impl_->bytes;
}

bool Ed25519PublicKey::Verify(std::string_view message, std::string_view signature) const {
  if (signature.size() != kEd25519SignatureSize) return false;
  EVP_MD_CTX* ctx = ThreadContext();
  const ResetOnExit reset{ctx};
  OrDie(EVP_DigestVerifyInit(ctx, nullptr, nullptr, nullptr, impl_->key.get()) == 1, "EVP_DigestVerifyInit(Ed25519)");
  const bool good = EVP_DigestVerify(ctx, Bytes(signature), signature.size(), Bytes(message), message.size()) == 1;
  if (!good) DrainOpenSslErrors();  // what is left in the queue would be taken for a later failure's cause
  return good;
}

struct Ed25519PrivateKey::Impl {
  EvpPkeyPtr key;
  Ed25519PublicKey public_key;
};

Ed25519PrivateKey::Ed25519PrivateKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ed25519PrivateKey::~Ed25519PrivateKey() = default;
Ed25519PrivateKey::Ed25519PrivateKey(Ed25519PrivateKey&&) noexcept = default;
Ed25519PrivateKey& Ed25519PrivateKey::operator=(Ed25519PrivateKey&&) noexcept = default;

absl::StatusOr<Ed25519PrivateKey> Ed25519PrivateKey::FromSeed(std::string_view seed) {
  if (seed.size() != kEd25519KeySize) {
    return InvalidArgument("an Ed25519 seed has {} bytes, not {}", kEd25519KeySize, seed.size());
  }
  EvpPkeyPtr key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(seed), seed.size()));
  if (key == nullptr) return InvalidArgument("Ed25519 seed was refused: {}", DrainOpenSslErrors());
  std::string public_bytes(kEd25519KeySize, '\0');
  std::size_t size = public_bytes.size();
  OrDie(EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(public_bytes.data()), &size) == 1,
        "EVP_PKEY_get_raw_public_key");
  ASSIGN_OR_RETURN(Ed25519PublicKey public_key, Ed25519PublicKey::FromBytes(public_bytes));
  return Ed25519PrivateKey(std::make_unique<Impl>(Impl{std::move(key), std::move(public_key)}));
}

Ed25519PrivateKey Ed25519PrivateKey::Generate() {
  const Secret seed = Secret::Random(kEd25519KeySize);
  auto key = FromSeed(seed.view());
  OrDie(key.ok(), "Ed25519 key generation");
  return *std::move(key);
}

const Ed25519PublicKey& Ed25519PrivateKey::public_key() const {
  return impl_->public_key;
}

std::string Ed25519PrivateKey::Sign(std::string_view message) const {
  EVP_MD_CTX* ctx = ThreadContext();
  const ResetOnExit reset{ctx};
  OrDie(EVP_DigestSignInit(ctx, nullptr, nullptr, nullptr, impl_->key.get()) == 1, "EVP_DigestSignInit(Ed25519)");
  std::string signature(kEd25519SignatureSize, '\0');
  std::size_t size = signature.size();
  OrDie(EVP_DigestSign(ctx, reinterpret_cast<unsigned char*>(signature.data()), &size, Bytes(message),
                       message.size()) == 1,
        "EVP_DigestSign(Ed25519)");
  return signature;
}

}  // namespace virp::crypto
