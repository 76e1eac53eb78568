#include "lib/bmp/stream.h"

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp::bmp {

void StreamSplitter::Push(std::string_view bytes) {
  input_ = bytes;
}

absl::StatusOr<std::size_t> StreamSplitter::MessageSize(std::string_view bytes) const {
  if (bytes.empty()) return std::size_t{0};
  if (const auto version = LoadBe<std::uint8_t>(bytes.data()); version != kVersion) {
    return InvalidArgument("byte {} of the stream: BMP version {} is not supported, only {} is (RFC 7854)", offset_,
                           version, kVersion);
  }
  if (bytes.size() < kCommonHeaderSize - 1) return std::size_t{0};
  const std::size_t length = LoadBe<std::uint32_t>(bytes.data() + 1);
  if (length < kCommonHeaderSize) {
    return InvalidArgument("byte {} of the stream: a BMP message of {} bytes is shorter than its header of {}", offset_,
                           length, kCommonHeaderSize);
  }
  if (length > max_message_) {
    return InvalidArgument("byte {} of the stream: a BMP message of {} bytes is above the limit of {}", offset_, length,
                           max_message_);
  }
  return length;
}

// Moves input into the buffer until it holds `upto` bytes; `wanted` bounds how far its memory grows.
void StreamSplitter::Buffer(std::size_t upto, std::size_t wanted) {
  if (buffer_.size() >= upto) return;
  const auto part = input_.substr(0, upto - buffer_.size());
  const std::size_t needed = buffer_.size() + part.size();
  if (needed > buffer_.capacity())
    buffer_.reserve(std::min(std::max(needed, 2 * buffer_.capacity()), std::max(needed, wanted)));
  buffer_.append(part);
  input_.remove_prefix(part.size());
}

absl::StatusOr<std::optional<std::string_view>> StreamSplitter::Next() {
  if (!failure_.ok()) return failure_;
  offset_ += std::exchange(last_size_, 0);
  if (std::exchange(consumed_, false)) buffer_.clear();

  const bool straddles = !buffer_.empty();
  if (straddles) Buffer(kCommonHeaderSize, kCommonHeaderSize);
  auto size = MessageSize(straddles ? std::string_view(buffer_) : input_);
  if (!size.ok()) {
    failure_ = size.status();
    return failure_;
  }
  if (*size == 0 || (straddles ? buffer_.size() : std::size_t{0}) + input_.size() < *size) {
    Buffer(buffer_.size() + input_.size(), std::max(*size, kCommonHeaderSize));
    return std::nullopt;
  }
  last_size_ = *size;
  if (straddles) {
    Buffer(*size, *size);
    consumed_ = true;
    return std::string_view(buffer_);
  }
  const auto message = input_.substr(0, *size);
  input_.remove_prefix(*size);
  return message;
}

}  // namespace virp::bmp
