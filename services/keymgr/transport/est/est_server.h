// The EST port: HTTP/1.1 over mutual TLS, 1.2 and 1.3 because routers are old, one request a connection. It shares
// certificates, identities and the deny list with the gRPC port, and nothing of what may be called there.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/est/message.h"
#include "lib/service/credentials.h"
#include "lib/service/http_server.h"
#include "services/keymgr/transport/est/est_answer.h"

namespace virp::keymgr {

struct EstOptions {
  std::string listen;  // as ServerOptions
  service::TlsFiles tls;
  std::chrono::seconds reload = service::kDefaultReload;
  service::GateLimits connections{.max_connections = 128, .max_per_address = 32};
  std::chrono::milliseconds handshake{5'000};
  // From the handshake to the last byte of the request, however slowly it comes, and as much again for the answer.
  std::chrono::milliseconds patience{10'000};
  http::Limits limits{.head = 8 << 10, .fields = 64, .body = est::kMaxRequestBody};
};

// Thread-safe.
class EstServer {
 public:
  // Listens and serves at once. `security` is the gRPC port's; its table is replaced by that of EstAccess. `enrolment`
  // and `clock` outlive it. Errors: those of service::HttpServer.
  static absl::StatusOr<std::unique_ptr<EstServer>> Start(const EstOptions& options, Enrolment& enrolment,
                                                          service::Security security, const Clock& clock);

  // As service::HttpServer. What was enrolled stays enrolled: a router that got no answer asks again.
  void Stop() { server_->Stop(); }

  int port() const { return server_->port(); }
  int connections() const { return server_->connections(); }
  std::map<int, std::uint64_t> Answers() const { return server_->Answers(); }

 private:
  EstServer(Enrolment& enrolment, service::Security security);

  const EstAnswerer answerer_;
  std::unique_ptr<service::HttpServer> server_;
};

}  // namespace virp::keymgr
