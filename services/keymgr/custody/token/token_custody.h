// Keys on a PKCS #11 token (docs/operations/hsm.md). Pairs are made there and sign there; what the ledger keeps of one
// is the number by which its object is found, which is derived from the record's identity and policy: a record that was
// changed or put in another's place finds nothing. Secrets that their two ends hold by nature (HMAC, OCTETS) are no
// objects: they lie in the record, sealed by an AES key that never leaves the token.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/hash_map.h"
#include "lib/base/mutex.h"
#include "lib/pkcs11/token.h"
#include "services/keymgr/domain/custody.h"

namespace virp::keymgr {

class TokenCustody final : public Custody {
 public:
  static constexpr std::string_view kName = "token";

  // `owner` tells this manager's objects from those of others on the same token: the name of its source, the same for
  // all managers of one database. Makes no call to the token.
  TokenCustody(std::shared_ptr<pkcs11::Token> token, std::string_view owner);

  std::string_view name() const override { return kName; }
  // Ed25519 (kNever only), P-256 and RSA-2048 on the token, HMAC and OCTETS under it.
  absl::StatusOr<SealedKey> Generate(const KeyIdentity& identity, ExportPolicy policy) override;
  // P-256, HMAC and OCTETS; InvalidArgument for the others, which are made where they stay.
  absl::StatusOr<SealedKey> Import(const KeyIdentity& identity, ExportPolicy policy,
                                   const crypto::Secret& secret) override;
  absl::StatusOr<std::string> Sign(const SealedKey& key, std::string_view message) override;
  absl::StatusOr<crypto::Secret> Export(const SealedKey& key) override;
  absl::Status Lock(const SealedKey& key) override;
  absl::Status Destroy(const SealedKey& key) override;
  // Call it only with a database that is known to be the latest. FailedPrecondition with reason TOKEN_KEYS_UNKNOWN, and
  // nothing is destroyed, when that looks otherwise: more objects of ours are on the token than a crash can leave
  // behind, or objects and records of others only. A database without any record of one leaves them be: unknown().
  absl::Status Reconcile(const std::vector<SealedKey>& keys) override;
  absl::Status Ready() const override;
  std::size_t unknown() const override { return unknown_; }

 private:
  absl::StatusOr<SealedKey> GenerateOnToken(const KeyIdentity& identity, ExportPolicy policy);
  absl::StatusOr<SealedKey> ImportP256(const KeyIdentity& identity, ExportPolicy policy, const crypto::Secret& scalar);
  absl::StatusOr<SealedKey> SealSecret(const KeyIdentity& identity, ExportPolicy policy, const crypto::Secret& secret);
  absl::StatusOr<crypto::Secret> OpenSecret(const SealedKey& key);
  // Of a key that is an object: KEY_DAMAGED unless the record is the one that it was made with.
  absl::StatusOr<std::string> ObjectId(const SealedKey& key) const;
  // Also that the public half is that of the object; asks the token once for each key.
  absl::StatusOr<std::string> CheckedObjectId(const SealedKey& key);
  absl::Status EnsureSealingKey();
  pkcs11::KeySpec Spec(const SealedKey& key, std::string id) const;

  const std::shared_ptr<pkcs11::Token> token_;
  const std::string owner_;
  const std::string tag_;         // the ids of our objects begin with it
  const std::string sealing_id_;  // does not
  std::atomic<bool> has_sealing_key_ = false;
  std::atomic<std::size_t> unknown_ = 0;
  Mutex mutex_;
  StringMap<PublicHalf> checked_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::keymgr
