// For tests: a custody that keeps private bytes in memory under a number, and counts what is left.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/base/status.h"
#include "services/keymgr/domain/custody.h"

namespace virp::keymgr {

// Thread-safe. Symmetric keys only.
class MemoryCustody final : public Custody {
 public:
  std::string_view name() const override { return "memory"; }
  absl::StatusOr<SealedKey> Generate(const KeyIdentity& identity, ExportPolicy policy) override {
    return Import(identity, policy, crypto::Secret::Random(32));
  }
  absl::StatusOr<SealedKey> Import(const KeyIdentity& identity, ExportPolicy policy,
                                   const crypto::Secret& secret) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(fails_);
    SealedKey key;
    key.identity = identity;
    key.policy = policy;
    key.custody = name();
    key.blob = std::to_string(++made_);
    secrets_.emplace(key.blob, crypto::Secret(secret.view()));
    return key;
  }
  absl::StatusOr<std::string> Sign(const SealedKey&, std::string_view) override {
    return FailedPrecondition("symmetric keys only");
  }
  absl::StatusOr<crypto::Secret> Export(const SealedKey& key) override {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(fails_);
    const auto found = secrets_.find(key.blob);
    if (found == secrets_.end()) return DataLoss("{} is gone", ToString(key.identity));
    return crypto::Secret(found->second.view());
  }
  absl::Status Lock(const SealedKey&) override { return absl::OkStatus(); }
  absl::Status Destroy(const SealedKey& key) override {
    const MutexLock lock(mutex_);
    secrets_.erase(key.blob);
    return absl::OkStatus();
  }
  absl::Status Reconcile(const std::vector<SealedKey>&) override { return absl::OkStatus(); }
  absl::Status Ready() const override { return absl::OkStatus(); }

  void Fail(absl::Status status) {
    const MutexLock lock(mutex_);
    fails_ = std::move(status);
  }
  std::size_t count() const {
    const MutexLock lock(mutex_);
    return secrets_.size();
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, crypto::Secret> secrets_ ABSL_GUARDED_BY(mutex_);
  absl::Status fails_ ABSL_GUARDED_BY(mutex_);
  int made_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace virp::keymgr
