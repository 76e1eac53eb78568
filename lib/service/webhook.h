// Tells a web server something: one POST of a JSON document over libcurl. For notices to people's tools (chat, pagers,
// ticket queues), never for key material.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace virp::service {

struct WebhookOptions {
  std::string url;           // https://..., or http:// to an address of the loopback
  std::string token_file{};  // opened each time (OpenSecretFile); its first line is sent as a bearer token
  std::string roots{};       // PEM file with the authorities of the server's certificate; empty: the system's
  std::chrono::milliseconds patience{10'000};
};

// For one thread at a time.
class Webhook {
 public:
  // InvalidArgument for a URL that is none of the above, or that holds a user or password.
  static absl::StatusOr<std::unique_ptr<Webhook>> Make(WebhookOptions options);
  ~Webhook();
  Webhook(const Webhook&) = delete;
  Webhook& operator=(const Webhook&) = delete;

  // OK when the server answered with 2xx. `key` is sent as Idempotency-Key, printable ASCII: the same for the same
  // document, so that a server that heard it twice can tell. Redirects are not followed; what goes to the loopback goes
  // through no proxy. Unavailable and ResourceExhausted for what may pass; FailedPrecondition when the server refuses
  // (4xx but 408 and 429) or the token file holds no token; errors of OpenSecretFile. What it answers is not looked at.
  absl::Status Post(const std::string& json, const std::string& key);

 private:
  struct Impl;
  explicit Webhook(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::service
