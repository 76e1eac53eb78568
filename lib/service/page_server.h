// HTTP/1.1 for a handful of pages of text, one request a connection. Who holds connections keeps nobody out: when there
// is no room, the oldest of those that have not asked yet makes some.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/units.h"

namespace virp::service {

struct Page {
  int code = 200;
  std::string body;
};

struct PageServerOptions {
  HostPort listen{"127.0.0.1", 0};  // port 0 takes a free one; the host must be an address
  std::size_t max_connections = 64;
  std::size_t max_request = 4096;  // bytes of a request's line and headers; longer ones are answered with 431
  // From the first byte of a connection to its last. Whoever is slower is cut off.
  std::chrono::milliseconds timeout{2'000};
};

// Answers GET and HEAD; 405 for other methods, 400 for what is no HTTP/1.
class PageServer {
 public:
  // Makes the page of a path, which has neither query nor any decoding. Called from the server's thread only.
  using Pages = std::function<Page(std::string_view path)>;

  // Unavailable when the address cannot be listened on (taken, not ours, not an address).
  static absl::StatusOr<std::unique_ptr<PageServer>> Start(const PageServerOptions& options, Pages pages);

  ~PageServer();  // answers nobody any more
  PageServer(const PageServer&) = delete;
  PageServer& operator=(const PageServer&) = delete;

  std::uint16_t port() const;

 private:
  class Impl;
  explicit PageServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::service
