// HTTP/1.1 for what is asked now and then, by programs that nobody here knows: one request a connection, over TLS or
// plain, every length and time limited. A connection is a thread; who is slow holds its own and nobody else's.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/http/message.h"
#include "lib/service/caller.h"
#include "lib/service/connection_gate.h"
#include "lib/service/tls_stream.h"

namespace virp::service {

struct HttpTls {
  TlsFiles files;
  TlsAcceptor::ClientCertificate clients = TlsAcceptor::ClientCertificate::kNone;
  TlsAcceptor::Names names = TlsAcceptor::Names::kSpiffe;
  std::chrono::seconds reload = kDefaultReload;
};

struct HttpServerOptions {
  std::string name;            // in refusals: "(NAME connection)", "(NAME handshake)"
  std::string listen;          // as ConnectionGate::Listen
  std::optional<HttpTls> tls;  // TLS 1.2 and 1.3; nothing: plain HTTP
  // Both bound what strangers can hold.
  GateLimits connections{.max_connections = 128, .max_per_address = 32};
  // Where there is no room, the oldest connection that has not asked yet makes some: silence keeps nobody out. Else,
  // and where all have asked, the new one is closed.
  bool make_room = false;
  std::chrono::milliseconds handshake{5'000};
  std::chrono::milliseconds patience{10'000};  // from the handshake to the last byte of the request, however they come
  // Of the answer: how long it may stand still, and how long it may take.
  std::chrono::milliseconds stall{10'000}, answer{10'000};
  http::Limits limits;
  // Of shared bodies (HttpAnswer::body) that are still being sent, beside the one that is to be sent next: octets of
  // all of them, or three times that one's if that is more. Beyond, the oldest connections that read others are cut:
  // who reads slowly must not keep in memory each document that there was meanwhile.
  std::size_t most_other_bodies = std::size_t{256} << 20;
};

struct HttpAnswer {
  http::Response response;
  // Sent instead of the response's own body, as it is: what is large is made once for all who ask.
  std::shared_ptr<const std::string> body = nullptr;
};

// Thread-safe.
class HttpServer {
 public:
  // From several threads at once. `leaf_pem`: the client's certificate, as its handshake showed it, else empty. A HEAD
  // is answered as its GET; the body is left out here.
  using Handler = std::function<HttpAnswer(const http::Request& request, std::string_view leaf_pem)>;
  // What a request is answered with that cannot be read (http::Refusal), or that took too long (408).
  using Refuse = std::function<http::Response(int code, std::string_view why)>;

  // Listens and serves at once. `on_refusal`, which may be null, is told of connections and handshakes that were not
  // let in. `clock` outlives it. Errors: those of TlsAcceptor::Make and ConnectionGate::Listen.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options, Handler handler, Refuse refuse,
                                                           RefusalHook on_refusal, const Clock& clock);
  ~HttpServer();  // Stop

  // No new connections; those that are open are cut, and their threads joined.
  void Stop();

  int port() const { return gate_->port(); }
  int connections() const { return gate_->open(); }
  // Answers so far by status code; 0: connections that ended before there was a request to answer.
  std::map<int, std::uint64_t> Answers() const;

 private:
  class Wire;
  struct Peer;
  HttpServer(HttpServerOptions options, Handler handler, Refuse refuse, RefusalHook on_refusal, const Clock& clock);
  void Take(FileDescriptor socket);
  bool HasRoom(const std::string& address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Serve(Peer& peer);
  // The peer reads `body` from now on, or nothing any more (null).
  void SetReading(Peer& peer, const std::string* body);
  HttpAnswer Converse(Wire& wire, Peer& peer, bool& with_body) const;
  void TellRefused(const std::string& what, std::string_view reason) const;
  void Count(int code);
  void Reap();

  const HttpServerOptions options_;
  const Handler handler_;
  const Refuse refuse_;
  const RefusalHook on_refusal_;
  const Clock& clock_;
  std::unique_ptr<TlsAcceptor> acceptor_;  // null without TLS
  std::unique_ptr<ConnectionGate> gate_;
  mutable Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::list<std::unique_ptr<Peer>> peers_ ABSL_GUARDED_BY(mutex_);
  std::map<int, std::uint64_t> answers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::service
