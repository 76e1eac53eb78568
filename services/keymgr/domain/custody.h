// Where private halves live. Two back ends: custody/software (envelopes under a key-encryption key) and custody/token
// (PKCS #11). What the ledger stores of a key is a SealedKey: nobody who has only that can use the key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/domain/key.h"

namespace virp::keymgr {

// The half that everybody may know. Form by algorithm: Ed25519 the 32 octets of RFC 8032; ECDSA-P256 the uncompressed
// point, 65 octets; RSA-2048 the SubjectPublicKeyInfo in DER; empty for symmetric ones.
using PublicHalf = std::string;

struct SealedKey {
  KeyIdentity identity;
  ExportPolicy policy = ExportPolicy::kNever;
  std::string custody;            // who opens it: Custody::name()
  std::uint32_t kek_version = 0;  // of the key-encryption key that wraps it; 0: none of ours (a token's object)
  PublicHalf public_half;
  std::string blob;     // an envelope, or what a token's object is found by; never private bytes in the clear
  bool locked = false;  // kOnce: it was exported. Only ever becomes true, in the transaction of the export
  UnixNanos created = 0;

  bool operator==(const SealedKey&) const = default;
};

// Thread-safe. Common errors: FailedPrecondition with reason SEALED (no key-encryption key, no login), Unavailable (the
// token is gone; retry), DataLoss with reason KEY_DAMAGED (the blob does not open under this identity and policy:
// changed, or put in another's place). No error, and no log line, holds private bytes.
class Custody {
 public:
  virtual ~Custody() = default;

  virtual std::string_view name() const = 0;  // "software", "token"

  // Makes a key. Nothing of it counts before the ledger committed the SealedKey: what a crash leaves behind on a token
  // is removed by Reconcile. InvalidArgument as CheckIdentity and CheckExportPolicy, and for an algorithm that this
  // custody does not have.
  virtual absl::StatusOr<SealedKey> Generate(const KeyIdentity& identity, ExportPolicy policy) = 0;

  // Takes a key that was made elsewhere. Form of `secret` by algorithm: HMAC and OCTETS the octets themselves, Ed25519
  // the seed of 32 octets, ECDSA-P256 the scalar of 32 octets, RSA-2048 PKCS #8 in DER. InvalidArgument when it is
  // none.
  virtual absl::StatusOr<SealedKey> Import(const KeyIdentity& identity, ExportPolicy policy,
                                           const crypto::Secret& secret) = 0;

  // A signature or MAC over `message`, which is hashed here: Ed25519 64 octets; ECDSA DER Ecdsa-Sig-Value; RSA 256
  // octets; HMAC 32 octets. FailedPrecondition for OCTETS.
  virtual absl::StatusOr<std::string> Sign(const SealedKey& key, std::string_view message) = 0;

  // The private bytes, in the form that Import takes. Checks nothing but the policy in the key: kNever and a locked
  // kOnce are PermissionDenied with reason NOT_EXPORTABLE. Call ReleaseKey (release.h), which commits record and lock
  // before the secret is let out, never this alone.
  virtual absl::StatusOr<crypto::Secret> Export(const SealedKey& key) = 0;

  // After the lock was committed: a token makes the object non-extractable for ever. May be repeated.
  virtual absl::Status Lock(const SealedKey& key) = 0;

  // After the record was dropped: what there is of the key outside the ledger goes. OK when it is gone already.
  virtual absl::Status Destroy(const SealedKey& key) = 0;

  // At start, with every key of this custody: finishes what a crash cut short. Objects of ours that no record names are
  // destroyed, locked keys are locked.
  virtual absl::Status Reconcile(const std::vector<SealedKey>& keys) = 0;

  // What the newest Reconcile found of ours that no record names, and left where it is.
  virtual std::size_t unknown() const { return 0; }

  // OK when keys can be made and used now; the error says what is missing.
  virtual absl::Status Ready() const = 0;
};

// The custodies of a manager, by name, and which one makes new keys of a kind. Owns nothing. Immutable once made.
class Custodies {
 public:
  Custodies() = default;
  void Add(Custody& custody) { all_.push_back(&custody); }
  // New keys of this kind are made by that custody instead of the first one that was added.
  void Prefer(KeyKind kind, Custody& custody) { preferred_.emplace_back(kind, &custody); }

  const std::vector<Custody*>& all() const { return all_; }
  Custody& For(KeyKind kind) const;  // at least one must have been added
  // FailedPrecondition with reason NO_CUSTODY: the key was sealed by a custody that is not configured.
  absl::StatusOr<Custody*> Of(const SealedKey& key) const;

 private:
  std::vector<Custody*> all_;
  std::vector<std::pair<KeyKind, Custody*>> preferred_;
};

}  // namespace virp::keymgr
