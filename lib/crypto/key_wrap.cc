#include "lib/crypto/key_wrap.h"

#include <openssl/evp.h>

#include <memory>

#include "lib/base/status.h"
#include "lib/crypto/openssl_util.h"

namespace virp::crypto {
namespace {

using EvpCipherPtr = std::unique_ptr<EVP_CIPHER, OpenSslDeleter<EVP_CIPHER_free>>;
using EvpCipherCtxPtr = std::unique_ptr<EVP_CIPHER_CTX, OpenSslDeleter<EVP_CIPHER_CTX_free>>;

const unsigned char* Bytes(std::string_view view) {
  return reinterpret_cast<const unsigned char*>(view.data());
}

absl::StatusOr<EvpCipherCtxPtr> Begin(bool wrap, bool padded, const Secret& kek) {
  if (kek.size() != 16 && kek.size() != 24 && kek.size() != 32)
    return InvalidArgument("a key-encryption key of {} bytes; AES has 16, 24 or 32", kek.size());
  const std::string name = fmt::format("AES-{}-WRAP{}", kek.size() * 8, padded ? "-PAD" : "");
  const EvpCipherPtr cipher(EVP_CIPHER_fetch(nullptr, name.c_str(), nullptr));
  EvpCipherCtxPtr ctx(EVP_CIPHER_CTX_new());
  OrDie(cipher != nullptr && ctx != nullptr, name);
  EVP_CIPHER_CTX_set_flags(ctx.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  OrDie(EVP_CipherInit_ex2(ctx.get(), cipher.get(), Bytes(kek.view()), nullptr, wrap ? 1 : 0, nullptr) == 1, name);
  return ctx;
}

absl::StatusOr<std::string> Wrap(const Secret& kek, std::string_view key, bool padded) {
  ASSIGN_OR_RETURN(const EvpCipherCtxPtr ctx, Begin(true, padded, kek));
  if (key.empty() || key.size() > kMaxWrappedKey || (!padded && (key.size() < 16 || key.size() % 8 != 0)))
    return InvalidArgument("{} bytes cannot be wrapped {} padding", key.size(), padded ? "with" : "without");
  std::string out(key.size() + 16, '\0');
  int size = 0;
  OrDie(EVP_CipherUpdate(ctx.get(), reinterpret_cast<unsigned char*>(out.data()), &size, Bytes(key),
                         static_cast<int>(key.size())) == 1,
        "EVP_CipherUpdate(AES key wrap)");
  out.resize(static_cast<std::size_t>(size));
  return out;
}

absl::StatusOr<Secret> Unwrap(const Secret& kek, std::string_view wrapped, bool padded) {
  ASSIGN_OR_RETURN(const EvpCipherCtxPtr ctx, Begin(false, padded, kek));
  const std::size_t least = padded ? 16 : 24;
  if (wrapped.size() < least || wrapped.size() > kMaxWrappedKey + 16 || wrapped.size() % 8 != 0)
    return DataLoss("{} bytes are no wrapped key", wrapped.size());
  Secret out(wrapped.size());
  int size = 0;
  if (EVP_CipherUpdate(ctx.get(), reinterpret_cast<unsigned char*>(out.data()), &size, Bytes(wrapped),
                       static_cast<int>(wrapped.size())) != 1 ||
      size <= 0) {
    DrainOpenSslErrors();
    return DataLoss("a wrapped key of {} bytes does not open: it was changed, or wrapped under another key",
                    wrapped.size());
  }
  out.Truncate(static_cast<std::size_t>(size));
  return out;
}

}  // namespace

absl::StatusOr<std::string> WrapKey(const Secret& kek, std::string_view key) {
  return Wrap(kek, key, false);
}
absl::StatusOr<Secret> UnwrapKey(const Secret& kek, std::string_view wrapped) {
  return Unwrap(kek, wrapped, false);
}
absl::StatusOr<std::string> WrapKeyPadded(const Secret& kek, std::string_view key) {
  return Wrap(kek, key, true);
}
absl::StatusOr<Secret> UnwrapKeyPadded(const Secret& kek, std::string_view wrapped) {
  return Unwrap(kek, wrapped, true);
}

}  // namespace virp::crypto
