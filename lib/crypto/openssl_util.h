// Private to lib/crypto and the other adapters over OpenSSL: owning pointers over OpenSSL objects, and what to do when
// the library itself fails.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>

namespace virp::crypto {

template <auto Free>
struct OpenSslDeleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using EvpMdCtxPtr = std::unique_ptr<EVP_MD_CTX, OpenSslDeleter<EVP_MD_CTX_free>>;
using EvpPkeyPtr = std::unique_ptr<EVP_PKEY, OpenSslDeleter<EVP_PKEY_free>>;

// Empties this thread's error queue into one line, oldest first; "no detail" when it is empty.
std::string DrainOpenSslErrors();

// For calls that fail only when memory is out or the installation is broken: says so and aborts.
[[noreturn]] void DieOfOpenSsl(std::string_view what);
inline void OrDie(bool ok, std::string_view what) {
  if (!ok) [[unlikely]]
    DieOfOpenSsl(what);
}

}  // namespace virp::crypto
