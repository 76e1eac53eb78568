#include "lib/crypto/secret.h"

#include <openssl/crypto.h>

#include <cstring>
#include <utility>

#include "lib/crypto/random.h"

namespace virp::crypto {

void Wipe(void* memory, std::size_t size) {
  if (size != 0) OPENSSL_cleanse(memory, size);
}

bool EqualConstantTime(std::string_view a, std::string_view b) {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

Secret::Secret(std::size_t size) : bytes_(std::make_unique<char[]>(size)), size_(size) {}

Secret::Secret(std::string_view bytes) : Secret(bytes.size()) {
  if (!bytes.empty()) std::memcpy(bytes_.get(), bytes.data(), bytes.size());
}

Secret Secret::Random(std::size_t size) {
  Secret out(size);
  FillRandom(out.data(), size);
  return out;
}

Secret::Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Clear();
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void Secret::Truncate(std::size_t size) {
  if (size >= size_) return;
  Wipe(bytes_.get() + size, size_ - size);
  size_ = size;
}

void Secret::Clear() {
  Truncate(0);
  bytes_.reset();
}

}  // namespace virp::crypto
