// A KeyProvider in memory: keys that a person brought for verifying, and tests. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/frame/key.h"

namespace virp::frame {

// The versions of each source, oldest first: the common part of all providers.
using KeyTable = std::map<std::string, std::map<std::uint32_t, KeyVersion>, std::less<>>;

class KeyRing final : public KeyProvider {
 public:
  // Adds a version or replaces it.
  void Put(std::string_view source, KeyVersion version);
  void Remove(std::string_view source, std::uint32_t version);

  std::shared_ptr<const OKey> Find(std::string_view source, std::uint32_t version) const override;
  std::vector<KeyVersion> Versions(std::string_view source) const override;
  std::vector<std::string> Sources() const override;
  std::uint64_t Generation() const override;

 private:
  mutable Mutex mutex_;
  KeyTable table_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 1;
};

// Look-ups in a table, for providers.
std::shared_ptr<const OKey> FindIn(const KeyTable& table, std::string_view source, std::uint32_t version);
std::vector<KeyVersion> VersionsIn(const KeyTable& table, std::string_view source);
std::vector<std::string> SourcesIn(const KeyTable& table);

}  // namespace virp::frame
