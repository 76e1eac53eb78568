#include "services/keymgr/custody/token/token_custody.h"

#include <algorithm>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/ed25519.h"
#include "lib/crypto/key_wrap.h"
#include "lib/crypto/mac.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/random.h"
#include "lib/crypto/sha256.h"
#include "services/keymgr/custody/token/private_key_info.h"

namespace virp::keymgr {
namespace {

using crypto::Secret;

constexpr std::string_view kObject = "virp token key/1\n";     // blob: this, nonce, id
constexpr std::string_view kSecret = "virp token secret/1\n";  // blob: this, what the token sealed
constexpr std::size_t kNonce = 16;
constexpr std::size_t kTag = 8;
constexpr std::size_t kId = 32;
constexpr std::size_t kMostChecked = 65536;
// A manager dies with a few calls under way.
constexpr std::size_t kMostOrphans = 64;

std::string Hashed(std::string_view label, std::string_view text, std::size_t size) {
  return std::string(View(crypto::Sha256({label, text})).substr(0, size));
}

absl::Status Damaged(const SealedKey& key, std::string_view why) {
  return WithReason(DataLoss("{}: {}", ToString(key.identity), why), "KEY_DAMAGED");
}

// The token's errors as Custody has them.
absl::Status Told(const absl::Status& status, const KeyIdentity& identity) {
  absl::Status out = Annotate(status, ToString(identity));
  const std::string reason = GetReason(status);
  if (reason == pkcs11::kLoginFailed) SetReason(out, "SEALED", {{"why", "TOKEN_LOGIN"}});
  if (reason == "CKR_KEY_UNEXTRACTABLE") {
    out = WithCode(out, absl::StatusCode::kPermissionDenied);
    SetReason(out, "NOT_EXPORTABLE");
  }
  return out;
}

// Of an operation on an object whose id the record gave.
absl::Status ToldOfObject(const absl::Status& status, const SealedKey& key) {
  if (status.code() == absl::StatusCode::kNotFound) {
    return Damaged(key, "its object is not on the token; bring the token back from its backup");
  }
  return Told(status, key.identity);
}

// What else is in the record beside the public half and the blob is bound to the object by its id.
std::string IdFor(std::string_view tag, const KeyIdentity& identity, ExportPolicy policy, std::string_view nonce) {
  std::string text(1, static_cast<char>(policy));
  text.append(nonce).append(AssociatedData(identity));
  return std::string(tag) + Hashed(kObject, text, kId - kTag);
}

std::string SecretAssociatedData(const KeyIdentity& identity, ExportPolicy policy) {
  std::string out(kSecret);
  out.push_back(static_cast<char>(policy));
  return out.append(AssociatedData(identity));
}

// What of the pairs may leave a token: PKCS #11 has no form for Ed25519 that tokens agree on, and RSA keys are never
// exported (CheckExportPolicy).
absl::Status CheckTokenPolicy(const KeyIdentity& identity, ExportPolicy policy) {
  RETURN_IF_ERROR(CheckIdentity(identity));
  RETURN_IF_ERROR(CheckExportPolicy(identity, policy));
  if (identity.algorithm != Algorithm::kEd25519 || policy == ExportPolicy::kNever) return absl::OkStatus();
  return InvalidArgument("{}: an Ed25519 key on a token never leaves it; its policy can only be NEVER",
                         ToString(identity));
}

bool IsExportable(ExportPolicy policy) {
  return policy == ExportPolicy::kOnce || policy == ExportPolicy::kEscrowOnly;
}

absl::StatusOr<pkcs11::KeyKind> TokenKind(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kEd25519:
      return pkcs11::KeyKind::kEd25519;
    case Algorithm::kEcdsaP256:
      return pkcs11::KeyKind::kEcP256;
    case Algorithm::kRsa2048:
      return pkcs11::KeyKind::kRsa2048;
    default:
      return InvalidArgument("a token keeps no {} keys as objects", AlgorithmName(algorithm));
  }
}

PublicHalf PublicHalfOf(const pkcs11::KeyInfo& info) {
  return info.kind == pkcs11::KeyKind::kRsa2048 ? info.public_spki : info.public_raw;
}

// As the software custody has it: some consumers read keys from files as text and cut a line end off their tail.
Secret NewSecret() {
  while (true) {
    Secret secret = Secret::Random(32);
    if (!secret.view().ends_with('\n') && !secret.view().ends_with('\r')) return secret;
  }
}

absl::Status CheckSecretSize(const KeyIdentity& identity, const Secret& secret) {
  const std::size_t most = identity.algorithm == Algorithm::kOctets ? 80 : 256;
  if (secret.size() >= 16 && secret.size() <= most) return absl::OkStatus();
  return InvalidArgument("{}: a secret of {} octets; wanted 16 to {}", ToString(identity), secret.size(), most);
}

// Whether a signature of the token's fits the public half: a broken generator or a pair of strangers shows here, not
// when the certificate is out. RSA is seen to by the certificate's own check.
absl::Status CheckSignature(const SealedKey& key, std::string_view message, std::string_view signature) {
  bool good = true;
  if (key.identity.algorithm == Algorithm::kEcdsaP256) {
    ASSIGN_OR_RETURN(const auto half, crypto::P256PublicKey::FromPoint(key.public_half));
    good = half.VerifyDigest(crypto::Sha256(message), signature);
  } else if (key.identity.algorithm == Algorithm::kEd25519) {
    ASSIGN_OR_RETURN(const auto half, crypto::Ed25519PublicKey::FromBytes(key.public_half));
    good = half.Verify(message, signature);
  }
  if (good) return absl::OkStatus();
  return Internal("{}: what the token signs does not verify under the public half it gave", ToString(key.identity));
}

}  // namespace

