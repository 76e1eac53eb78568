#include "lib/crypto/openssl_util.h"

#include <openssl/err.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace virp::crypto {

std::string DrainOpenSslErrors() {
  std::string out;
  while (const unsigned long code = ERR_get_error()) {
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    if (!out.empty()) out += "; ";
    out += text.data();
  }
  return out.empty() ? "no detail" : out;
}

void DieOfOpenSsl(std::string_view what) {
  const std::string detail = DrainOpenSslErrors();
  std::fprintf(stderr, "fatal: OpenSSL failed at %.*s: %s\n", static_cast<int>(what.size()), what.data(),
               detail.c_str());
  std::abort();
}

}  // namespace virp::crypto
