// The keys that the chain itself names, ready to verify with: Ed25519 public halves from the chain, HMAC secrets from
// the KeyProvider where they match the chain's commitment.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/chain/source_book.h"
#include "lib/frame/key.h"

namespace virp::onode {

// Thread-safe. Does not own the provider, which outlives it.
class KeyCache {
 public:
  explicit KeyCache(const frame::KeyProvider& provider) : provider_(provider) {}

  // Null when the chain does not name that version, or the provider has no secret that matches the chain's commitment.
  std::shared_ptr<const frame::OKey> Find(const chain::Source& source, std::uint32_t version);

  // Whether the provider's key is the one that the chain names for this version.
  static bool Matches(const chain::Source& source, const frame::KeyVersion& version);

  const frame::KeyProvider& provider() const { return provider_; }

 private:
  struct Known {
    std::string statement;  // public key or commitment that the key was checked against
    std::shared_ptr<const frame::OKey> key;
  };

  const frame::KeyProvider& provider_;
  SharedMutex mutex_;
  std::uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::pair<std::uint64_t, std::uint32_t>, Known> known_ ABSL_GUARDED_BY(mutex_);  // by (short id, version)
};

}  // namespace virp::onode
