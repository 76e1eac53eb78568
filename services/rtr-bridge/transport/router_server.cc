#include "services/rtr-bridge/transport/router_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "lib/base/secret_file.h"
#include "lib/base/status.h"
#include "lib/base/tcp.h"
#include "lib/crypto/secret.h"
#include "lib/service/logging.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kTickMs = 200;
constexpr milliseconds kNoDescriptors{20};  // after an accept that failed; the listener stays readable
constexpr milliseconds kDrainStep{10};
constexpr std::size_t kMaxKeyFile = 1024;
constexpr int kAcceptsATurn = 64;
constexpr milliseconds kViewsWait{250};
// Of each connection, in the kernel, which takes twice that. Left to itself it grows to 4 MiB: then what is copied
// falls out of the processor's caches before the other side has it (a table costs a third more), and a thousand routers
// that do not read take 4 GB. At 100 ms to the router and back this still is 10 MB a second.
constexpr int kSendBuffer = 512 << 10;
// A connection's number is larger than all of earlier starts: it begins with the second of this one.
constexpr unsigned kConnectionBits = 24;

// The first line; "hex:" in front of octets that are no text (draft 27 section 9.4 wants both).
absl::StatusOr<crypto::Secret> ReadKey(const std::string& path) {
  ASSIGN_OR_RETURN(const FileDescriptor file, OpenSecretFile(path, "TCP key file"));
  crypto::Secret text(kMaxKeyFile);
  ASSIGN_OR_RETURN(const std::size_t size, ReadUpTo(file.get(), text.data(), kMaxKeyFile, path));
  text.Truncate(std::min(size, text.view().substr(0, size).find_first_of("\r\n")));
  if (text.view().empty()) return InvalidArgument("{}: the first line is empty; it is the key", path);
  if (!text.view().starts_with("hex:")) return text;
  auto bytes = HexDecode(text.view().substr(4));
  if (!bytes.ok() || bytes->empty()) return InvalidArgument("{}: behind hex: there are no hexadecimal digits", path);
  crypto::Secret key(bytes->size());
  std::copy(bytes->begin(), bytes->end(), key.data());
  crypto::Wipe(bytes->data(), bytes->size());
  return key;
}

// `in_force`: what was set last; empty before. A key of TCP-AO is added once: the kernel takes no other one of its ids.
absl::Status SetKey(int socket, const PeerKey& key, crypto::Secret& in_force) {
  ASSIGN_OR_RETURN(crypto::Secret secret, ReadKey(key.key_file));
  if (crypto::EqualConstantTime(secret, in_force)) return absl::OkStatus();
  if (key.algorithm.empty()) {
    RETURN_IF_ERROR(SetMd5Key(socket, key.peer, secret.view()));
  } else if (in_force.empty()) {
    RETURN_IF_ERROR(AddTcpAoKey(socket, key.peer, {key.send_id, key.recv_id, key.algorithm, secret.view()}));
  } else {
    return FailedPrecondition("{}: a TCP-AO key is not changed in place: list the new one with other ids beside it",
                              key.key_file);
  }
  in_force = std::move(secret);
  return absl::OkStatus();
}

}  // namespace

struct RouterServer::Listener {
  ListenerOptions options;
  FileDescriptor socket;
  std::string address;
  std::unique_ptr<service::TlsAcceptor> tls;
  std::unique_ptr<SshGateway> ssh;
  std::vector<crypto::Secret> in_force = {};  // of options.keys
  const Door::Count routers = std::make_shared<std::atomic<std::size_t>>(0);

  // The first error; the other keys are in force.
  absl::Status SetKeys() {
    absl::Status first;
    for (std::size_t i = 0; i < options.keys.size(); ++i)
      first.Update(SetKey(socket.get(), options.keys[i], in_force[i]));
    return first;
  }
  const PeerKey* KeyOf(const IpAddress& peer) const {
    const auto& keys = options.keys;
    const auto found = std::find_if(keys.begin(), keys.end(), [&](const PeerKey& key) { return key.peer == peer; });
    return found == keys.end() ? nullptr : &*found;
  }
  Transport TransportOf(const IpAddress& peer) const {
    if (options.kind == ListenerKind::kTls) return Transport::kTls;
    if (options.kind == ListenerKind::kSsh) return Transport::kSsh;
    const PeerKey* const key = KeyOf(peer);
    if (key == nullptr) return Transport::kTcp;
    return key->algorithm.empty() ? Transport::kTcpMd5 : Transport::kTcpAo;
  }
};

