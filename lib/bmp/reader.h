// A cursor over borrowed bytes in network byte order. Every read says whether the bytes were there and takes nothing
// when they were not.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/base/bytes.h"

namespace virp::bmp {

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  std::size_t size() const { return rest_.size(); }
  std::string_view rest() const { return rest_; }

  template <std::unsigned_integral T>
  [[nodiscard]] bool Read(T& out) {
    if (rest_.size() < sizeof(T)) return false;
    out = LoadBe<T>(rest_.data());
    rest_.remove_prefix(sizeof(T));
    return true;
  }
  // Several values in a row: all or, at the first that is not there, false with those before it taken.
  template <typename First, typename Second, typename... Rest>
  [[nodiscard]] bool Read(First& first, Second& second, Rest&... rest) {
    return Read(first) && Read(second, rest...);
  }
  [[nodiscard]] bool Take(std::size_t size, std::string_view& out) {
    if (rest_.size() < size) return false;
    out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

 private:
  std::string_view rest_;
};

// One type-length-value item with two 16-bit integers in front (RFC 7854 section 4.4).
struct Tlv {
  std::uint16_t type = 0;
  std::string_view value;
};

[[nodiscard]] inline bool ReadTlv(Reader& reader, Tlv& out) {
  Reader ahead = reader;
  std::uint16_t length = 0;
  if (!ahead.Read(out.type, length) || !ahead.Take(length, out.value)) return false;
  reader = ahead;
  return true;
}

}  // namespace virp::bmp
