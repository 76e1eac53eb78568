#include "services/keymgr/transport/est/est_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

using Instant = std::chrono::steady_clock::time_point;

constexpr std::chrono::milliseconds kGoodbye{1'000};  // for what a refused client still sends

Instant After(std::chrono::milliseconds delay) {
  return std::chrono::steady_clock::now() + delay;
}

// False when it is too late.
bool WaitFor(int socket, short events, Instant deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  pollfd ready{socket, events, 0};
  return left > 0 && ::poll(&ready, 1, static_cast<int>(left)) > 0;
}

bool SendAll(service::TlsStream& tls, int socket, std::string_view bytes, Instant deadline) {
  while (!bytes.empty()) {
    const auto sent = tls.Write(bytes);
    if (!sent.ok()) return false;
    if (*sent) {
      bytes.remove_prefix(**sent);
    } else if (!WaitFor(socket, tls.poll_events(), deadline)) {
      return false;
    }
  }
  return true;
}

// What the client still sends is thrown away: a reset would overtake the answer.
void Discard(int socket) {
  ::shutdown(socket, SHUT_WR);
  const Instant deadline = After(kGoodbye);
  std::array<char, 4096> buffer{};
  while (WaitFor(socket, POLLIN, deadline)) {
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (got <= 0 && !(got < 0 && (errno == EAGAIN || errno == EINTR))) return;
  }
}

service::Security WithTable(service::Security security) {
  // EstAccess has three different names with a role each: what Create complains about is not there.
  security.table =
      std::make_shared<const service::AuthorizationTable>(service::AuthorizationTable::Create(EstAccess()).value());
  return security;
}

}  // namespace

struct EstServer::Peer {
  FileDescriptor socket;
  std::atomic<bool> done{false};
  std::jthread thread;  // last: joined before the socket goes
};

EstServer::EstServer(EstOptions options, Enrolment& enrolment, service::Security security)
    : options_(std::move(options)),
      on_refusal_(security.on_refusal),
      answerer_(enrolment, WithTable(std::move(security))) {}

EstServer::~EstServer() {
  Stop();
}

absl::StatusOr<std::unique_ptr<EstServer>> EstServer::Start(EstOptions options, Enrolment& enrolment,
                                                            service::Security security, const Clock& clock) {
  std::unique_ptr<EstServer> server(new EstServer(std::move(options), enrolment, std::move(security)));
  const EstOptions& with = server->options_;
  ASSIGN_OR_RETURN(server->acceptor_,
                   service::TlsAcceptor::Make(with.tls, service::TlsAcceptor::ClientCertificate::kRequired, clock,
                                              with.reload, service::TlsAcceptor::Oldest::kTls12));
  ASSIGN_OR_RETURN(server->gate_, service::ConnectionGate::Listen(with.listen, with.connections));
  EstServer& at = *server;
  at.gate_->Start([&at](int, FileDescriptor socket) { at.Take(std::move(socket)); },
                  [&at](const IpAddress& peer, std::string_view reason) {
                    if (!at.on_refusal_) return;
                    at.on_refusal_({"(est connection)", "",
                                    WithReason(ResourceExhausted("a connection of {}", peer.ToString()), reason)});
                  });
  return server;
}

void EstServer::Stop() {
  if (gate_ != nullptr) gate_->Stop();
  std::list<std::unique_ptr<Peer>> peers;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    peers.swap(peers_);
  }
  for (const auto& peer : peers) ::shutdown(peer->socket.get(), SHUT_RDWR);
}

std::map<int, std::uint64_t> EstServer::Answers() const {
  const MutexLock lock(mutex_);
  return answers_;
}

void EstServer::Count(int code) {
  const MutexLock lock(mutex_);
  ++answers_[code];
}

// Threads that have ended are joined by the next connection, so that no more are there than connections are let in.
void EstServer::Reap() {
  std::list<std::unique_ptr<Peer>> gone;
  const MutexLock lock(mutex_);
  for (auto& peer : peers_) {
    if (peer->done) gone.push_back(std::move(peer));
  }
  std::erase(peers_, nullptr);
}

void EstServer::Take(FileDescriptor socket) {
  Reap();
  auto peer = std::make_unique<Peer>();
  peer->socket = std::move(socket);
  Peer& at = *peer;
  const MutexLock lock(mutex_);
  if (stopping_) return;
  peers_.push_back(std::move(peer));
  at.thread = std::jthread([this, &at] {
    Serve(at);
    // The gate sees the end of the connection by this; the descriptor goes with the peer.
    ::shutdown(at.socket.get(), SHUT_RDWR);
    at.done = true;
  });
}

void EstServer::Serve(Peer& peer) {
  const auto tls = acceptor_->Accept(peer.socket.get(), options_.handshake);
  if (!tls.ok()) {
    Count(0);
    if (on_refusal_) on_refusal_({"(est handshake)", "", tls.status()});
    return;
  }
  http::Response answer = Converse(peer, **tls);
  Count(answer.code);
  if (answer.code == 0) return;
  answer.fields.push_back({"connection", "close"});
  answer.fields.push_back({"cache-control", "no-store"});
  if (SendAll(**tls, peer.socket.get(), http::Encode(answer), After(options_.patience))) {
    (*tls)->SayGoodbye();
    Discard(peer.socket.get());
  }
}

// The answer to what comes; code 0 when nobody is left to hear one.
http::Response EstServer::Converse(Peer& peer, service::TlsStream& tls) {
  const int socket = peer.socket.get();
  const Instant deadline = After(options_.patience);
  http::RequestReader reader(options_.limits);
  std::vector<char> buffer(16 << 10);
  while (true) {
    const auto got = tls.Read(buffer);
    if (!got.ok() || (*got && **got == 0)) return {};
    if (!*got) {
      if (WaitFor(socket, tls.poll_events(), deadline)) continue;
      return EstError(408, "the request took too long");
    }
    switch (reader.Take({buffer.data(), **got})) {
      case http::RequestReader::Progress::kMore:
        if (reader.TakeContinue() && !SendAll(tls, socket, "HTTP/1.1 100 Continue\r\n\r\n", deadline)) return {};
        if (std::chrono::steady_clock::now() >= deadline) return EstError(408, "the request took too long");
        break;
      case http::RequestReader::Progress::kComplete:
        return answerer_.Answer(reader.request(), tls.peer_certificate_pem());
      case http::RequestReader::Progress::kRefused:
        return EstError(reader.refusal().code, reader.refusal().why);
    }
  }
}

}  // namespace virp::keymgr
