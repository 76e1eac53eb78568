#include "tests/hostile/http2_flood.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/file.h"

namespace virp::hostile {
namespace {

enum FrameType : std::uint8_t {
  kData = 0,
  kHeaders = 1,
  kResetStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8
};
constexpr std::uint8_t kAck = 1, kEndHeaders = 4;
constexpr std::uint16_t kInitialWindowSize = 4;
constexpr std::size_t kFrameHeader = 9, kMaxFrame = 16'384;

// RFC 7541 6.2.2: literal without indexing; lengths below 127.
void AddHeader(std::string& block, std::string_view name, std::string_view value) {
  block += '\0';
  for (const std::string_view text : {name, value}) {
    block += static_cast<char>(text.size());
    block += text;
  }
}

std::int64_t Number31(std::string_view bytes) {
  return bytes.size() < 4 ? 0 : LoadBe<std::uint32_t>(bytes.data()) & 0x7fff'ffff;
}

// A server that is busy with the others may leave one without an answer: then this one gives up.
FileDescriptor Connect(int port) {
  FileDescriptor socket = testutil::ConnectTo(port);
  const timeval patience{2, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  return socket;
}

}  // namespace

Http2Flood::Http2Flood(const FloodOptions& options)
    : options_(options), tls_(Connect(options.port), options.tls), up_(tls_.ok()) {
  const timeval patience{0, 100'000};
  ::setsockopt(tls_.socket(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (!up_ || !tls_.Write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) {
    up_ = false;
    return;
  }
  Send(kSettings, 0, 0, "");
  Receive();
  for (int i = 0; i < options_.streams; ++i) streams_[static_cast<std::uint32_t>(2 * i + 1)];
}

void Http2Flood::Send(std::uint8_t type, std::uint8_t flags, std::uint32_t id, std::string_view payload) {
  std::string frame;
  frame.reserve(kFrameHeader + payload.size());
  AppendBe<std::uint8_t>(frame, static_cast<std::uint8_t>(payload.size() >> 16));
  AppendBe<std::uint16_t>(frame, static_cast<std::uint16_t>(payload.size()));
  AppendBe<std::uint8_t>(frame, type);
  AppendBe<std::uint8_t>(frame, flags);
  AppendBe<std::uint32_t>(frame, id);
  frame += payload;
  up_ = up_ && tls_.Write(frame);
}

void Http2Flood::Begin(std::uint32_t id, Stream& stream) {
  std::string block;
  AddHeader(block, ":method", "POST");
  AddHeader(block, ":scheme", "https");
  AddHeader(block, ":path", options_.method);
  AddHeader(block, ":authority", "localhost");
  AddHeader(block, "content-type", "application/grpc");
  AddHeader(block, "te", "trailers");
  Send(kHeaders, kEndHeaders, id, block);
  std::string prefix(1, '\0');  // not compressed
  AppendBe<std::uint32_t>(prefix, options_.message_bytes);
  Send(kData, 0, id, prefix);
  stream = {stream_window_ - static_cast<std::int64_t>(prefix.size()), options_.message_bytes - 1, true};
  window_ -= static_cast<std::int64_t>(prefix.size());
}

// A frame for each stream that has room. False when none has.
bool Http2Flood::SendSome() {
  static const std::string kFilling(kMaxFrame, 'x');
  bool any = false;
  for (auto& [id, stream] : streams_) {
    if (!up_ || window_ < 16) return any;
    if (!stream.begun) Begin(id, stream);
    const std::int64_t room = std::min({window_, stream.window, std::int64_t{stream.left}, std::int64_t{kMaxFrame}});
    if (room <= 0) continue;
    Send(kData, 0, id, std::string_view(kFilling).substr(0, static_cast<std::size_t>(room)));
    window_ -= room;
    stream.window -= room;
    stream.left -= static_cast<std::uint32_t>(room);
    sent_ += static_cast<std::uint64_t>(room);
    any = true;
  }
  return any;
}

void Http2Flood::Receive() {
  const auto got = tls_.ReadSome();
  if (!got) {
    up_ = false;
    return;
  }
  received_ += *got;
  std::size_t at = 0;
  while (received_.size() - at >= kFrameHeader) {
    const char* const header = received_.data() + at;
    const std::size_t size = LoadBe<std::uint32_t>(header) >> 8;
    if (received_.size() - at - kFrameHeader < size) break;
    Handle(static_cast<std::uint8_t>(header[3]), static_cast<std::uint8_t>(header[4]),
           LoadBe<std::uint32_t>(header + 5) & 0x7fff'ffff,
           std::string_view(received_).substr(at + kFrameHeader, size));
    at += kFrameHeader + size;
  }
  received_.erase(0, at);
}

void Http2Flood::Handle(std::uint8_t type, std::uint8_t flags, std::uint32_t id, std::string_view payload) {
  if (type == kSettings && (flags & kAck) == 0) {
    for (; payload.size() >= 6; payload.remove_prefix(6)) {
      if (LoadBe<std::uint16_t>(payload.data()) != kInitialWindowSize) continue;
      const std::int64_t now = Number31(payload.substr(2));
      for (auto& [number, stream] : streams_) stream.window += stream.begun ? now - stream_window_ : 0;
      stream_window_ = now;
    }
    Send(kSettings, kAck, 0, "");
  } else if (type == kPing && (flags & kAck) == 0) {
    Send(kPing, kAck, 0, payload);
  } else if (type == kWindowUpdate) {
    if (id == 0) window_ += Number31(payload);
    if (const auto found = streams_.find(id); found != streams_.end()) found->second.window += Number31(payload);
  } else if (type == kResetStream || (type == kHeaders && streams_.count(id) != 0)) {
    if (streams_.erase(id) != 0) ++refused_;  // an answer before the end of the question: no
  } else if (type == kGoAway) {
    up_ = false;
  }
}

void Http2Flood::Run(const std::function<bool()>& more, std::atomic<std::uint64_t>& sent) {
  while (up_ && more()) {
    while (SendSome() && more()) sent += std::exchange(sent_, 0);
    sent += std::exchange(sent_, 0);
    Receive();
  }
}

}  // namespace virp::hostile
