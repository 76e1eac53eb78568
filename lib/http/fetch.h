// Reads a document from a web server, if it has changed: one GET over libcurl, with the conditions, limits and proxies
// that exports of validators need.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace virp::http {

struct HttpFetchOptions {
  std::string url;      // http:// or https://, no user or password in it
  std::string roots{};  // PEM file with the authorities of the server's certificate; empty: the system's
  std::size_t max_bytes = std::size_t{512} << 20;
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds timeout{120'000};  // of the whole answer
  std::chrono::seconds stall_timeout{20};      // this long under 1 KiB/s: given up
  std::string user_agent = "virp";             // sent to proxies as well
};

struct Fetched {
  bool changed = false;  // false: the server says that what we have is current (304)
  std::string body;
};

// For one thread at a time. A proxy is taken from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either case; small letters
// win.
class HttpFetch {
 public:
  // InvalidArgument for a URL that is none of the above.
  static absl::StatusOr<std::unique_ptr<HttpFetch>> Make(HttpFetchOptions options);
  ~HttpFetch();
  HttpFetch(const HttpFetch&) = delete;
  HttpFetch& operator=(const HttpFetch&) = delete;

  // At most five redirects, never from https to http: FailedPrecondition with reason REDIRECT. Other errors:
  // Unavailable for what may pass (no connection, one that breaks off; with reason HTTP_STATUS for 5xx, 408, 429),
  // FailedPrecondition with reason HTTP_STATUS for another status, DeadlineExceeded for a stall and a timeout,
  // ResourceExhausted beyond max_bytes, Unauthenticated for the server's certificate, Cancelled once `stop` is set. The
  // validators of an answer (ETag, Last-Modified) are sent with the next call after Keep was called.
  absl::StatusOr<Fetched> Get(const std::atomic<bool>& stop);
  // What Get gave last is in use: only then may the server leave it out next time.
  void Keep();

 private:
  struct Impl;
  explicit HttpFetch(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::http
