#include "services/keymgr/custody/software/envelope.h"

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/aead.h"
#include "lib/crypto/random.h"

namespace virp::keymgr {
namespace {

constexpr std::string_view kMagic = "virp envelope/1\n";
constexpr std::size_t kWrappedDek = 40;  // RFC 5649, of 32 octets
constexpr std::size_t kVersionAt = kMagic.size();
constexpr std::size_t kDekAt = kVersionAt + 4;
constexpr std::size_t kNonceAt = kDekAt + kWrappedDek;
constexpr std::size_t kTextAt = kNonceAt + crypto::kGcmNonceSize;

// The identity's own text is last, since it has no length in front.
std::string Associated(const SealedKey& key) {
  std::string out(kMagic);
  out.push_back(static_cast<char>(key.policy));
  AppendBe(out, static_cast<std::uint16_t>(key.public_half.size()));
  out.append(key.public_half).append(AssociatedData(key.identity));
  return out;
}

absl::Status Damaged(const SealedKey& key, std::string_view why) {
  return WithReason(DataLoss("{}: its envelope {}; bring the database back from a backup", ToString(key.identity), why),
                    "KEY_DAMAGED");
}

absl::StatusOr<crypto::Secret> OpenDek(const SealedKey& key, const DekWrapper& keks) {
  const std::string_view blob = key.blob;
  if (!blob.starts_with(kMagic) || blob.size() < kTextAt + crypto::kGcmTagSize) return Damaged(key, "is none");
  const auto version = LoadBe<std::uint32_t>(blob.data() + kVersionAt);
  auto dek = keks.Unwrap(version, blob.substr(kDekAt, kWrappedDek));
  if (dek.ok() && dek->size() != crypto::kAes256KeySize) return Damaged(key, "holds no data-encryption key");
  if (absl::IsDataLoss(dek.status())) {
    return Damaged(key, fmt::format("does not open with version {} of the key-encryption key", version));
  }
  return dek;
}

}  // namespace

absl::Status SealInto(SealedKey& key, const crypto::Secret& secret, const DekWrapper& keks) {
  const crypto::Secret dek = crypto::Secret::Random(crypto::kAes256KeySize);
  ASSIGN_OR_RETURN(const DekWrapper::Wrapped wrapped, keks.Wrap(dek));
  const std::string nonce = crypto::RandomBytes(crypto::kGcmNonceSize);  // the data key seals this one message
  ASSIGN_OR_RETURN(const std::string sealed, crypto::AeadSeal(dek, nonce, Associated(key), secret.view()));
  key.blob = kMagic;
  AppendBe(key.blob, wrapped.version);
  key.blob.append(wrapped.bytes).append(nonce).append(sealed);
  key.kek_version = wrapped.version;
  return absl::OkStatus();
}

absl::StatusOr<crypto::Secret> OpenEnvelope(const SealedKey& key, const DekWrapper& keks) {
  ASSIGN_OR_RETURN(const crypto::Secret dek, OpenDek(key, keks));
  const std::string_view blob = key.blob;
  auto secret =
      crypto::AeadOpen(dek, blob.substr(kNonceAt, crypto::kGcmNonceSize), Associated(key), blob.substr(kTextAt));
  if (secret.ok()) return secret;
  return Damaged(key, "was changed, or belongs to another key, policy or public half");
}

absl::Status RewrapEnvelope(SealedKey& key, const DekWrapper& keks) {
  ASSIGN_OR_RETURN(const crypto::Secret dek, OpenDek(key, keks));
  ASSIGN_OR_RETURN(const DekWrapper::Wrapped wrapped, keks.Wrap(dek));
  std::string blob(kMagic);
  AppendBe(blob, wrapped.version);
  blob.append(wrapped.bytes).append(key.blob, kNonceAt);
  key.blob = std::move(blob);
  key.kek_version = wrapped.version;
  return absl::OkStatus();
}

}  // namespace virp::keymgr
