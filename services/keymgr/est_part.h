// The EST port with what it needs, where it is asked for. Composition only.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/service/caller.h"
#include "lib/service/credentials.h"
#include "lib/service/metrics.h"
#include "services/keymgr/domain/router_enrolment.h"
#include "services/keymgr/transport/est/est_server.h"

namespace virp::keymgr {

class EstPart {
 public:
  // `listen` empty: there is no EST port, and this does nothing. Everything that is given outlives it; `security` is
  // the gRPC port's.
  static absl::StatusOr<std::unique_ptr<EstPart>> Start(const std::string& listen, const service::TlsFiles& tls,
                                                        RouterKeys& keys, const service::Security& security,
                                                        const Clock& clock);

  void AddMetrics(service::Metrics& metrics);
  void Drain();

  int port() const { return server_ == nullptr ? 0 : server_->port(); }  // 0: there is none

 private:
  explicit EstPart(RouterKeys& keys) : enrolment_(keys) {}

  RouterEnrolment enrolment_;
  std::unique_ptr<EstServer> server_;
};

}  // namespace virp::keymgr
