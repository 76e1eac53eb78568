// Who wraps the data-encryption keys of envelopes: key-encryption keys from files (kek_ring.h) or on a token
// (custody/token/token_keks.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
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
};

}  // namespace virp::keymgr
