#include "lib/rtr/stream.h"

namespace virp::rtr {
namespace {

constexpr std::size_t kIdleCapacity = 1024;  // kept by a session that waits

}  // namespace

void PduStream::Push(std::string_view bytes) {
  buffer_.erase(0, start_);
  start_ = 0;
  buffer_.append(bytes);
}

std::optional<Header> PduStream::header() const {
  if (rest().size() < kHeaderSize) return std::nullopt;
  return ReadHeader(rest());
}

std::optional<std::string_view> PduStream::Whole(const Header& header) const {
  if (rest().size() < header.length) return std::nullopt;
  return rest().substr(0, header.length);
}

void PduStream::Pop(const Header& header) {
  start_ += header.length;
  if (start_ == buffer_.size()) Clear();
}

void PduStream::Clear() {
  start_ = 0;
  if (buffer_.capacity() > kIdleCapacity) {
    buffer_ = std::string();
  } else {
    buffer_.clear();
  }
}

}  // namespace virp::rtr
