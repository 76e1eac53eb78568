// Key-encryption keys: what the envelopes of software custody are closed with. They never lie in the database; where
// they come from is the source's matter (files, a mounted Kubernetes Secret).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/keymgr/domain/custody.h"

namespace virp::keymgr {

struct KekFacts {
  std::uint32_t version = 0;
  // 16 hex digits by which the ledger knows this version again; says nothing about the key.
  std::string check;

  bool operator==(const KekFacts&) const = default;
};

// Thread-safe.
class KekSource {
 public:
  virtual ~KekSource() = default;

  // Reads what is there now, all versions. On an error what was known stays. NotFound when there is none,
  // FailedPrecondition when one may be read by others or is no key.
  virtual absl::Status Load() = 0;
  // Wipes all of them from memory, until Load.
  virtual void Forget() = 0;
  virtual std::vector<KekFacts> Known() const = 0;  // ascending; empty before Load

  // New envelopes are closed with this version from now on. NotFound when it is not known.
  virtual absl::Status Use(std::uint32_t version) = 0;
  virtual std::uint32_t current() const = 0;  // 0: none
};

// A custody whose keys can be put under another key-encryption key without anybody seeing them.
class Rewrapper {
 public:
  virtual ~Rewrapper() = default;
  // The same key under the current version. FailedPrecondition with reason SEALED when a version is not known.
  virtual absl::StatusOr<SealedKey> Rewrap(const SealedKey& key) = 0;
};

}  // namespace virp::keymgr
