// Payloads of whatever place there is: a cache, a web server, a file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "lib/http/fetch.h"
#include "lib/vrp/payload.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/rtr_client.h"

namespace virp::virpctl {

RtrClientOptions RtrAsk(const Options& options, const RtrPlace& place, const RtrAccess& access, std::uint32_t patience);

// Reads a place again and again, with what the first time taught it: serials, ETags. For one thread.
class RtrSource {
 public:
  // InvalidArgument for what is no place, or options that do not fit it.
  static absl::StatusOr<RtrSource> Make(const Options& options, const std::string& place, const RtrAccess& access,
                                        std::uint32_t patience);

  // The payloads as they are now; the same pointer as before where nothing changed. Errors as RtrClient::Refresh,
  // HttpFetch::Get, ReadFile and DecodeJson; what was read before counts on.
  absl::Status Read(const std::stop_token& stop);
  const std::shared_ptr<const vrp::Payloads>& payloads() const { return payloads_; }

  const RtrPlace& place() const { return place_; }
  // Of a cache.
  const rtr::ClientSessionState* state() const { return client_ ? &client_->session().state() : nullptr; }

 private:
  explicit RtrSource(RtrPlace place) : place_(std::move(place)) {}
  absl::Status Take(std::string text);

  RtrPlace place_;
  std::unique_ptr<RtrClient> client_;
  std::unique_ptr<http::HttpFetch> fetch_;
  std::shared_ptr<const vrp::Payloads> payloads_;
};

}  // namespace virp::virpctl