RouterServer::RouterServer(RouterServerOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), door_(options_.door) {
  connections_ = clock.NowNanos() / 1'000'000'000 << kConnectionBits;
}

absl::StatusOr<std::unique_ptr<RouterServer>> RouterServer::Start(RouterServerOptions options, SessionLog& log,
                                                                  const Clock& clock) {
  std::unique_ptr<RouterServer> server(new RouterServer(std::move(options), clock));
  const std::size_t loops = std::max<std::size_t>(server->options_.loops, 1);
  for (std::size_t i = 0; i < loops; ++i) {
    ASSIGN_OR_RETURN(auto loop, RouterLoop::Start(log, server->counters_, server->options_.most_pinned / loops, clock));
    server->loops_.push_back(std::move(loop));
  }
  for (const ListenerOptions& listener : server->options_.listeners) RETURN_IF_ERROR(server->Open(listener));
  server->acceptor_ = std::jthread([at = server.get()](const std::stop_token& stop) { at->AcceptAll(stop); });
  return server;
}

RouterServer::~RouterServer() {
  Stop();
}

absl::Status RouterServer::Open(const ListenerOptions& options) {
  auto listener = std::make_unique<Listener>();
  Listener& at = *listener;
  at.options = options;
  ASSIGN_OR_RETURN(at.socket, ListenTcp(options.listen));
  ASSIGN_OR_RETURN(const int port, LocalPort(at.socket.get()));
  at.address = FormatHostPort({options.listen.host, static_cast<std::uint16_t>(port)});
  at.in_force.resize(options.keys.size());
  RETURN_IF_ERROR(at.SetKeys());
  if (options.kind == ListenerKind::kTls) {
    ASSIGN_OR_RETURN(
        at.tls, service::TlsAcceptor::Make(options.tls, options.certificates, clock_, service::kDefaultReload,
                                           service::TlsAcceptor::Oldest::kTls12, service::TlsAcceptor::Names::kAny));
  }
  if (options.kind == ListenerKind::kSsh) {
    SshOptions ssh = options.ssh;
    ssh.stall_timeout = ssh.flush_timeout + 3 * std::chrono::seconds(options_.session.timers.retry);
    ASSIGN_OR_RETURN(at.ssh, SshGateway::Make(std::move(ssh), [this, &at](SshRouter router) {
                       std::static_pointer_cast<Door::Seat>(router.seat)->LogIn();
                       Enter(at, MakePlainStream(std::move(router.socket)), std::move(router.seat), router.address,
                             router.port, std::move(router.identity));
                     }));
  }
  listeners_.push_back(std::move(listener));
  return absl::OkStatus();
}

void RouterServer::Publish(const std::shared_ptr<const rtr::Snapshot>& snapshot) {
  for (const auto& loop : loops_) loop->Publish(snapshot);
}

void RouterServer::AcceptAll(const std::stop_token& stop) {
  std::vector<pollfd> ready;
  for (const auto& listener : listeners_) ready.push_back({listener->socket.get(), POLLIN, 0});
  while (!stop.stop_requested()) {
    if (::poll(ready.data(), ready.size(), kTickMs) <= 0) continue;
    for (std::size_t i = 0; i < ready.size(); ++i) {
      if (ready[i].revents != 0) AcceptOne(*listeners_[i]);
    }
  }
}

