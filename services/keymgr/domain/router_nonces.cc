#include "services/keymgr/domain/router_nonces.h"

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/random.h"

namespace virp::keymgr {
namespace {

constexpr UnixNanos kLife = UnixNanos{600} * 1'000'000'000;

}  // namespace

absl::StatusOr<std::string> RouterNonces::Make(std::string_view slot, std::uint32_t version) {
  const UnixNanos now = clock_.NowNanos();
  const MutexLock lock(mutex_);
  if (nonces_.size() >= most_) {
    std::erase_if(nonces_, [now](const auto& entry) { return entry.second.until <= now; });
    if (nonces_.size() >= most_) return ResourceExhausted("{} routers have nonces; try again later", nonces_.size());
  }
  Nonce nonce{crypto::RandomBytes(kNonceSize), now + kLife};
  const auto kept = nonces_.insert_or_assign({std::string(slot), version}, std::move(nonce)).first;
  return kept->second.bytes;
}

absl::StatusOr<std::string> RouterNonces::Find(std::string_view slot, std::uint32_t version) const {
  const MutexLock lock(mutex_);
  const auto found = nonces_.find({std::string(slot), version});
  if (found == nonces_.end() || found->second.until <= clock_.NowNanos()) {
    return WithReason(FailedPrecondition("no nonce is out for version {} of {}: ask for one, sign over it within ten "
                                         "minutes, and send one report",
                                         version, slot),
                      "NONCE");
  }
  return found->second.bytes;
}

void RouterNonces::Use(std::string_view slot, std::uint32_t version, std::string_view nonce) {
  const MutexLock lock(mutex_);
  const auto found = nonces_.find({std::string(slot), version});
  if (found != nonces_.end() && found->second.bytes == nonce) nonces_.erase(found);
}

}  // namespace virp::keymgr
