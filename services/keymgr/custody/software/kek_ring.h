// Key-encryption keys in files: a folder of `<version>.kek` (also the mount of a Kubernetes Secret with such keys), or
// one such file. A file holds 32 octets, or 64 hex characters and a newline. It belongs to this process's user or to
// root, others may not read it, and a group only when this process is in it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/custody/software/dek_wrapper.h"

namespace virp::keymgr {

class KekRing final : public DekWrapper {
 public:
  explicit KekRing(std::string path) : path_(std::move(path)) {}

  absl::Status Load() override;
  void Forget() override;
  std::vector<KekFacts> Known() const override;
  absl::Status Use(std::uint32_t version) override;
  std::uint32_t current() const override;

  // Under a key that is derived from the file's (docs/formats/envelope.md).
  absl::StatusOr<Wrapped> Wrap(const crypto::Secret& dek) const override;
  absl::StatusOr<crypto::Secret> Unwrap(std::uint32_t version, std::string_view wrapped) const override;

 private:
  struct Kek {
    crypto::Secret wrapping;
    std::string check;
  };
  static absl::StatusOr<Kek> Derive(const crypto::Secret& secret);

  const std::string path_;
  mutable Mutex mutex_;
  std::map<std::uint32_t, Kek> keks_ ABSL_GUARDED_BY(mutex_);
  std::uint32_t current_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace virp::keymgr
