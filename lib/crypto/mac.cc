#include "lib/crypto/mac.h"

#include <array>

#include "lib/crypto/secret.h"
#include "lib/crypto/sha256.h"
#include "lib/crypto/sha256_state.h"  // before any header of OpenSSL

namespace virp::crypto {
namespace {

constexpr std::size_t kBlock = 64;

// The key, or its hash when it is longer than a block (RFC 2104, section 2), as one block of which each byte is changed
// by `pad`.
Sha256State Keyed(std::string_view key, char pad) {
  Hash hashed;
  if (key.size() > kBlock) {
    hashed = Sha256(key);
    key = View(hashed);
  }
  std::array<char, kBlock> block;
  block.fill(pad);
  for (std::size_t i = 0; i < key.size(); ++i) block[i] = static_cast<char>(block[i] ^ key[i]);
  Sha256State state;
  state.Add(std::string_view(block.data(), block.size()));
  Wipe(block.data(), block.size());
  Wipe(hashed.data(), hashed.size());
  return state;
}

}  // namespace

struct HmacKey::Impl {
  explicit Impl(std::string_view key) : inner(Keyed(key, 0x36)), outer(Keyed(key, 0x5c)) {}
  ~Impl() {
    Wipe(&inner, sizeof(inner));
    Wipe(&outer, sizeof(outer));
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Hash Sign(std::string_view message) const {
    Sha256State state = inner;
    state.Add(message);
    const Hash digest = state.End();
    state = outer;
    state.Add(View(digest));
    const Hash tag = state.End();
    Wipe(&state, sizeof(state));  // it holds the tag, too
    return tag;
  }

  // As they stand behind the block that the key makes (RFC 2104, section 4): never changed, so that threads share them.
  Sha256State inner, outer;
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
