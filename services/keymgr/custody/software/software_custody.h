// Keys in envelopes, used in this process: opened for one operation, in wiped and locked memory. None is kept open but
// those of RSA that sign (signing_keys.h), and these no longer than the key-encryption keys are here.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "services/keymgr/custody/software/dek_wrapper.h"
#include "services/keymgr/custody/software/signing_keys.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/kek.h"

namespace virp::keymgr {

class SoftwareCustody final : public Custody, public Rewrapper {
 public:
  static constexpr std::string_view kName = "software";

  // `keks` outlives it.
  explicit SoftwareCustody(const DekWrapper& keks);

  std::string_view name() const override { return kName; }
  absl::StatusOr<SealedKey> Generate(const KeyIdentity& identity, ExportPolicy policy) override;
  absl::StatusOr<SealedKey> Import(const KeyIdentity& identity, ExportPolicy policy,
                                   const crypto::Secret& secret) override;
  absl::StatusOr<std::string> Sign(const SealedKey& key, std::string_view message) override;
  absl::StatusOr<crypto::Secret> Export(const SealedKey& key) override;
  // An envelope is nothing outside its record.
  absl::Status Lock(const SealedKey&) override { return absl::OkStatus(); }
  absl::Status Destroy(const SealedKey&) override { return absl::OkStatus(); }
  absl::Status Reconcile(const std::vector<SealedKey>&) override { return absl::OkStatus(); }
  absl::Status Ready() const override;

  absl::StatusOr<SealedKey> Rewrap(const SealedKey& key) override;

  std::size_t kept_open() const { return signing_keys_->size(); }

 private:
  const DekWrapper& keks_;
  const std::shared_ptr<SigningKeys> signing_keys_;
};

}  // namespace virp::keymgr
