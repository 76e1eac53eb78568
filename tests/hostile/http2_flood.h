// A client with a good certificate that begins calls and never ends them: each sends its message but for the last byte,
// as far as the server's flow control lets it. Only what that needs of HTTP/2 (RFC 9113).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "tests/testutil/tls_client.h"

namespace virp::hostile {

struct FloodOptions {
  int port = 0;
  testutil::TlsClient::Options tls;
  std::string method;  // "/package.Service/Method"
  int streams = 128;
  std::uint32_t message_bytes = 4'000'000;
};

// One connection. Used by one thread.
class Http2Flood {
 public:
  explicit Http2Flood(const FloodOptions& options);

  // Until `more`, asked between writes, says no, or the server ends the connection. Adds what it sends to `sent`, bytes
  // of messages.
  void Run(const std::function<bool()>& more, std::atomic<std::uint64_t>& sent);

  int refused() const { return refused_; }  // streams that the server ended
  bool up() const { return up_; }

 private:
  struct Stream {
    std::int64_t window = 0;
    std::uint32_t left = 0;  // of the message, its last byte not counted
    bool begun = false;
  };
  void Begin(std::uint32_t id, Stream& stream);
  bool SendSome();
  void Receive();
  void Handle(std::uint8_t type, std::uint8_t flags, std::uint32_t id, std::string_view payload);
  void Send(std::uint8_t type, std::uint8_t flags, std::uint32_t id, std::string_view payload);

  const FloodOptions options_;
  testutil::TlsClient tls_;
  bool up_ = false;
  std::string received_;
  std::map<std::uint32_t, Stream> streams_;
  std::int64_t window_ = 65'535, stream_window_ = 65'535;
  std::uint64_t sent_ = 0;
  int refused_ = 0;
};

}  // namespace virp::hostile
