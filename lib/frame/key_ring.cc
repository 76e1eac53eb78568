#include "lib/frame/key_ring.h"

#include <utility>

namespace virp::frame {

std::shared_ptr<const OKey> FindIn(const KeyTable& table, std::string_view source, std::uint32_t version) {
  const auto found = table.find(source);
  if (found == table.end()) return nullptr;
  const auto key = found->second.find(version);
  return key == found->second.end() ? nullptr : key->second.key;
}

std::vector<KeyVersion> VersionsIn(const KeyTable& table, std::string_view source) {
  std::vector<KeyVersion> out;
  const auto found = table.find(source);
  if (found == table.end()) return out;
  out.reserve(found->second.size());
  for (const auto& [number, version] : found->second) out.push_back(version);
  return out;
}

std::vector<std::string> SourcesIn(const KeyTable& table) {
  std::vector<std::string> out;
  out.reserve(table.size());
  for (const auto& [source, versions] : table) out.push_back(source);
  return out;
}

void KeyRing::Put(std::string_view source, KeyVersion version) {
  const MutexLock lock(mutex_);
  const std::uint32_t number = version.version;
  table_[std::string(source)].insert_or_assign(number, std::move(version));
  ++generation_;
}

void KeyRing::Remove(std::string_view source, std::uint32_t version) {
  const MutexLock lock(mutex_);
  const auto found = table_.find(source);
  if (found == table_.end() || found->second.erase(version) == 0) return;
  if (found->second.empty()) table_.erase(found);
  ++generation_;
}

std::shared_ptr<const OKey> KeyRing::Find(std::string_view source, std::uint32_t version) const {
  const MutexLock lock(mutex_);
  return FindIn(table_, source, version);
}

std::vector<KeyVersion> KeyRing::Versions(std::string_view source) const {
  const MutexLock lock(mutex_);
  return VersionsIn(table_, source);
}

std::vector<std::string> KeyRing::Sources() const {
  const MutexLock lock(mutex_);
  return SourcesIn(table_);
}

std::uint64_t KeyRing::Generation() const {
  const MutexLock lock(mutex_);
  return generation_;
}

}  // namespace virp::frame
