// Who wraps the data-encryption keys of envelopes: key-encryption keys from files (kek_ring.h) or on a token
// (custody/token/token_keks.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/domain/kek.h"

namespace virp::keymgr {

// Thread-safe. Data-encryption keys have 32 octets, wrapped ones 40 (AES-KWP, RFC 5649).
class DekWrapper : public KekSource {
 public:
  struct Wrapped {
    std::uint32_t version = 0;
    std::string bytes;
  };
  // With the current version. FailedPrecondition with reason SEALED when the version is not known; DataLoss when it
  // does not open.
  virtual absl::StatusOr<Wrapped> Wrap(const crypto::Secret& dek) const = 0;
  virtual absl::StatusOr<crypto::Secret> Unwrap(std::uint32_t version, std::string_view wrapped) const = 0;

  // `wipe` is called by every Forget, which ends after it: for what was opened with these keys. Stays until the end.
  void OnForget(std::function<void()> wipe) const {
    const MutexLock lock(listeners_mutex_);
    listeners_.push_back(std::move(wipe));
  }

 protected:
  void Forgotten() const {
    const MutexLock lock(listeners_mutex_);
    for (const auto& wipe : listeners_) wipe();
  }

 private:
  mutable Mutex listeners_mutex_;
  mutable std::vector<std::function<void()>> listeners_ ABSL_GUARDED_BY(listeners_mutex_);
};

}  // namespace virp::keymgr
