// How the collector's states write themselves into snapshots: numbers of 8 bytes, big-endian, and texts behind their
// length.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"

namespace virp {

inline void AppendSaved(std::string& out, std::uint64_t number) {
  AppendBe<std::uint64_t>(out, number);
}
inline void AppendSaved(std::string& out, std::string_view text) {
  AppendBe<std::uint64_t>(out, text.size());
  out.append(text);
}

// Reads what AppendSaved wrote; sets `broken` instead of reading beyond the end.
struct StateReader {
  std::string_view left;
  bool broken = false;

  std::uint64_t Number() {
    if (left.size() < 8) return broken = true, 0;
    const auto value = LoadBe<std::uint64_t>(left.data());
    left.remove_prefix(8);
    return value;
  }
  std::string_view Text() {
    const std::uint64_t size = Number();
    if (left.size() < size) return broken = true, std::string_view();
    const std::string_view text = left.substr(0, size);
    left.remove_prefix(size);
    return text;
  }
};

}  // namespace virp
