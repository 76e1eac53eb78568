// SHA-256 as a value: a state that is copied freely. Private to this folder.
//
// libcrypto's functions SHA256_* are deprecated in favour of EVP, and are used all the same (docs/adr/0003): the hashes
// that an entry needs are of 65 to 500 bytes, and EVP's way to the same code costs as much as a block or two of each.
#pragma once

#undef OPENSSL_NO_DEPRECATED  // before any of its headers
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <string_view>

#include "lib/base/bytes.h"
#include "lib/crypto/openssl_util.h"

namespace virp::crypto {

class Sha256State {
 public:
  Sha256State() { OrDie(SHA256_Init(&state_) == 1, "SHA256_Init"); }

  void Add(std::string_view bytes) { OrDie(SHA256_Update(&state_, bytes.data(), bytes.size()) == 1, "SHA256_Update"); }

  // Once; the state is of no use afterwards.
  Hash End() {
    Hash out;
    OrDie(SHA256_Final(out.data(), &state_) == 1, "SHA256_Final");
    return out;
  }

 private:
  SHA256_CTX state_;
};

}  // namespace virp::crypto
