// The EST port: HTTP/1.1 over mutual TLS, 1.2 and 1.3 because routers are old, one request a connection. It shares
// certificates, identities and the deny list with the gRPC port, and nothing of what may be called there.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/est/message.h"
#include "lib/service/connection_gate.h"
#include "lib/service/credentials.h"
#include "lib/service/tls_stream.h"
#include "services/keymgr/transport/est/est_answer.h"

namespace virp::keymgr {

struct EstOptions {
  std::string listen;  // as ServerOptions
  service::TlsFiles tls;
  std::chrono::seconds reload = service::kDefaultReload;
  // A connection is a thread: both bound what strangers can hold.
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
  // and `clock` outlive it. Errors: those of TlsAcceptor::Make and ConnectionGate::Listen.
  static absl::StatusOr<std::unique_ptr<EstServer>> Start(EstOptions options, Enrolment& enrolment,
                                                          service::Security security, const Clock& clock);
  ~EstServer();

  // No new connections; those that are open are cut, and their threads joined. What was enrolled stays enrolled: a
  // router that got no answer asks again.
  void Stop();

  int port() const { return gate_->port(); }
  int connections() const { return gate_->open(); }
  // Answers so far by status code; 0: connections that ended before there was a request to answer.
  std::map<int, std::uint64_t> Answers() const;

 private:
  struct Peer;
  EstServer(EstOptions options, Enrolment& enrolment, service::Security security);
  void Take(FileDescriptor socket);
  void Serve(Peer& peer);
  http::Response Converse(Peer& peer, service::TlsStream& tls);
  void Count(int code);
  void Reap();

  const EstOptions options_;
  const service::RefusalHook on_refusal_;
  const EstAnswerer answerer_;
  std::unique_ptr<service::TlsAcceptor> acceptor_;
  std::unique_ptr<service::ConnectionGate> gate_;
  mutable Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::list<std::unique_ptr<Peer>> peers_ ABSL_GUARDED_BY(mutex_);
  std::map<int, std::uint64_t> answers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::keymgr
