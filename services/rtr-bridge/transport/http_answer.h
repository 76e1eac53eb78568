// What the bridge answers to programs that ask over HTTP (docs/operations/rtr-bridge.md, "Over HTTP"); no sockets.
// Thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/http/target.h"
#include "lib/service/http_server.h"
#include "services/rtr-bridge/domain/board.h"
#include "services/rtr-bridge/domain/exports.h"

namespace virp::rtr_bridge {

// What a request is answered with that is none, or cannot be met: text for people.
http::Response HttpError(int code, std::string_view why);

class HttpAnswerer {
 public:
  // All outlive it.
  HttpAnswerer(Exports& exports, const Board& board, const Clock& clock)
      : exports_(exports), board_(board), clock_(clock) {}

  service::HttpAnswer Answer(const http::Request& request) const;

 private:
  absl::StatusOr<service::HttpAnswer> Try(const http::Request& request) const;
  absl::StatusOr<service::HttpAnswer> Json(const http::Request& request) const;
  absl::StatusOr<service::HttpAnswer> Delta(const http::Target& target) const;
  absl::StatusOr<service::HttpAnswer> Validity(std::string_view asn, std::string_view prefix) const;

  Exports& exports_;
  const Board& board_;
  const Clock& clock_;
};

}  // namespace virp::rtr_bridge