TokenCustody::TokenCustody(std::shared_ptr<pkcs11::Token> token, std::string_view owner)
    : token_(std::move(token)),
      owner_(owner),
      tag_(Hashed("virp token owner/1\n", owner, kTag)),
      sealing_id_(Hashed("virp token sealing key/1\n", owner, kId)) {}

absl::Status TokenCustody::Ready() const {
  absl::Status status = token_->Check();
  if (GetReason(status) == pkcs11::kLoginFailed) SetReason(status, "SEALED", {{"why", "TOKEN_LOGIN"}});
  return status;
}

pkcs11::KeySpec TokenCustody::Spec(const SealedKey& key, std::string id) const {
  // For people who look at the token; a long name is cut.
  std::string label = fmt::format("virp {} {}", owner_, ToString(key.identity));
  label.resize(std::min(label.size(), pkcs11::kMaxKeyLabel));
  return {.kind = TokenKind(key.identity.algorithm).value_or(pkcs11::KeyKind::kEcP256),
          .id = std::move(id),
          .label = std::move(label),
          .exportable = IsExportable(key.policy)};
}

absl::StatusOr<SealedKey> TokenCustody::Generate(const KeyIdentity& identity, ExportPolicy policy) {
  RETURN_IF_ERROR(CheckTokenPolicy(identity, policy));
  if (IsSymmetric(identity.algorithm)) return SealSecret(identity, policy, NewSecret());
  return GenerateOnToken(identity, policy);
}

absl::StatusOr<SealedKey> TokenCustody::GenerateOnToken(const KeyIdentity& identity, ExportPolicy policy) {
  SealedKey key{.identity = identity, .policy = policy, .custody = std::string(kName), .public_half = {}, .blob = {}};
  const std::string nonce = crypto::RandomBytes(kNonce);
  const std::string id = IdFor(tag_, identity, policy, nonce);
  const auto made = token_->Generate(Spec(key, id));
  if (!made.ok()) return Told(made.status(), identity);
  key.public_half = PublicHalfOf(*made);
  key.blob = std::string(kObject).append(nonce).append(id);
  const auto signature = token_->Sign(id, nonce);
  absl::Status status = signature.ok() ? CheckSignature(key, nonce, *signature) : Told(signature.status(), identity);
  if (status.ok()) return key;
  (void)token_->Destroy(id);  // what is left is found by Reconcile
  return status;
}

absl::StatusOr<SealedKey> TokenCustody::Import(const KeyIdentity& identity, ExportPolicy policy, const Secret& secret) {
  RETURN_IF_ERROR(CheckTokenPolicy(identity, policy));
  if (IsSymmetric(identity.algorithm)) {
    RETURN_IF_ERROR(CheckSecretSize(identity, secret));
    return SealSecret(identity, policy, secret);
  }
  if (identity.algorithm == Algorithm::kEcdsaP256) return ImportP256(identity, policy, secret);
  return InvalidArgument("{}: {} keys are not brought to a token; have it make one", ToString(identity),
                         AlgorithmName(identity.algorithm));
}

