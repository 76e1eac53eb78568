// SHA-256 (FIPS 180-4). Thread-safe. Failure of the cryptographic library itself (no memory, broken installation) ends
// the process with a message: no caller could go on.
#pragma once

#include <initializer_list>
#include <memory>
#include <string_view>

#include "lib/base/bytes.h"

namespace virp::crypto {

class Sha256State;

Hash Sha256(std::string_view bytes);

// The hash of the parts one behind the other, without joining them in memory.
Hash Sha256(std::initializer_list<std::string_view> parts);

// The hash of what is added piece by piece, for more than one wants in memory at once. One thread at a time.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(const Sha256Stream&) = delete;
  Sha256Stream& operator=(const Sha256Stream&) = delete;

  void Add(std::string_view bytes);
  Hash End();  // once; the stream is of no use afterwards

 private:
  std::unique_ptr<Sha256State> state_;
};

}  // namespace virp::crypto
