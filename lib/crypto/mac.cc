#include "lib/crypto/mac.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <atomic>
#include <limits>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/crypto/openssl_util.h"
#include "lib/crypto/secret.h"

namespace virp::crypto {
namespace {

EVP_MAC* Algorithm() {
  static EVP_MAC* const mac = [] {
    EVP_MAC* fetched = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    OrDie(fetched != nullptr, "EVP_MAC_fetch(HMAC)");
    return fetched;
  }();
  return mac;
}

// Small dense numbers for threads, given back when a thread ends, so that a key finds this thread's context by index.
// A number's next owner also takes over the contexts behind it; the lock orders the two owners.
constexpr std::size_t kSlots = 64;
constexpr std::size_t kNoSlot = std::numeric_limits<std::size_t>::max();

class SlotRegistry {
 public:
  SlotRegistry() {
    free_.reserve(kSlots);
    for (std::size_t i = kSlots; i-- > 0;) free_.push_back(i);
  }
  std::size_t Take() {
    const MutexLock lock(mutex_);
    if (free_.empty()) return kNoSlot;
    const std::size_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void GiveBack(std::size_t slot) {
    if (slot == kNoSlot) return;
    const MutexLock lock(mutex_);
    free_.push_back(slot);
  }

 private:
  Mutex mutex_;
  std::vector<std::size_t> free_ ABSL_GUARDED_BY(mutex_);
};

std::size_t ThreadSlot() {
  static SlotRegistry* const registry = new SlotRegistry;  // threads may outlive statics
  struct Lease {
    std::size_t slot = registry->Take();
    ~Lease() { registry->GiveBack(slot); }
  };
  thread_local const Lease lease;
  return lease.slot;
}

Hash SignWith(EVP_MAC_CTX* ctx, std::string_view message) {
  Hash tag;
  std::size_t size = 0;
  // No key and no parameters: the context starts again from its key schedule.
  OrDie(EVP_MAC_init(ctx, nullptr, 0, nullptr) == 1, "EVP_MAC_init");
  OrDie(EVP_MAC_update(ctx, reinterpret_cast<const unsigned char*>(message.data()), message.size()) == 1,
        "EVP_MAC_update");
  OrDie(EVP_MAC_final(ctx, tag.data(), &size, tag.size()) == 1 && size == tag.size(), "EVP_MAC_final");
  return tag;
}

}  // namespace

struct HmacKey::Impl {
  explicit Impl(std::string_view key) : master(EVP_MAC_CTX_new(Algorithm())) {
    OrDie(master != nullptr, "EVP_MAC_CTX_new");
    std::array<char, 9> digest{"SHA2-256"};
    const std::array params{OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
                            OSSL_PARAM_construct_end()};
    // A null key would mean "keep the key", also for an empty one.
    const auto* bytes = reinterpret_cast<const unsigned char*>(key.empty() ? "" : key.data());
    OrDie(EVP_MAC_init(master.get(), bytes, key.size(), params.data()) == 1, "EVP_MAC_init");
  }

  Hash Sign(std::string_view message) {
    const std::size_t slot = ThreadSlot();
    if (slot == kNoSlot) [[unlikely]] {  // more threads than slots: these share one context
      const MutexLock lock(mutex);
      return SignWith(master.get(), message);
    }
    EvpMacCtxPtr& ctx = contexts[slot];
    if (ctx == nullptr) [[unlikely]]
      ctx = Duplicate();
    return SignWith(ctx.get(), message);
  }

  EvpMacCtxPtr Duplicate() {
    const MutexLock lock(mutex);
    EvpMacCtxPtr out(EVP_MAC_CTX_dup(master.get()));
    OrDie(out != nullptr, "EVP_MAC_CTX_dup");
    return out;
  }

  Mutex mutex;
  EvpMacCtxPtr master ABSL_PT_GUARDED_BY(mutex);
  std::array<EvpMacCtxPtr, kSlots> contexts;  // each touched by the thread with its number only
};

HmacKey::HmacKey(std::string_view key) : impl_(std::make_unique<Impl>(key)) {}
HmacKey::~HmacKey() = default;
HmacKey::HmacKey(HmacKey&&) noexcept = default;
HmacKey& HmacKey::operator=(HmacKey&&) noexcept = default;

Hash HmacKey::Sign(std::string_view message) const {
  return impl_->Sign(message);
}

bool HmacKey::Verify(std::string_view message, std::string_view tag) const {
  Hash expected = impl_->Sign(message);
  const bool equal = EqualConstantTime(View(expected), tag);
  // The right tag of a refused message would be a forgery if it were found in memory.
  if (!equal) Wipe(expected.data(), expected.size());
  return equal;
}

}  // namespace virp::crypto
