#include "lib/crypto/random.h"

#include <openssl/rand.h>

#include <algorithm>
#include <limits>

#include "lib/crypto/openssl_util.h"

namespace virp::crypto {

void FillRandom(void* memory, std::size_t size) {
  auto* at = static_cast<unsigned char*>(memory);
  while (size != 0) {
    const std::size_t part = std::min<std::size_t>(size, std::numeric_limits<int>::max());
    OrDie(RAND_bytes(at, static_cast<int>(part)) == 1, "RAND_bytes");
    at += part;
    size -= part;
  }
}

std::string RandomBytes(std::size_t size) {
  std::string out(size, '\0');
  FillRandom(out.data(), size);
  return out;
}

}  // namespace virp::crypto
