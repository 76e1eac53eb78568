#include "services/keymgr/custody/software/software_custody.h"

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/ed25519.h"
#include "lib/crypto/mac.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/rsa.h"
#include "lib/crypto/sha256.h"
#include "services/keymgr/custody/software/envelope.h"

namespace virp::keymgr {
namespace {

using crypto::Secret;

constexpr std::size_t kGeneratedOctets = 32;

// Some consumers read keys from files as text and cut a line end off their tail (docs/formats/frame.md, "Keys").
bool EndsLikeALine(const Secret& secret) {
  return secret.view().ends_with('\n') || secret.view().ends_with('\r');
}

absl::StatusOr<Secret> NewSecret(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kHmacSha256:
    case Algorithm::kOctets:
      while (true) {
        Secret secret = Secret::Random(kGeneratedOctets);
        if (!EndsLikeALine(secret)) return secret;
      }
    case Algorithm::kEd25519:
      return Secret::Random(crypto::kEd25519KeySize);
    case Algorithm::kEcdsaP256:
      while (true) {  // once in 2^32 the bytes are no scalar
        Secret scalar = Secret::Random(crypto::kP256ScalarSize);
        if (crypto::P256PrivateKey::FromScalar(scalar.view()).ok()) return scalar;
      }
    case Algorithm::kRsa2048:
      return crypto::RsaPrivateKey::Generate().Pkcs8();
  }
  return InvalidArgument("software custody makes no {} keys", AlgorithmName(algorithm));
}

// The public half; InvalidArgument when the secret is no key of this algorithm.
absl::StatusOr<PublicHalf> PublicHalfOf(Algorithm algorithm, const Secret& secret) {
  switch (algorithm) {
    case Algorithm::kHmacSha256:
    case Algorithm::kOctets: {
      const std::size_t most = algorithm == Algorithm::kOctets ? 80 : 256;
      if (secret.size() < 16 || secret.size() > most)
        return InvalidArgument("a secret of {} octets; wanted 16 to {}", secret.size(), most);
      return PublicHalf();
    }
    case Algorithm::kEd25519: {
      ASSIGN_OR_RETURN(const auto key, crypto::Ed25519PrivateKey::FromSeed(secret.view()));
      return key.public_key().bytes();
    }
    case Algorithm::kEcdsaP256: {
      ASSIGN_OR_RETURN(const auto key, crypto::P256PrivateKey::FromScalar(secret.view()));
      return std::string(key.public_key().point());
    }
    case Algorithm::kRsa2048: {
      ASSIGN_OR_RETURN(const auto key, crypto::RsaPrivateKey::FromPkcs8(secret.view()));
      return key.public_key().spki();
    }
  }
  return InvalidArgument("software custody keeps no {} keys", AlgorithmName(algorithm));
}

}  // namespace

SoftwareCustody::SoftwareCustody(const DekWrapper& keks) : keks_(keks), signing_keys_(std::make_shared<SigningKeys>()) {
  keks_.OnForget([keys = signing_keys_] { keys->Forget(); });
}

absl::Status SoftwareCustody::Ready() const {
  if (keks_.current() != 0) return absl::OkStatus();
  return WithReason(FailedPrecondition("the manager is sealed, and no key-encryption key is open: its status says why"),
                    "SEALED", {{"why", "NO_KEK"}});
}

absl::StatusOr<SealedKey> SoftwareCustody::Generate(const KeyIdentity& identity, ExportPolicy policy) {
  RETURN_IF_ERROR(CheckIdentity(identity));
  RETURN_IF_ERROR(Ready());
  ASSIGN_OR_RETURN(const Secret secret, NewSecret(identity.algorithm));
  return Import(identity, policy, secret);
}

absl::StatusOr<SealedKey> SoftwareCustody::Import(const KeyIdentity& identity, ExportPolicy policy,
                                                  const Secret& secret) {
  RETURN_IF_ERROR(CheckIdentity(identity));
  RETURN_IF_ERROR(CheckExportPolicy(identity, policy));
  SealedKey key;
  key.identity = identity;
  key.policy = policy;
  key.custody = kName;
  ASSIGN_OR_RETURN(key.public_half, PublicHalfOf(identity.algorithm, secret));
  RETURN_IF_ERROR(SealInto(key, secret, keks_));
  return key;
}

absl::StatusOr<std::string> SoftwareCustody::Sign(const SealedKey& key, std::string_view message) {
  if (key.identity.algorithm == Algorithm::kOctets)
    return FailedPrecondition("{}: OCTETS are for others to use, they sign nothing", ToString(key.identity));
  ASSIGN_OR_RETURN(const Secret secret, OpenEnvelope(key, keks_));
  switch (key.identity.algorithm) {
    case Algorithm::kHmacSha256:
      return std::string(View(crypto::HmacKey(secret.view()).Sign(message)));
    case Algorithm::kEd25519: {
      ASSIGN_OR_RETURN(const auto signer, crypto::Ed25519PrivateKey::FromSeed(secret.view()));
      return signer.Sign(message);
    }
    case Algorithm::kEcdsaP256: {
      ASSIGN_OR_RETURN(const auto signer, crypto::P256PrivateKey::FromScalar(secret.view()));
      return signer.SignDigest(crypto::Sha256(message));
    }
    case Algorithm::kRsa2048: {
      ASSIGN_OR_RETURN(const auto signer, signing_keys_->Of(key.identity, secret));
      if (keks_.current() == 0) signing_keys_->Forget();  // they were forgotten since the envelope was opened
      return signer->Sign(message);
    }
    default:
      return Internal("{}: software custody has no such keys", ToString(key.identity));
  }
}

absl::StatusOr<Secret> SoftwareCustody::Export(const SealedKey& key) {
  if (key.policy == ExportPolicy::kNever || (key.policy == ExportPolicy::kOnce && key.locked)) {
    return WithReason(PermissionDenied("{} cannot be exported: policy {}{}", ToString(key.identity),
                                       ExportPolicyName(key.policy), key.locked ? ", and it was exported" : ""),
                      "NOT_EXPORTABLE");
  }
  return OpenEnvelope(key, keks_);
}

absl::StatusOr<SealedKey> SoftwareCustody::Rewrap(const SealedKey& key) {
  SealedKey out = key;
  RETURN_IF_ERROR(RewrapEnvelope(out, keks_));
  return out;
}

}  // namespace virp::keymgr
