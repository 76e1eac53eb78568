// O-Keys as frames use them: one version of one source's key, for verifying or for signing.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/frame/frame.h"

namespace virp::frame {

// The key in the contents of an HMAC key file: a file of exactly 32 bytes is a raw key and is never stripped; any other
// is text, and its characters without trailing CR and LF are the key (docs/formats/frame.md, "Keys"). A view into
// `contents`. InvalidArgument when 16 to 256 bytes do not remain.
absl::StatusOr<std::string_view> HmacSecretFromFile(std::string_view contents);

// One version of an O-Key. Immutable and thread-safe; secrets live in wiped memory and never leave it. Each thread that
// verifies or signs with an HMAC key has its own keyed MAC context, made once and re-initialised, never re-keyed.
class OKey {
 public:
  // `secret` as the key's file holds it after docs/formats/frame.md "Keys" (version 1 text or raw bytes): 16 to 256
  // bytes.
  static absl::StatusOr<std::shared_ptr<const OKey>> Hmac(std::string_view secret);
  static absl::StatusOr<std::shared_ptr<const OKey>> Ed25519FromSeed(std::string_view seed32);  // can sign
  static absl::StatusOr<std::shared_ptr<const OKey>> Ed25519FromPublic(std::string_view public32);
  ~OKey();

  Suite suite() const;
  bool can_sign() const;           // HMAC: always
  std::string public_key() const;  // Ed25519: 32 bytes; HMAC: empty

  // What a registration holds for an HMAC key:
  // HMAC-SHA256(key, "virp key commitment/1" LF name LF version LF). Empty for Ed25519.
  std::string Commitment(std::string_view source_name, std::uint32_t version) const;

  // True when `tag` is the key's tag over `signed_part`; constant time for HMAC.
  bool Verify(std::string_view signed_part, std::string_view tag) const;

  // The tag over `signed_part`, 32 or 64 bytes. FailedPrecondition for a public half.
  absl::StatusOr<std::string> Sign(std::string_view signed_part) const;

 private:
  struct Impl;
  explicit OKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// True when the frame's tag is this key's, of the suite that the frame names.
bool VerifyTag(const Frame& frame, const OKey& key);

// A whole frame: EncodeUnsigned and the key's tag. InvalidArgument as EncodeUnsigned, or when header and key differ in
// suite; FailedPrecondition for a public half.
absl::StatusOr<std::string> EncodeSigned(const Header& header, std::string_view payload, const OKey& key);

// A key version with its times. Of files `<version>.json` states those of acceptance, and the others are as here.
struct KeyVersion {
  std::uint32_t version = 0;
  std::shared_ptr<const OKey> key{};
  UnixNanos accept_from = 0;
  std::optional<UnixNanos> accept_until{};       // by receipt
  std::optional<UnixNanos> sign_until{};         // by frame time
  bool may_sign = true;                          // false: prepared and not active yet, or tainted
  std::optional<UnixNanos> compromised_since{};  // by receipt

  // Whether whoever holds the private half makes tags with it now.
  bool SignsAt(UnixNanos now) const {
    return key != nullptr && key->can_sign() && may_sign && accept_from <= now &&
           (!accept_until || now <= *accept_until) && (!sign_until || now <= *sign_until);
  }
};

// Where keys come from: a directory, and the key manager as the second one (lib/keys). Thread-safe.
class KeyProvider {
 public:
  virtual ~KeyProvider() = default;

  // The key, or null when this provider does not have it (the frame's reason is then KEY_VERSION_UNKNOWN).
  virtual std::shared_ptr<const OKey> Find(std::string_view source, std::uint32_t version) const = 0;

  // All versions of one source, oldest first; empty when the source is unknown here.
  virtual std::vector<KeyVersion> Versions(std::string_view source) const = 0;
  virtual std::vector<std::string> Sources() const = 0;

  // Grows by one with every change; readers cache by it.
  virtual std::uint64_t Generation() const = 0;
};

}  // namespace virp::frame