void RouterServer::AcceptOne(Listener& listener) {
  for (int i = 0; i < kAcceptsATurn; ++i) {
    auto accepted = AcceptTcp(listener.socket.get());
    if (!accepted.ok()) {
      // Nobody is there, or no descriptor is left: then the listener would be ready again at once.
      if (i == 0) std::this_thread::sleep_for(kNoDescriptors);
      return;
    }
    const IpAddress peer = accepted->address;
    auto seat = Admit(listener, peer);
    if (seat == nullptr) continue;
    const int on = 1;
    ::setsockopt(accepted->socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // we write whole answers
    ::setsockopt(accepted->socket.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
    switch (listener.options.kind) {
      case ListenerKind::kTcp:
        Enter(listener, MakePlainStream(std::move(accepted->socket)), std::move(seat), peer, accepted->port, "");
        break;
      case ListenerKind::kTls:
        Enter(listener,
              MakeTlsStream(std::move(accepted->socket), *listener.tls, peer, listener.options.address_in_certificate),
              std::move(seat), peer, accepted->port, "");
        break;
      case ListenerKind::kSsh:
        listener.ssh->Take(std::move(accepted->socket), peer, accepted->port, std::move(seat));
        break;
    }
  }
}

// Whoever may not come in is closed before anything is read.
std::shared_ptr<Door::Seat> RouterServer::Admit(Listener& listener, const IpAddress& peer) {
  const auto& allow = listener.options.allow;
  const bool listed = allow.empty() || std::any_of(allow.begin(), allow.end(),
                                                   [&](const Prefix& prefix) { return prefix.Contains(peer); });
  if (!listed || (listener.options.keys_required && listener.KeyOf(peer) == nullptr)) {
    door_.CountNotAllowed();
    return nullptr;
  }
  return door_.Admit(peer, listener.routers, listener.options.kind == ListenerKind::kSsh);
}

rtr::ServerSessionOptions RouterServer::SessionFor(const ListenerOptions& options, const IpAddress& peer) const {
  rtr::ServerSessionOptions session = options_.session;
  session.min_version = options.min_version;
  session.max_version = options.max_version;
  for (const PeerRule& rule : options.rules) {
    if (!rule.peers.Contains(peer)) continue;
    session.min_version = rule.min_version.value_or(session.min_version);
    session.max_version = rule.max_version.value_or(session.max_version);
    break;
  }
  return session;
}

void RouterServer::Enter(Listener& listener, std::unique_ptr<RouterStream> stream, std::shared_ptr<void> seat,
                         const IpAddress& peer, std::uint16_t port, std::string identity) {
  NewRouter router;
  router.stream = std::move(stream);
  router.name = {++connections_, peer.ToString(), port, listener.TransportOf(peer), std::move(identity)};
  router.listener = listener.address;
  router.options = SessionFor(listener.options, peer);
  router.seat = std::move(seat);
  const auto least = std::min_element(loops_.begin(), loops_.end(),
                                      [](const auto& a, const auto& b) { return a->routers() < b->routers(); });
  (*least)->Add(std::move(router));
}

void RouterServer::Drain(rtr::ErrorCode report, milliseconds patience) {
  acceptor_.request_stop();
  if (acceptor_.joinable()) acceptor_.join();
  for (const auto& loop : loops_) loop->Shutdown(report);
  const auto deadline = steady_clock::now() + patience;
  const auto gone = [this] {
    return std::all_of(loops_.begin(), loops_.end(), [](const auto& loop) { return loop->routers() == 0; });
  };
  while (!gone() && steady_clock::now() < deadline) std::this_thread::sleep_for(kDrainStep);
}

void RouterServer::Stop() {
  acceptor_.request_stop();
  if (acceptor_.joinable()) acceptor_.join();
  for (const auto& listener : listeners_) {
    if (listener->ssh != nullptr) listener->ssh->Stop();
  }
  for (const auto& loop : loops_) loop->Stop();
}

absl::Status RouterServer::Reload() {
  absl::Status first;
  for (const auto& listener : listeners_) {
    if (listener->ssh != nullptr) first.Update(listener->ssh->ReloadUsers());
    first.Update(listener->SetKeys());
  }
  return first;
}

std::vector<RouterView> RouterServer::Views() const {
  std::vector<RouterView> all;
  std::vector<std::uint64_t> questions;
  for (const auto& loop : loops_) questions.push_back(loop->AskForViews());
  const auto until = steady_clock::now() + kViewsWait;
  for (std::size_t i = 0; i < loops_.size(); ++i) {
    std::vector<RouterView> some = loops_[i]->Views(questions[i], until);
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  std::sort(all.begin(), all.end(),
            [](const RouterView& a, const RouterView& b) { return a.name.connection < b.name.connection; });
  return all;
}

std::vector<RouterServer::Bound> RouterServer::listeners() const {
  std::vector<Bound> out;
  for (const auto& listener : listeners_)
    out.push_back({listener->options.kind, listener->address, *listener->routers});
  return out;
}

RouterServer::SshLogins RouterServer::ssh_logins() const {
  SshLogins sum;
  for (const auto& listener : listeners_) {
    if (listener->ssh == nullptr) continue;
    const SshCounters& from = listener->ssh->counters();
    sum.good += from.accepted;
    sum.refused += from.refused;
    sum.failed += from.failed;
    sum.turned_away += from.turned_away;
  }
  return sum;
}

absl::Status RouterServer::CheckAlive() const {
  for (const auto& loop : loops_) RETURN_IF_ERROR(loop->CheckAlive());
  return absl::OkStatus();
}

}  // namespace virp::rtr_bridge
