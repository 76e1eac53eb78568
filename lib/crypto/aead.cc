#include "lib/crypto/aead.h"

#include <openssl/evp.h>

#include <limits>

#include "lib/base/status.h"
#include "lib/crypto/openssl_util.h"

namespace virp::crypto {
namespace {

using EvpCipherCtxPtr = std::unique_ptr<EVP_CIPHER_CTX, OpenSslDeleter<EVP_CIPHER_CTX_free>>;

const unsigned char* Bytes(std::string_view view) {
  return reinterpret_cast<const unsigned char*>(view.data());
}
unsigned char* Bytes(char* at) {
  return reinterpret_cast<unsigned char*>(at);
}

absl::Status CheckSizes(const Secret& key, std::string_view nonce, std::string_view associated, std::string_view text) {
  if (key.size() != kAes256KeySize) return InvalidArgument("an AES-256 key of {} bytes", key.size());
  if (nonce.size() != kGcmNonceSize)
    return InvalidArgument("a nonce of {} bytes; AES-GCM takes {} here", nonce.size(), kGcmNonceSize);
  constexpr std::size_t kMost = std::numeric_limits<int>::max() - 64;
  if (associated.size() > kMost || text.size() > kMost)
    return InvalidArgument("{} and {} bytes are too many for one message", associated.size(), text.size());
  return absl::OkStatus();
}

// A context that has taken key, nonce and associated data.
EvpCipherCtxPtr Begin(bool encrypt, const Secret& key, std::string_view nonce, std::string_view associated) {
  static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  EvpCipherCtxPtr ctx(EVP_CIPHER_CTX_new());
  OrDie(ctx != nullptr && cipher != nullptr &&
            EVP_CipherInit_ex2(ctx.get(), cipher, Bytes(key.view()), Bytes(nonce), encrypt ? 1 : 0, nullptr) == 1,
        "EVP_CipherInit_ex2(AES-256-GCM)");
  int ignored = 0;
  OrDie(associated.empty() ||
            EVP_CipherUpdate(ctx.get(), nullptr, &ignored, Bytes(associated), static_cast<int>(associated.size())) == 1,
        "EVP_CipherUpdate(AES-256-GCM, associated data)");
  return ctx;
}

void Run(EVP_CIPHER_CTX* ctx, std::string_view in, char* out) {
  int size = 0;
  OrDie(in.empty() || EVP_CipherUpdate(ctx, Bytes(out), &size, Bytes(in), static_cast<int>(in.size())) == 1,
        "EVP_CipherUpdate(AES-256-GCM)");
}

}  // namespace

absl::StatusOr<std::string> AeadSeal(const Secret& key, std::string_view nonce, std::string_view associated,
                                     std::string_view plaintext) {
  RETURN_IF_ERROR(CheckSizes(key, nonce, associated, plaintext));
  const EvpCipherCtxPtr ctx = Begin(true, key, nonce, associated);
  std::string out(plaintext.size() + kGcmTagSize, '\0');
  Run(ctx.get(), plaintext, out.data());
  char* const tag = out.data() + plaintext.size();
  int size = 0;
  OrDie(EVP_CipherFinal_ex(ctx.get(), Bytes(tag), &size) == 1 &&
            EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kGcmTagSize), tag) == 1,
        "EVP_CipherFinal_ex(AES-256-GCM)");
  return out;
}

absl::StatusOr<Secret> AeadOpen(const Secret& key, std::string_view nonce, std::string_view associated,
                                std::string_view sealed) {
  RETURN_IF_ERROR(CheckSizes(key, nonce, associated, sealed));
  if (sealed.size() < kGcmTagSize) return DataLoss("{} bytes are too few for a sealed message", sealed.size());
  const std::string_view text = sealed.substr(0, sealed.size() - kGcmTagSize);
  std::string tag(sealed.substr(text.size()));
  const EvpCipherCtxPtr ctx = Begin(false, key, nonce, associated);
  Secret out(text.size());
  Run(ctx.get(), text, out.data());
  int size = 0;
  unsigned char nothing[1];
  const bool good =
      EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kGcmTagSize), tag.data()) == 1 &&
      EVP_CipherFinal_ex(ctx.get(), nothing, &size) == 1;
  if (good) return out;
  DrainOpenSslErrors();
  return DataLoss("a sealed message of {} bytes does not open: it was changed, or is another's", sealed.size());
}

}  // namespace virp::crypto
