// The way of the data: sources, cache, routers. Composition only.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "lib/service/access.h"
#include "services/rtr-bridge/config.h"
#include "services/rtr-bridge/domain/board.h"
#include "services/rtr-bridge/domain/cache.h"
#include "services/rtr-bridge/domain/session_log.h"
#include "services/rtr-bridge/storage/state_file.h"
#include "services/rtr-bridge/transport/router_server.h"
#include "services/rtr-bridge/transport/source_runner.h"

namespace virp::rtr_bridge {

class ServingPart {
 public:
  // Listens for routers, and goes on from what the last run wrote down. Sources are read from StartSources on. All that
  // is given outlives it; `security` is that of a bridge with a certificate, or empty.
  static absl::StatusOr<std::unique_ptr<ServingPart>> Make(const Config& config, const Witness& witness,
                                                           Recorder& recorder, const service::Security& security,
                                                           const Clock& clock);
  ~ServingPart();

  void StartSources() { sources_->Start(); }

  Cache& cache() { return *cache_; }
  const Board& board() const { return board_; }
  SessionLog& log() { return log_; }
  RouterServer& routers() { return *routers_; }
  SourceRunner& sources() { return *sources_; }

 private:
  ServingPart(const Config& config, const Witness& witness, const Clock& clock)
      : config_(config), log_(witness, clock, config.session_log) {}
  void MakeCache(const Witness& witness, Recorder& recorder, const Clock& clock);
  void Restore();

  // Each uses those above it, so the last one goes first.
  const Config& config_;
  std::unique_ptr<StateDirectory> state_;
  SessionLog log_;
  std::unique_ptr<RouterServer> routers_;
  Board board_;
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<SourceRunner> sources_;
};

}  // namespace virp::rtr_bridge
