// Nonces that reports are signed over: one for each key, for one report, for ten minutes. In memory only: after a
// restart routers ask again.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"

namespace virp::keymgr {

inline constexpr std::size_t kNonceSize = 32;

// Thread-safe.
class RouterNonces {
 public:
  explicit RouterNonces(const Clock& clock, std::size_t most = 32'768) : clock_(clock), most_(most) {}

  // Voids the one before. ResourceExhausted when too many are out.
  absl::StatusOr<std::string> Make(std::string_view slot, std::uint32_t version);
  // FailedPrecondition with reason NONCE when there is none, or its time is over.
  absl::StatusOr<std::string> Find(std::string_view slot, std::uint32_t version) const;
  // Voids it, once a report over it was taken. Two that come at the same time may both count: over one nonce they
  // prove the same.
  void Use(std::string_view slot, std::uint32_t version, std::string_view nonce);

 private:
  struct Nonce {
    std::string bytes;
    UnixNanos until = 0;
  };
  const Clock& clock_;
  const std::size_t most_;
  mutable Mutex mutex_;
  std::map<std::pair<std::string, std::uint32_t>, Nonce> nonces_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::keymgr
