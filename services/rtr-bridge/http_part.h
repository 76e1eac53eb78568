// The bridge's own HTTP address with what it needs, where it is asked for. Composition only.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/frame/key.h"
#include "lib/service/caller.h"
#include "services/rtr-bridge/config.h"
#include "services/rtr-bridge/transport/http_answer.h"

namespace virp::rtr_bridge {

class HttpPart {
 public:
  // Without an address there is none, and this does nothing. `keys`, which may be null, has the key that
  // `http-sign-as` names. All that is given outlives it.
  static absl::StatusOr<std::unique_ptr<HttpPart>> Start(const HttpConfig& config, const std::string& name,
                                                         const Board& board, const Cache& cache,
                                                         const frame::KeyProvider* keys, const Clock& clock);

  const service::HttpServer* server() const { return server_.get(); }  // null without an address
  void Tick() { exports_.Trim(); }
  void Drain();
  std::string address() const;  // "none" without

 private:
  HttpPart(const std::string& name, const Board& board, const Cache& cache, SignDocument sign, const Clock& clock)
      : exports_(name, board, cache, std::move(sign), clock), answerer_(exports_, board, clock) {}

  Exports exports_;
  const HttpAnswerer answerer_;
  std::string host_;
  std::unique_ptr<service::HttpServer> server_;
};

}  // namespace virp::rtr_bridge
