#include "lib/frame/key.h"

#include <utility>
#include <variant>

#include "lib/base/status.h"
#include "lib/crypto/ed25519.h"
#include "lib/crypto/mac.h"

namespace virp::frame {
namespace {

constexpr std::size_t kMinSecret = 16, kMaxSecret = 256, kRawSecret = 32;

absl::Status CheckSecretSize(std::size_t size) {
  if (size >= kMinSecret && size <= kMaxSecret) return absl::OkStatus();
  return InvalidArgument("an HMAC key has {} to {} bytes, this one has {}", kMinSecret, kMaxSecret, size);
}

}  // namespace

absl::StatusOr<std::string_view> HmacSecretFromFile(std::string_view contents) {
  if (contents.size() != kRawSecret) {
    while (!contents.empty() && (contents.back() == '\n' || contents.back() == '\r')) contents.remove_suffix(1);
  }
  RETURN_IF_ERROR(CheckSecretSize(contents.size()));
  return contents;
}

struct OKey::Impl {
  std::variant<crypto::HmacKey, crypto::Ed25519PrivateKey, crypto::Ed25519PublicKey> key;

  const crypto::HmacKey* hmac() const { return std::get_if<crypto::HmacKey>(&key); }
  const crypto::Ed25519PrivateKey* private_key() const { return std::get_if<crypto::Ed25519PrivateKey>(&key); }
  const crypto::Ed25519PublicKey* public_key() const {
    if (const auto* own = private_key()) return &own->public_key();
    return std::get_if<crypto::Ed25519PublicKey>(&key);
  }
};

OKey::OKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
OKey::~OKey() = default;

absl::StatusOr<std::shared_ptr<const OKey>> OKey::Hmac(std::string_view secret) {
  RETURN_IF_ERROR(CheckSecretSize(secret.size()));
  auto impl = std::make_unique<Impl>(Impl{crypto::HmacKey(secret)});
  return std::shared_ptr<const OKey>(new OKey(std::move(impl)));
}

absl::StatusOr<std::shared_ptr<const OKey>> OKey::Ed25519FromSeed(std::string_view seed32) {
  ASSIGN_OR_RETURN(crypto::Ed25519PrivateKey key, crypto::Ed25519PrivateKey::FromSeed(seed32));
  auto impl = std::make_unique<Impl>(Impl{std::move(key)});
  return std::shared_ptr<const OKey>(new OKey(std::move(impl)));
}

absl::StatusOr<std::shared_ptr<const OKey>> OKey::Ed25519FromPublic(std::string_view public32) {
  ASSIGN_OR_RETURN(crypto::Ed25519PublicKey key, crypto::Ed25519PublicKey::FromBytes(public32));
  auto impl = std::make_unique<Impl>(Impl{std::move(key)});
  return std::shared_ptr<const OKey>(new OKey(std::move(impl)));
}

Suite OKey::suite() const {
  return impl_->hmac() != nullptr ? Suite::kHmacSha256 : Suite::kEd25519;
}

bool OKey::can_sign() const {
  return impl_->hmac() != nullptr || impl_->private_key() != nullptr;
}

std::string OKey::public_key() const {
  const crypto::Ed25519PublicKey* key = impl_->public_key();
  return key != nullptr ? key->bytes() : std::string();
}

std::string OKey::Commitment(std::string_view source_name, std::uint32_t version) const {
  const crypto::HmacKey* key = impl_->hmac();
  if (key == nullptr) return {};
  return std::string(View(key->Sign(fmt::format("virp key commitment/1\n{}\n{}\n", source_name, version))));
}

bool OKey::Verify(std::string_view signed_part, std::string_view tag) const {
  if (const crypto::HmacKey* key = impl_->hmac()) return key->Verify(signed_part, tag);
  return impl_->public_key()->Verify(signed_part, tag);
}

absl::StatusOr<std::string> OKey::Sign(std::string_view signed_part) const {
  if (const crypto::HmacKey* key = impl_->hmac()) return std::string(View(key->Sign(signed_part)));
  if (const crypto::Ed25519PrivateKey* key = impl_->private_key()) return key->Sign(signed_part);
  return FailedPrecondition("only the public half of this Ed25519 key is here, it cannot sign");
}

bool VerifyTag(const Frame& frame, const OKey& key) {
  return key.suite() == frame.header.suite && key.Verify(frame.signed_part, frame.tag);
}

absl::StatusOr<std::string> EncodeSigned(const Header& header, std::string_view payload, const OKey& key) {
  if (header.suite != key.suite()) {
    return InvalidArgument("the header names suite {}, the key is for {}", SuiteName(header.suite),
                           SuiteName(key.suite()));
  }
  ASSIGN_OR_RETURN(std::string bytes, EncodeUnsigned(header, payload));
  ASSIGN_OR_RETURN(const std::string tag, key.Sign(bytes));
  bytes += tag;
  return bytes;
}

}  // namespace virp::frame
