// RSA keys in the form that OpenSSL signs with. Coming to it takes three times as long as a signature, so a key that
// signs thousands of certificates is kept in it, beside its envelope: each signature still opens the envelope, and the
// form is used only when what was in it is the same.
#pragma once

#include <cstddef>
#include <map>
#include <memory>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/mutex.h"
#include "lib/crypto/rsa.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/domain/key.h"

namespace virp::keymgr {

// Thread-safe.
class SigningKeys {
 public:
  static constexpr std::size_t kMost = 4;  // an authority and the one above it, twice during a rollover

  // Of the secret, PKCS #8 in DER, that the envelope of this key held.
  absl::StatusOr<std::shared_ptr<const crypto::RsaPrivateKey>> Of(const KeyIdentity& identity,
                                                                  const crypto::Secret& secret);
  // Wipes all, but what signs at this moment.
  void Forget();
  std::size_t size() const;

 private:
  struct Open {
    Hash of;  // SHA-256 of the secret
    std::shared_ptr<const crypto::RsaPrivateKey> key;
  };
  mutable Mutex mutex_;
  std::map<KeyIdentity, Open> keys_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::keymgr