absl::StatusOr<SealedKey> TokenCustody::ImportP256(const KeyIdentity& identity, ExportPolicy policy,
                                                   const Secret& scalar) {
  ASSIGN_OR_RETURN(const auto private_key, crypto::P256PrivateKey::FromScalar(scalar.view()));
  SealedKey key{.identity = identity,
                .policy = policy,
                .custody = std::string(kName),
                .public_half = std::string(private_key.public_key().point()),
                .blob = {}};
  const Secret transport = Secret::Random(32);
  ASSIGN_OR_RETURN(const std::string wrapped,
                   crypto::WrapKeyPadded(transport, P256PrivateKeyInfo(scalar, key.public_half).view()));
  const std::string nonce = crypto::RandomBytes(kNonce);
  const std::string id = IdFor(tag_, identity, policy, nonce);
  const auto brought = token_->ImportWrapped(Spec(key, id), wrapped, transport, private_key.public_key().spki());
  if (!brought.ok()) return Told(brought.status(), identity);
  key.blob = std::string(kObject).append(nonce).append(id);
  return key;
}

absl::Status TokenCustody::EnsureSealingKey() {
  if (has_sealing_key_) return absl::OkStatus();
  const auto found = token_->Find(sealing_id_);
  if (!found.ok() && found.status().code() != absl::StatusCode::kNotFound) return found.status();
  if (!found.ok()) {
    const auto made =
        token_->Generate({.kind = pkcs11::KeyKind::kAes256,
                          .id = sealing_id_,
                          .label = fmt::format("virp {} seals secrets", owner_).substr(0, pkcs11::kMaxKeyLabel),
                          .aes_use = pkcs11::AesUse::kSeal});
    // Another thread may have been first.
    if (!made.ok() && made.status().code() != absl::StatusCode::kAlreadyExists) return made.status();
  }
  has_sealing_key_ = true;
  return absl::OkStatus();
}

absl::StatusOr<SealedKey> TokenCustody::SealSecret(const KeyIdentity& identity, ExportPolicy policy,
                                                   const Secret& secret) {
  if (const absl::Status ready = EnsureSealingKey(); !ready.ok()) return Told(ready, identity);
  const auto sealed = token_->Seal(sealing_id_, SecretAssociatedData(identity, policy), secret);
  if (!sealed.ok()) return Told(sealed.status(), identity);
  return SealedKey{.identity = identity,
                   .policy = policy,
                   .custody = std::string(kName),
                   .public_half = {},
                   .blob = std::string(kSecret).append(*sealed)};
}

absl::StatusOr<Secret> TokenCustody::OpenSecret(const SealedKey& key) {
  const std::string_view blob = key.blob;
  if (!blob.starts_with(kSecret) || !key.public_half.empty()) return Damaged(key, "its record holds no sealed secret");
  auto secret =
      token_->Unseal(sealing_id_, SecretAssociatedData(key.identity, key.policy), blob.substr(kSecret.size()));
  if (secret.ok()) return secret;
  if (absl::IsDataLoss(secret.status())) {
    return Damaged(key, "its secret was changed, belongs to another key or policy, or was sealed by another token");
  }
  if (absl::IsNotFound(secret.status())) {
    return Damaged(key, "the key that sealed its secret is not on the token; bring the token back from its backup");
  }
  return Told(secret.status(), key.identity);
}

absl::StatusOr<std::string> TokenCustody::ObjectId(const SealedKey& key) const {
  const std::string_view blob = key.blob;
  if (!blob.starts_with(kObject) || blob.size() != kObject.size() + kNonce + kId) {
    return Damaged(key, "its record names no object of a token");
  }
  std::string id = IdFor(tag_, key.identity, key.policy, blob.substr(kObject.size(), kNonce));
  if (id != blob.substr(kObject.size() + kNonce)) {
    return Damaged(key, "its record was changed, or belongs to another key, policy or manager");
  }
  return id;
}

absl::StatusOr<std::string> TokenCustody::CheckedObjectId(const SealedKey& key) {
  ASSIGN_OR_RETURN(std::string id, ObjectId(key));
  {
    const MutexLock lock(mutex_);
    const auto at = checked_.find(id);
    if (at != checked_.end() && at->second == key.public_half) return id;
  }
  const auto info = token_->Find(id);
  if (!info.ok()) return ToldOfObject(info.status(), key);
  if (PublicHalfOf(*info) != key.public_half) {
    return Damaged(key, "the public half in its record is not that of the object on the token");
  }
  const MutexLock lock(mutex_);
  if (checked_.size() >= kMostChecked) checked_.clear();
  checked_[id] = key.public_half;
  return id;
}

