#include "lib/crypto/tcpao_prf.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>
#include <memory>

#include "lib/crypto/openssl_util.h"

namespace virp::crypto {
namespace {

using EvpMacCtxPtr = std::unique_ptr<EVP_MAC_CTX, OpenSslDeleter<EVP_MAC_CTX_free>>;

std::string OneShot(const char* algorithm, const char* parameter, std::string value, std::string_view key,
                    std::string_view message) {
  EVP_MAC* const mac = EVP_MAC_fetch(nullptr, algorithm, nullptr);
  OrDie(mac != nullptr, "EVP_MAC_fetch");
  const EvpMacCtxPtr ctx(EVP_MAC_CTX_new(mac));
  EVP_MAC_free(mac);
  OrDie(ctx != nullptr, "EVP_MAC_CTX_new");
  const std::array parameters{OSSL_PARAM_construct_utf8_string(parameter, value.data(), 0), OSSL_PARAM_construct_end()};
  // An empty key is a key here, and a null pointer would mean the one of before.
  static constexpr unsigned char kNoBytes = 0;
  const auto* bytes = key.empty() ? &kNoBytes : reinterpret_cast<const unsigned char*>(key.data());
  OrDie(EVP_MAC_init(ctx.get(), bytes, key.size(), parameters.data()) == 1, "EVP_MAC_init");
  OrDie(EVP_MAC_update(ctx.get(), reinterpret_cast<const unsigned char*>(message.data()), message.size()) == 1,
        "EVP_MAC_update");
  std::string out(EVP_MAX_MD_SIZE, '\0');
  std::size_t size = 0;
  OrDie(EVP_MAC_final(ctx.get(), reinterpret_cast<unsigned char*>(out.data()), &size, out.size()) == 1,
        "EVP_MAC_final");
  out.resize(size);
  return out;
}

}  // namespace

std::string HmacSha1(std::string_view key, std::string_view message) {
  return OneShot("HMAC", OSSL_MAC_PARAM_DIGEST, "SHA1", key, message);
}

std::string Aes128Cmac(std::string_view key, std::string_view message) {
  OrDie(key.size() == kAes128KeySize, "AES-128-CMAC with another key size");
  return OneShot("CMAC", OSSL_MAC_PARAM_CIPHER, "AES-128-CBC", key, message);
}

}  // namespace virp::crypto
