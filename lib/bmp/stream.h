// Cuts a byte stream into BMP messages (RFC 7854 section 4.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace virp::bmp {

inline constexpr std::uint8_t kVersion = 3;
inline constexpr std::size_t kCommonHeaderSize = 6;  // version, length of the whole message, type

// The largest message taken. BGP messages have at most 65,535 bytes (RFC 8654), and no BMP message that a router has
// reason to send holds more than two of them; the rest is room for headers and information TLVs.
inline constexpr std::size_t kMaxMessageSize = std::size_t{128} * 1024;

// Bytes in, split anywhere; whole messages out. A message that lies whole in the pushed bytes is handed out in place,
// only one that straddles two pushes is copied. Memory: at most `max_message` bytes, grown with the bytes that came,
// never by what a header claims. Not thread-safe.
//
//   splitter.Push(bytes);
//   for (;;) {
//     ASSIGN_OR_RETURN(const auto message, splitter.Next());
//     if (!message) break;
//     ... *message ...
//   }
class StreamSplitter {
 public:
  explicit StreamSplitter(std::size_t max_message = kMaxMessageSize) : max_message_(max_message) {}

  // The next bytes of the stream. They must stay as they are until Next has answered nullopt. Call it only at the
  // start and after a nullopt; bytes not yet read are lost otherwise.
  void Push(std::string_view bytes);

  // The next whole message, common header included, valid until the next call on this object; nullopt when more bytes
  // are needed. InvalidArgument when the bytes cannot be a BMP version 3 stream (version, length below the header or
  // above the limit, checked as soon as the bytes in question are there): the connection must end, and every later
  // call says the same again.
  absl::StatusOr<std::optional<std::string_view>> Next();

  // Bytes of an unfinished message that are held here.
  std::size_t buffered() const { return consumed_ ? 0 : buffer_.size(); }
  // Bytes of the stream before the message that was handed out last, or that is under way. For error messages.
  std::uint64_t offset() const { return offset_; }

 private:
  // The length of the message that starts with `bytes`, 0 when there are too few to tell.
  absl::StatusOr<std::size_t> MessageSize(std::string_view bytes) const;
  void Buffer(std::size_t upto, std::size_t wanted);

  const std::size_t max_message_;
  std::string_view input_;     // pushed, not yet read
  std::string buffer_;         // the front of a message that straddles pushes
  bool consumed_ = false;      // buffer_ was handed out and is to be emptied
  std::size_t last_size_ = 0;  // of the message handed out last
  std::uint64_t offset_ = 0;
  absl::Status failure_;
};

}  // namespace virp::bmp
