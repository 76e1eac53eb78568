// PDUs that many sessions send: encoded once, shared, never changed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "lib/rtr/version.h"

namespace virp::rtr {

// Memory of a size that is known before it is filled; not zeroed first. Filled by one owner, then held behind
// std::shared_ptr<const Bytes>.
class Bytes {
 public:
  explicit Bytes(std::size_t size) : data_(std::make_unique_for_overwrite<char[]>(size)), size_(size) {}
  char* data() { return data_.get(); }
  std::string_view view() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<char[]> data_;
  std::size_t size_;
};

// How many PDUs of each type.
using PduCounts = std::array<std::uint64_t, kPduTypes>;

// What stands between the Cache Response and the End of Data of an answer. Empty without memory when there is nothing.
struct Encoded {
  std::shared_ptr<const Bytes> bytes;
  PduCounts pdus{};

  std::string_view view() const { return bytes == nullptr ? std::string_view() : bytes->view(); }
};

}  // namespace virp::rtr
