#include "services/onode/domain/key_cache.h"

namespace virp::onode {

std::shared_ptr<const frame::OKey> KeyCache::Find(const chain::Source& source, std::uint32_t version) {
  const auto state = source.keys.find(version);
  if (state == source.keys.end()) return nullptr;
  const chain::KeyStatement& statement = state->second.statement;
  const bool asymmetric = statement.suite == frame::Suite::kEd25519;
  const std::string& stated = asymmetric ? statement.public_key : statement.commitment;
  const std::pair<std::uint64_t, std::uint32_t> name{source.short_id, version};
  const std::uint64_t generation = provider_.Generation();
  {
    const ReaderLock lock(mutex_);
    const auto known = known_.find(name);
    if (generation_ == generation && known != known_.end() && known->second.statement == stated)
      return known->second.key;
  }
  std::shared_ptr<const frame::OKey> key;
  if (asymmetric) {
    if (auto parsed = frame::OKey::Ed25519FromPublic(stated); parsed.ok()) key = *parsed;
  } else {
    key = provider_.Find(source.registration.source, version);
    const bool matches = key != nullptr && key->suite() == frame::Suite::kHmacSha256 &&
                         key->Commitment(source.registration.source, version) == stated;
    if (!matches) key = nullptr;
  }
  const WriterLock lock(mutex_);
  if (generation_ != generation) {
    known_.clear();
    generation_ = generation;
  }
  // Misses are not kept: what anybody can name must not grow memory.
  if (key != nullptr) known_[name] = {stated, key};
  return key;
}

bool KeyCache::Matches(const chain::Source& source, const frame::KeyVersion& version) {
  const auto known = source.keys.find(version.version);
  if (known == source.keys.end() || version.key == nullptr) return false;
  const chain::KeyStatement& stated = known->second.statement;
  return version.key->suite() == stated.suite && version.key->public_key() == stated.public_key &&
         version.key->Commitment(source.registration.source, version.version) == stated.commitment;
}

}  // namespace virp::onode
