#include "lib/crypto/secret.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstring>
#include <utility>

#include "lib/crypto/openssl_util.h"
#include "lib/crypto/secret_arena.h"

namespace virp::crypto {

void Wipe(void* memory, std::size_t size) {
  if (size != 0) OPENSSL_cleanse(memory, size);
}

bool EqualConstantTime(std::string_view a, std::string_view b) {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

Secret::Secret(std::size_t size)
    : bytes_(static_cast<char*>(internal::AllocateSecret(size))), allocated_(size), size_(size) {}

Secret::Secret(std::string_view bytes) : Secret(bytes.size()) {
  if (!bytes.empty()) std::memcpy(bytes_, bytes.data(), bytes.size());
}

Secret Secret::Random(std::size_t size) {
  Secret out(size);
  // The generator for what stays secret (RAND_priv_bytes(3)), apart from the one whose output everybody sees.
  OrDie(RAND_priv_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(size)) == 1, "RAND_priv_bytes");
  return out;
}

Secret::Secret(Secret&& other) noexcept
    : bytes_(std::exchange(other.bytes_, nullptr)),
      allocated_(std::exchange(other.allocated_, 0)),
      size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Clear();
    bytes_ = std::exchange(other.bytes_, nullptr);
    allocated_ = std::exchange(other.allocated_, 0);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void Secret::Truncate(std::size_t size) {
  if (size >= size_) return;
  Wipe(bytes_ + size, size_ - size);
  size_ = size;
}

void Secret::Clear() {
  internal::FreeSecret(std::exchange(bytes_, nullptr), std::exchange(allocated_, 0));
  size_ = 0;
}

const char* HardenProcess() {
  constexpr std::size_t kOpenSslArena = std::size_t{4} << 20;  // of locked memory: numbers of keys while they are used
  constexpr std::size_t kSmallest = 32;
  const char* problem = "";
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::prctl(PR_SET_DUMPABLE, 0) != 0) problem = "core dumps are possible";
  // 2: it is there, but could not be locked.
  if (CRYPTO_secure_malloc_initialized() == 0 && CRYPTO_secure_malloc_init(kOpenSslArena, kSmallest) != 1)
    problem = "OpenSSL's memory for keys is not locked: raise RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=) to 64 MiB";
  return problem;
}

}  // namespace virp::crypto
