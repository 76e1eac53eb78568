// Bytes as a statement's parameter. A type of its own, because both databases treat text and bytes differently and
// text with a zero byte is refused, while bytes round-trip whole.
#pragma once

#include <string_view>

#include "lib/base/bytes.h"

namespace virp::store {

struct Blob {
  explicit Blob(std::string_view view) : bytes(view) {}
  explicit Blob(const Hash& hash) : bytes(View(hash)) {}
  std::string_view bytes;  // borrowed; must live until the statement has run
};

}  // namespace virp::store
