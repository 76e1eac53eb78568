#include "lib/crypto/sha1.h"

#include "lib/crypto/openssl_util.h"

namespace virp::crypto {

std::array<char, 20> Sha1(std::string_view bytes) {
  std::array<char, 20> out{};
  OrDie(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr, EVP_sha1(),
                   nullptr) == 1,
        "EVP_Digest(SHA1)");
  return out;
}

}  // namespace virp::crypto
