#include "lib/service/http_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <set>
#include <utility>
#include <vector>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/http/conditional.h"

namespace virp::service {
namespace {

using Instant = std::chrono::steady_clock::time_point;

constexpr std::chrono::milliseconds kGoodbye{1'000};  // for what a refused client still sends
constexpr std::size_t kPiece = 256 << 10;             // of a large body; after each the time is looked at

Instant After(std::chrono::milliseconds delay) {
  return std::chrono::steady_clock::now() + delay;
}

bool IsOver(Instant deadline) {
  return std::chrono::steady_clock::now() >= deadline;
}

// False when it is too late.
bool WaitFor(int socket, short events, Instant deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  pollfd ready{socket, events, 0};
  return left > 0 && ::poll(&ready, 1, static_cast<int>(left)) > 0;
}

// Who it is, to tell one from the other.
std::string AddressOf(int socket) {
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return {};
  const auto bytes = [](const auto& value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  if (peer.ss_family == AF_INET) return bytes(reinterpret_cast<const sockaddr_in*>(&peer)->sin_addr);
  return bytes(reinterpret_cast<const sockaddr_in6*>(&peer)->sin6_addr);
}

bool IsPassing(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

}  // namespace

// The connection behind its handshake, if it has one: TlsStream's reading and writing, of plain sockets too.
class HttpServer::Wire {
 public:
  Wire(int socket, std::unique_ptr<TlsStream> tls) : socket_(socket), tls_(std::move(tls)) {}

  // 0: the peer has closed; nothing: none came until the deadline.
  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer, Instant deadline) {
    while (true) {
      if (tls_ != nullptr) {
        ASSIGN_OR_RETURN(const auto got, tls_->Read(buffer));
        if (got) return got;
      } else {
        const ssize_t got = ::recv(socket_, buffer.data(), buffer.size(), 0);
        if (got >= 0) return static_cast<std::size_t>(got);
        if (!IsPassing(errno)) return ErrnoStatus(errno, "cannot read from", "the connection");
      }
      if (!WaitFor(socket_, tls_ != nullptr ? tls_->poll_events() : POLLIN, deadline)) return std::nullopt;
    }
  }

  // All of it, before the deadline and without standing still as long as `stall`.
  bool Send(std::string_view bytes, std::chrono::milliseconds stall, Instant deadline) {
    while (!bytes.empty()) {
      const auto sent = SendSome(bytes.substr(0, kPiece));
      if (!sent.ok()) return false;
      bytes.remove_prefix(sent->value_or(0));
      if (!*sent &&
          !WaitFor(socket_, tls_ != nullptr ? tls_->poll_events() : POLLOUT, std::min(After(stall), deadline)))
        return false;
      if (IsOver(deadline)) return bytes.empty();
    }
    return true;
  }

  // All is said. What the client still sends is thrown away: a reset would overtake the answer.
  void End() {
    if (tls_ != nullptr) tls_->SayGoodbye();
    ::shutdown(socket_, SHUT_WR);
    const Instant deadline = After(kGoodbye);
    std::array<char, 4096> buffer{};
    while (WaitFor(socket_, POLLIN, deadline)) {
      const ssize_t got = ::recv(socket_, buffer.data(), buffer.size(), 0);
      if (got == 0 || (got < 0 && !IsPassing(errno))) return;
    }
  }

  std::string_view leaf_pem() const {
    return tls_ != nullptr ? std::string_view(tls_->peer_certificate_pem()) : std::string_view();
  }

 private:
  absl::StatusOr<std::optional<std::size_t>> SendSome(std::string_view bytes) {
    if (tls_ != nullptr) return tls_->Write(bytes);
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (IsPassing(errno)) return std::nullopt;
    return ErrnoStatus(errno, "cannot write to", "the connection");
  }

  const int socket_;
  const std::unique_ptr<TlsStream> tls_;
};

struct HttpServer::Peer {
  FileDescriptor socket;
  std::string address;
  bool cut = false;                   // made room; under the server's lock
  const std::string* body = nullptr;  // a shared one that is being sent; likewise
  std::atomic<bool> owed{false};      // an answer: it has asked, and not all of that was sent
  std::atomic<bool> done{false};
  std::jthread thread;  // last: joined before the socket goes
};

HttpServer::HttpServer(HttpServerOptions options, Handler handler, Refuse refuse, RefusalHook on_refusal,
                       const Clock& clock)
    : options_(std::move(options)),
      handler_(std::move(handler)),
      refuse_(std::move(refuse)),
      on_refusal_(std::move(on_refusal)),
      clock_(clock) {}

HttpServer::~HttpServer() {
  Stop();
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options, Handler handler, Refuse refuse,
                                                              RefusalHook on_refusal, const Clock& clock) {
  std::unique_ptr<HttpServer> server(
      new HttpServer(std::move(options), std::move(handler), std::move(refuse), std::move(on_refusal), clock));
  const HttpServerOptions& with = server->options_;
  if (with.tls) {
    ASSIGN_OR_RETURN(server->acceptor_, TlsAcceptor::Make(with.tls->files, with.tls->clients, clock, with.tls->reload,
                                                          TlsAcceptor::Oldest::kTls12, with.tls->names));
  }
  GateLimits limits = with.connections;
  if (with.make_room) {
    // Room for the one that another has to go for. The gate sees that one's end before it accepts the next.
    limits.one_by_one = true;
    ++limits.max_connections;
    ++limits.max_per_address;
  }
  ASSIGN_OR_RETURN(server->gate_, ConnectionGate::Listen(with.listen, limits));
  HttpServer& at = *server;
  at.gate_->Start([&at](int, FileDescriptor socket) { at.Take(std::move(socket)); },
                  [&at](const IpAddress& peer, std::string_view reason) { at.TellRefused(peer.ToString(), reason); });
  return server;
}

void HttpServer::TellRefused(const std::string& what, std::string_view reason) const {
  if (!on_refusal_) return;
  on_refusal_({fmt::format("({} connection)", options_.name), "",
               WithReason(ResourceExhausted("a connection of {}", what), reason)});
}

void HttpServer::Stop() {
  if (gate_ != nullptr) gate_->Stop();
  std::list<std::unique_ptr<Peer>> peers;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    peers.swap(peers_);
  }
  for (const auto& peer : peers) ::shutdown(peer->socket.get(), SHUT_RDWR);
}

std::map<int, std::uint64_t> HttpServer::Answers() const {
  const MutexLock lock(mutex_);
  return answers_;
}

void HttpServer::Count(int code) {
  const MutexLock lock(mutex_);
  ++answers_[code];
}

// Threads that have ended are joined by the next connection, so that no more are there than connections are let in.
void HttpServer::Reap() {
  std::list<std::unique_ptr<Peer>> gone;
  const MutexLock lock(mutex_);
  for (auto& peer : peers_) {
    if (peer->done) gone.push_back(std::move(peer));
  }
  std::erase(peers_, nullptr);
}

// For one more of that address; whoever has to go for it goes.
bool HttpServer::HasRoom(const std::string& address) {
  int all = 0, same = 0;
  Peer *silent = nullptr, *silent_same = nullptr;  // the oldest
  for (const auto& peer : peers_) {
    if (peer->done || peer->cut) continue;
    ++all;
    if (silent == nullptr && !peer->owed) silent = peer.get();
    if (peer->address != address) continue;
    ++same;
    if (silent_same == nullptr && !peer->owed) silent_same = peer.get();
  }
  const bool too_many_of_one = same >= options_.connections.max_per_address;
  if (!too_many_of_one && all < options_.connections.max_connections) return true;
  Peer* const victim = too_many_of_one ? silent_same : silent;
  if (victim == nullptr) return false;
  victim->cut = true;
  ::shutdown(victim->socket.get(), SHUT_RDWR);
  return true;
}

void HttpServer::Take(FileDescriptor socket) {
  Reap();
  auto peer = std::make_unique<Peer>();
  peer->socket = std::move(socket);
  peer->address = AddressOf(peer->socket.get());
  Peer& at = *peer;
  const MutexLock lock(mutex_);
  const bool room = !stopping_ && (!options_.make_room || HasRoom(peer->address));
  if (!room) {
    ::shutdown(peer->socket.get(), SHUT_RDWR);  // the gate has a descriptor of its own
    if (!stopping_) TellRefused("somebody, while answers are owed to all that are open", "TOO_MANY_CONNECTIONS");
    return;
  }
  peers_.push_back(std::move(peer));
  at.thread = std::jthread([this, &at] {
    Serve(at);
    // The gate sees the end of the connection by this; the descriptor goes with the peer.
    ::shutdown(at.socket.get(), SHUT_RDWR);
    at.done = true;
  });
}

void HttpServer::SetReading(Peer& peer, const std::string* body) {
  const MutexLock lock(mutex_);
  peer.body = body;
  if (body == nullptr) return;
  const std::size_t most = std::max(options_.most_other_bodies, 3 * body->size());
  while (true) {
    std::set<const std::string*> others;
    Peer* oldest = nullptr;
    for (const auto& one : peers_) {
      if (one->cut || one->body == nullptr || one->body == body) continue;
      others.insert(one->body);
      if (oldest == nullptr) oldest = one.get();
    }
    std::size_t octets = 0;
    for (const std::string* other : others) octets += other->size();
    if (octets <= most) return;
    oldest->cut = true;
    ::shutdown(oldest->socket.get(), SHUT_RDWR);
  }
}

void HttpServer::Serve(Peer& peer) {
  const int socket = peer.socket.get();
  std::unique_ptr<TlsStream> tls;
  if (acceptor_ != nullptr) {
    auto shaken = acceptor_->Accept(socket, options_.handshake);
    if (!shaken.ok()) {
      Count(0);
      if (on_refusal_) on_refusal_({fmt::format("({} handshake)", options_.name), "", shaken.status()});
      return;
    }
    tls = *std::move(shaken);
  }
  Wire wire(socket, std::move(tls));
  bool with_body = true;
  HttpAnswer answer = Converse(wire, peer, with_body);
  Count(answer.response.code);
  if (answer.response.code == 0) return;
  http::Fields& fields = answer.response.fields;
  fields.push_back({"date", http::DateText(static_cast<std::int64_t>(clock_.NowNanos() / 1'000'000'000))});
  fields.push_back({"connection", "close"});
  const std::string_view body = answer.body != nullptr ? std::string_view(*answer.body) : answer.response.body;
  const Instant deadline = After(options_.answer);
  if (!wire.Send(http::EncodeHead(answer.response, body.size()), options_.stall, deadline)) return;
  if (with_body && answer.body != nullptr) SetReading(peer, answer.body.get());
  const bool sent = !with_body || wire.Send(body, options_.stall, deadline);
  SetReading(peer, nullptr);  // before the body goes
  if (!sent) return;
  peer.owed = false;
  wire.End();
}

// The answer to what comes; code 0 when nobody is left to hear one.
HttpAnswer HttpServer::Converse(Wire& wire, Peer& peer, bool& with_body) const {
  const Instant deadline = After(options_.patience);
  http::RequestReader reader(options_.limits);
  std::vector<char> buffer(16 << 10);
  while (true) {
    const auto got = wire.Read(buffer, deadline);
    if (!got.ok() || (*got && **got == 0)) return {};
    if (!*got || IsOver(deadline)) return {refuse_(408, "the request took too long")};
    switch (reader.Take({buffer.data(), **got})) {
      case http::RequestReader::Progress::kMore:
        if (reader.TakeContinue() && !wire.Send("HTTP/1.1 100 Continue\r\n\r\n", options_.stall, deadline)) return {};
        break;
      case http::RequestReader::Progress::kComplete:
        peer.owed = true;
        with_body = reader.request().method != "HEAD";
        return handler_(reader.request(), wire.leaf_pem());
      case http::RequestReader::Progress::kRefused:
        return {refuse_(reader.refusal().code, reader.refusal().why)};
    }
  }
}

}  // namespace virp::service
