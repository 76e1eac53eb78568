#include "services/keymgr/custody/software/signing_keys.h"

#include <utility>

#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::keymgr {

absl::StatusOr<std::shared_ptr<const crypto::RsaPrivateKey>> SigningKeys::Of(const KeyIdentity& identity,
                                                                             const crypto::Secret& secret) {
  const Hash of = crypto::Sha256(secret.view());
  {
    const MutexLock lock(mutex_);
    if (const auto found = keys_.find(identity); found != keys_.end() && found->second.of == of)
      return found->second.key;
  }
  ASSIGN_OR_RETURN(crypto::RsaPrivateKey opened, crypto::RsaPrivateKey::FromPkcs8(secret.view()));
  Open open{of, std::make_shared<const crypto::RsaPrivateKey>(std::move(opened))};
  const MutexLock lock(mutex_);
  keys_.erase(identity);
  if (keys_.size() == kMost) keys_.erase(keys_.begin());
  return keys_.emplace(identity, std::move(open)).first->second.key;
}

void SigningKeys::Forget() {
  const MutexLock lock(mutex_);
  keys_.clear();
}

std::size_t SigningKeys::size() const {
  const MutexLock lock(mutex_);
  return keys_.size();
}

}  // namespace virp::keymgr
