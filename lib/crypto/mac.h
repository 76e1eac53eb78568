// HMAC-SHA256 (RFC 2104, FIPS 198-1) under one key.
#pragma once

#include <memory>
#include <string_view>

#include "lib/base/bytes.h"

namespace virp::crypto {

// One HMAC key. Immutable and thread-safe. The key's own two blocks are hashed once, when it is made; each message
// starts from there (RFC 2104, section 4). When the key goes, these states are wiped.
class HmacKey {
 public:
  // Any length, also longer than a block (RFC 2104, section 3); the key's length is the caller's rule. The bytes are
  // not kept.
  explicit HmacKey(std::string_view key);
  ~HmacKey();
  HmacKey(HmacKey&&) noexcept;
  HmacKey& operator=(HmacKey&&) noexcept;

  Hash Sign(std::string_view message) const;

  // True when `tag` is the whole 32-byte tag of `message`; constant time. Truncated tags are refused.
  bool Verify(std::string_view message, std::string_view tag) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::crypto
