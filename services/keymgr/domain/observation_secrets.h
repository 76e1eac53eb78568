// Secrets of O-Keys that are in use, so that a fetch opens no envelope. A manager that is sealed or stands by has none.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/snapshot.h"

namespace virp::keymgr {

// Thread-safe. `custodies` outlives it.
class ObservationSecrets {
 public:
  using SecretPtr = std::shared_ptr<const crypto::Secret>;

  explicit ObservationSecrets(const Custodies& custodies) : custodies_(custodies) {}

  // `sealed` as the newest snapshot has it. NotFound when that is null, DataLoss with reason KEY_DAMAGED when it does
  // not open, and what a custody says that is not ready.
  absl::StatusOr<SecretPtr> Get(const KeyIdentity& identity, const Snapshot::KeyPtr& sealed);
  // Tries those that did not open again, as the snapshot has them now: the sources of which some do.
  std::set<std::string> Retry(const Snapshot& now);
  void Drop(std::string_view source, std::uint32_t version);
  void Forget();  // all

  std::size_t kept() const;
  std::size_t damaged() const;  // versions that were asked for since Forget and gave NotFound or KEY_DAMAGED

 private:
  using Name = std::pair<std::string, std::uint32_t>;
  absl::StatusOr<SecretPtr> Open(const KeyIdentity& identity, const Snapshot::KeyPtr& sealed);

  const Custodies& custodies_;
  mutable SharedMutex mutex_;
  std::uint64_t forgotten_ ABSL_GUARDED_BY(mutex_) = 0;  // how often
  std::map<Name, SecretPtr, std::less<>> secrets_ ABSL_GUARDED_BY(mutex_);
  std::set<Name, std::less<>> damaged_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> any_damaged_{false};  // so that a fetch need not look
};

}  // namespace virp::keymgr