absl::StatusOr<std::string> TokenCustody::Sign(const SealedKey& key, std::string_view message) {
  if (key.identity.algorithm == Algorithm::kOctets) {
    return FailedPrecondition("{}: OCTETS are for others to use, they sign nothing", ToString(key.identity));
  }
  if (key.identity.algorithm == Algorithm::kHmacSha256) {
    ASSIGN_OR_RETURN(const Secret secret, OpenSecret(key));
    return std::string(View(crypto::HmacKey(secret.view()).Sign(message)));
  }
  ASSIGN_OR_RETURN(const std::string id, CheckedObjectId(key));
  // Hashed here: what is signed may be longer than a token takes, as a large CRL is. Ed25519 has no hash to sign.
  auto signature = key.identity.algorithm == Algorithm::kEd25519 ? token_->Sign(id, message)
                                                                 : token_->SignDigest(id, crypto::Sha256(message));
  if (!signature.ok()) return ToldOfObject(signature.status(), key);
  return signature;
}

absl::StatusOr<Secret> TokenCustody::Export(const SealedKey& key) {
  if (key.policy == ExportPolicy::kNever || (key.policy == ExportPolicy::kOnce && key.locked)) {
    return WithReason(PermissionDenied("{} cannot be exported: policy {}{}", ToString(key.identity),
                                       ExportPolicyName(key.policy), key.locked ? ", and it was exported" : ""),
                      "NOT_EXPORTABLE");
  }
  if (IsSymmetric(key.identity.algorithm)) return OpenSecret(key);
  if (key.identity.algorithm != Algorithm::kEcdsaP256) {
    return Damaged(key, "it is of a policy that no token makes such keys with");
  }
  ASSIGN_OR_RETURN(const std::string id, CheckedObjectId(key));
  const Secret transport = Secret::Random(32);
  const auto wrapped = token_->ExportWrapped(id, transport);
  if (!wrapped.ok()) return ToldOfObject(wrapped.status(), key);
  ASSIGN_OR_RETURN(const Secret info, crypto::UnwrapKeyPadded(transport, *wrapped));
  ASSIGN_OR_RETURN(Secret scalar, P256ScalarOf(info));
  ASSIGN_OR_RETURN(const auto private_key, crypto::P256PrivateKey::FromScalar(scalar.view()));
  if (private_key.public_key().point() != key.public_half) {
    return Damaged(key, "what the token gave is the private half of another key");
  }
  return scalar;
}

absl::Status TokenCustody::Lock(const SealedKey& key) {
  if (IsSymmetric(key.identity.algorithm)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string id, ObjectId(key));
  return ToldOfObject(token_->LockExport(id), key);
}

absl::Status TokenCustody::Destroy(const SealedKey& key) {
  if (IsSymmetric(key.identity.algorithm)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string id, ObjectId(key));
  {
    const MutexLock lock(mutex_);
    checked_.erase(id);
  }
  const absl::Status status = token_->Destroy(id);
  if (status.ok() || absl::IsNotFound(status)) return absl::OkStatus();
  return Told(status, key.identity);
}

absl::Status TokenCustody::Reconcile(const std::vector<SealedKey>& keys) {
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, token_->ListIds());
  StringSet orphans;
  for (const std::string& id : ids) {
    if (id.size() == kId && id.starts_with(tag_)) orphans.insert(id);
  }
  std::size_t known = 0, records = 0;
  std::vector<const SealedKey*> to_lock;
  for (const SealedKey& key : keys) {
    if (IsSymmetric(key.identity.algorithm)) continue;
    ++records;
    const auto id = ObjectId(key);
    // A damaged record may be the one of an object that looks like an orphan: nothing is destroyed before it is mended.
    if (!id.ok()) return id.status();
    if (orphans.erase(*id) == 0) continue;  // told when it is used
    ++known;
    if (key.locked) to_lock.push_back(&key);
  }
  for (const SealedKey* const key : to_lock) RETURN_IF_ERROR(Lock(*key));
  unknown_ = 0;
  if (orphans.empty()) return absl::OkStatus();
  // A crash in the first ceremony leaves objects and no record at all; so does the loss of the database. They stay.
  unknown_ = records == 0 && orphans.size() <= kMostOrphans ? orphans.size() : 0;
  if (unknown_ != 0) return absl::OkStatus();
  if (known == 0 || orphans.size() > kMostOrphans) {
    return WithReason(FailedPrecondition(
                          "the token has {} keys of '{}' that this database does not know, and {} that it knows: it "
                          "looks like an old or another database; bring the right one back, or, when these keys are of "
                          "no use, delete them with the token's tool",
                          orphans.size(), owner_, known),
                      "TOKEN_KEYS_UNKNOWN");
  }
  for (const std::string& id : orphans) {
    const absl::Status status = token_->Destroy(id);
    if (!absl::IsNotFound(status)) RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

}  // namespace virp::keymgr
