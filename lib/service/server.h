// A gRPC server as every service of ours runs it: mutual TLS with reload, authorization before every handler, health,
// limits, a drain that loses nothing.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/service/caller.h"
#include "lib/service/connection_gate.h"
#include "lib/service/credentials.h"
#include "lib/service/handshake_count.h"
#include "lib/service/receive_budget.h"

namespace virp::service {

struct ServerOptions {
  std::string listen;  // "host:port", "[v6]:port"; port 0 takes a free one
  TlsFiles tls;
  std::chrono::seconds reload = kDefaultReload;
  TransportLimits limits;
  GateLimits connections;
  ReceiveLimits receive;
  // Reflection for grpcurl. The library is loaded at run time because merely linking it would switch reflection on in
  // every server of the process. The authorization table needs its row too (AuthorizationTable::Create).
  bool reflection = false;
  std::chrono::milliseconds maintenance{1000};  // how often the deny list is read and open streams are checked
};

// A service and its full name (Generated::service_full_name()), which gRPC's health service answers for.
struct ServedService {
  grpc::Service* service;
  std::string name;
};

class ServerRunner {
 public:
  // Everything that is wrong is said before anything listens: bad TLS files (an expired certificate is not wrong: the
  // service comes up, is not ready, and can be reached by break-glass), a method without a row in the table or a row
  // without a method, an address that is taken. Services, clock and what `security` points to outlive the runner. Not
  // serving until SetServing(true).
  static absl::StatusOr<std::unique_ptr<ServerRunner>> Start(ServerOptions options, Security security,
                                                             const Clock& clock,
                                                             const std::vector<ServedService>& services);

  ~ServerRunner();  // Drain with no delay and no grace

  int port() const { return gate_->port(); }
  std::string address() const;  // host:port with the port that is really open

  int connections() const { return gate_->open(); }  // handshakes in progress included

  // Connections without a handshake that showed a good chain, as HandshakeCount has it.
  std::uint64_t failed_handshakes() const { return handshakes_->failed(); }

  // What gRPC health answers, for the whole server ("") and for each service.
  void SetServing(bool serving);

  // FailedPrecondition while the certificates on disk would not let anybody in. One part of readiness.
  absl::Status Ready() const;
  // When the certificate on disk ends; 0 while the files cannot be used. Reads them.
  UnixNanos certificate_not_after() const;

  // Reads the deny list and ends streams of revoked callers now: for SIGHUP, and tests. The list's own error; what was
  // in force stays then.
  absl::Status ReloadDenyList();

  // Not serving, then `delay` for load balancers to notice, then no new calls and up to `grace` for those that run;
  // what is left is cancelled. Once; later calls do nothing.
  void Drain(std::chrono::milliseconds delay, std::chrono::milliseconds grace);

 private:
  ServerRunner(ServerOptions options, Security security, const Clock& clock);
  absl::Status Listen(const std::vector<ServedService>& services);
  void MaintainUntilStopped();

  const ServerOptions options_;
  const Security security_;
  const Clock& clock_;
  std::vector<std::string> names_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<ConnectionGate> gate_;
  const std::shared_ptr<HandshakeCount> handshakes_;  // gRPC's verifier has it, too
  Mutex mutex_;
  std::condition_variable_any wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread maintenance_;
};

}  // namespace virp::service
