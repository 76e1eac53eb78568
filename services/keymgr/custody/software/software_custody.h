// Keys in envelopes, used in this process: opened for one operation, in wiped and locked memory, and never kept open.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "services/keymgr/custody/software/dek_wrapper.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/kek.h"

namespace virp::keymgr {

class SoftwareCustody final : public Custody, public Rewrapper {
 public:
  static constexpr std::string_view kName = "software";

  // Outlived by `keks`.
  explicit SoftwareCustody(const DekWrapper& keks) : keks_(keks) {}

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

 private:
  const DekWrapper& keks_;
};

}  // namespace virp::keymgr
