#include "services/keymgr/domain/observation_secrets.h"

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::keymgr {

absl::StatusOr<ObservationSecrets::SecretPtr> ObservationSecrets::Get(const KeyIdentity& identity,
                                                                      const Snapshot::KeyPtr& sealed) {
  auto secret = Open(identity, sealed);
  const bool damaged = absl::IsNotFound(secret.status()) || GetReason(secret.status()) == "KEY_DAMAGED";
  if (!damaged && (!secret.ok() || !any_damaged_)) return secret;
  const WriterLock lock(mutex_);
  const Name name(identity.id, identity.version);
  if (damaged) {
    damaged_.insert(name);
  } else {
    damaged_.erase(name);
  }
  any_damaged_ = !damaged_.empty();
  return secret;
}

std::set<std::string> ObservationSecrets::Retry(const Snapshot& now) {
  std::set<Name, std::less<>> damaged;
  {
    const ReaderLock lock(mutex_);
    damaged = damaged_;
  }
  std::set<std::string> out;
  for (const auto& [source, version] : damaged) {
    const auto sealed = now.FindKey(KeyKind::kObservation, source, version);
    if (sealed != nullptr && Get(sealed->identity, sealed).ok()) out.insert(source);
  }
  return out;
}

absl::StatusOr<ObservationSecrets::SecretPtr> ObservationSecrets::Open(const KeyIdentity& identity,
                                                                       const Snapshot::KeyPtr& sealed) {
  if (sealed == nullptr) return NotFound("{} has no secret any more", ToString(identity));
  ASSIGN_OR_RETURN(Custody* const custody, custodies_.Of(*sealed));
  if (const absl::Status ready = custody->Ready(); !ready.ok()) {
    Forget();
    return ready;
  }
  const Name name(identity.id, identity.version);
  std::uint64_t forgotten = 0;
  {
    const ReaderLock lock(mutex_);
    const auto known = secrets_.find(name);
    if (known != secrets_.end()) return known->second;
    forgotten = forgotten_;
  }
  ASSIGN_OR_RETURN(crypto::Secret secret, custody->Export(*sealed));
  const auto shared = std::make_shared<const crypto::Secret>(std::move(secret));
  const WriterLock lock(mutex_);
  if (forgotten != forgotten_) return shared;  // sealed meanwhile: it is kept no longer than this call
  return secrets_.insert_or_assign(name, shared).first->second;
}

void ObservationSecrets::Drop(std::string_view source, std::uint32_t version) {
  const WriterLock lock(mutex_);
  const Name name(source, version);
  secrets_.erase(name);
  damaged_.erase(name);
}

void ObservationSecrets::Forget() {
  const WriterLock lock(mutex_);
  secrets_.clear();
  damaged_.clear();
  any_damaged_ = false;
  ++forgotten_;
}

std::size_t ObservationSecrets::kept() const {
  const ReaderLock lock(mutex_);
  return secrets_.size();
}

std::size_t ObservationSecrets::damaged() const {
  const ReaderLock lock(mutex_);
  return damaged_.size();
}

}  // namespace virp::keymgr
