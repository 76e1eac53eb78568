#include "services/collector/transport/frame_listener.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/base/tcp.h"
#include "lib/base/units.h"

namespace virp::collector {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr int kBacklog = 512;
constexpr int kTickMs = 200;
constexpr std::size_t kReadSize = 64 << 10;
constexpr std::chrono::milliseconds kFullPause{100};
constexpr std::chrono::milliseconds kTurnPause{2};
constexpr std::chrono::milliseconds kNoDescriptors{20};  // after an accept that failed; the listener stays readable

std::chrono::steady_clock::time_point Now() {
  return std::chrono::steady_clock::now();
}

absl::Status SecondConnection(const FrameListenerOptions& options) {
  return WithReason(AlreadyExists("source {} has a connection", options.source), "SECOND_CONNECTION");
}

std::string EndReason(const absl::Status& why) {
  if (absl::IsDeadlineExceeded(why)) return "TOO_SLOW";
  if (absl::IsPermissionDenied(why)) return "DENIED";
  return GetReason(why);
}

}  // namespace

struct FrameListener::Peer {
  std::string address;  // of TCP; "uid N" of a Unix socket
  FileDescriptor socket;
  std::unique_ptr<service::TlsStream> tls;  // only used by the thread, as is what follows
  std::optional<service::Identity> identity;
  std::string_view last_read;         // of Serve's buffer
  std::set<std::string> told;         // sources that it has brought news of
  std::atomic<bool> speaking{false};  // has brought news: for version 1 it is the connection that its source has
  std::atomic<bool> done{false};
  std::jthread thread;

  // Its end is on the way, or here: what it sent before is still to be read.
  bool HungUp() const {
    pollfd at{socket.get(), POLLRDHUP, 0};
    return ::poll(&at, 1, 0) > 0 && (at.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  // As TlsStream::Read.
  absl::StatusOr<std::optional<std::size_t>> Read(std::string& buffer) const {
    if (tls != nullptr) return tls->Read(buffer);
    const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    return static_cast<std::size_t>(std::max<ssize_t>(got, 0));  // a reset is an end
  }
};

absl::StatusOr<std::unique_ptr<FrameListener>> FrameListener::Start(FrameIntake& intake, deliver::Outbox& outbox,
                                                                    Liveness& liveness, const Clock& clock,
                                                                    const ListenerTls* tls, ConnectionCaps caps) {
  std::unique_ptr<FrameListener> listener(new FrameListener(intake, outbox, liveness, clock, caps));
  RETURN_IF_ERROR(listener->SetUpTls(tls));
  RETURN_IF_ERROR(listener->Listen());
  listener->acceptor_ = std::jthread([at = listener.get()](const std::stop_token& stop) { at->Accept(stop); });
  return listener;
}

FrameListener::FrameListener(FrameIntake& intake, deliver::Outbox& outbox, Liveness& liveness, const Clock& clock,
                             ConnectionCaps caps)
    : intake_(intake), outbox_(outbox), liveness_(liveness), clock_(clock), caps_(caps) {}

FrameListener::~FrameListener() {
  Stop();
}

void FrameListener::Stop() {
  if (acceptor_.joinable()) {
    acceptor_.request_stop();
    acceptor_.join();
  }
  std::vector<std::unique_ptr<Peer>> peers;
  {
    const MutexLock lock(mutex_);
    peers.swap(peers_);
  }
  for (auto& peer : peers) ::shutdown(peer->socket.get(), SHUT_RDWR);
  peers.clear();  // joins
  open_ = 0;
  listening_.Reset();
  if (!unix_path_.empty()) ::unlink(std::exchange(unix_path_, "").c_str());
}

absl::Status FrameListener::SetUpTls(const ListenerTls* tls) {
  if (!options().tls) return absl::OkStatus();
  if (tls == nullptr) return InvalidArgument("{}: TLS is asked for, and there is no certificate", options().listen);
  tls_ = *tls;
  const auto clients = options().clients.empty() ? service::TlsAcceptor::ClientCertificate::kNone
                                                 : service::TlsAcceptor::ClientCertificate::kRequired;
  ASSIGN_OR_RETURN(acceptor_tls_, service::TlsAcceptor::Make(tls_->files, clients, clock_));
  return absl::OkStatus();
}

absl::Status FrameListener::Listen() {
  const std::string& listen = options().listen;
  if (listen.starts_with(kUnix)) return ListenUnix(listen.substr(kUnix.size()));
  ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(listen));
  ASSIGN_OR_RETURN(listening_, ListenTcp(at));
  ASSIGN_OR_RETURN(port_, LocalPort(listening_.get()));
  return absl::OkStatus();
}

absl::Status FrameListener::ListenUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path))
    return InvalidArgument("a Unix socket's path has 1 to {} bytes", sizeof(address.sun_path) - 1);
  std::copy(path.begin(), path.end(), address.sun_path);
  struct stat present{};
  if (::lstat(path.c_str(), &present) == 0 && S_ISSOCK(present.st_mode)) ::unlink(path.c_str());
  listening_ = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = ::umask(0117);
  const int bound = ::bind(listening_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  ::umask(before);
  if (bound != 0) return ErrnoStatus(error, "cannot bind", path);
  unix_path_ = path;
  if (::listen(listening_.get(), kBacklog) != 0) return ErrnoStatus(errno, "cannot listen on", path);
  return absl::OkStatus();
}

// Who it is, or why it may not come in.
absl::StatusOr<std::string> FrameListener::AdmitUser(int socket) const {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return ErrnoStatus(errno, "cannot tell who connected to", unix_path_);
  const auto& uid = options().uid;
  const bool allowed = peer.uid == 0 || peer.uid == ::geteuid() || (uid && peer.uid == *uid);
  if (!allowed)
    return WithReason(PermissionDenied("user {} may not connect to {}", peer.uid, unix_path_), "USER_NOT_ALLOWED");
  return fmt::format("uid {}", peer.uid);
}

absl::Status FrameListener::AdmitAddress(const std::string& address) const {
  const auto& allow = options().allow;
  const bool loopback = address.starts_with("127.") || address == "::1";
  const bool listed = std::find(allow.begin(), allow.end(), address) != allow.end();
  if (allow.empty() ? !loopback : !listed)
    return WithReason(PermissionDenied("{} is not on the allow list of {}", address, options().listen),
                      "ADDRESS_NOT_ALLOWED");
  return absl::OkStatus();
}

void FrameListener::Reap() {
  std::vector<std::unique_ptr<Peer>> gone;
  const MutexLock lock(mutex_);
  for (auto& peer : peers_) {
    if (peer->done) gone.push_back(std::move(peer));
  }
  std::erase(peers_, nullptr);
  open_ = peers_.size();
}

void FrameListener::Accept(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Reap();
    pollfd ready{listening_.get(), POLLIN, 0};
    if (::poll(&ready, 1, kTickMs) > 0 && !AcceptOne()) std::this_thread::sleep_for(kNoDescriptors);
  }
}

// Whoever may not come in is closed at once, before anything is read.
bool FrameListener::AcceptOne() {
  auto peer = std::make_unique<Peer>();
  absl::Status admitted;
  if (unix_path_.empty()) {
    auto accepted = AcceptTcp(listening_.get());
    if (!accepted.ok()) return false;
    peer->socket = std::move(accepted->socket);
    peer->address = accepted->address.ToString();
    admitted = AdmitAddress(peer->address);
  } else {
    peer->socket = FileDescriptor(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!peer->socket) return false;
    auto user = AdmitUser(peer->socket.get());
    admitted = user.status();
    if (user.ok()) peer->address = *std::move(user);
  }
  Reap();
  const MutexLock lock(mutex_);
  if (admitted.ok()) admitted = CheckRoom(*peer);
  if (!admitted.ok()) {
    ++counters_.refused;
    counters_.refused_by.Count(GetReason(admitted));
    Log("a producer was closed at the door", admitted, *peer);
    return true;
  }
  ++counters_.accepted;
  Peer& at = *peer;
  peers_.push_back(std::move(peer));
  open_ = peers_.size();
  at.thread = std::jthread([this, &at](const std::stop_token& end) { Run(end, at); });
  return true;
}

// Version 1 names no source in the frame, so its source is bound to one connection at a time: the one that brought news
// of it. Whoever only connects, or plays what was heard before, keeps nobody out.
FrameListener::Peer* FrameListener::SpeakerBeside(const Peer& peer) const {
  const auto at = std::find_if(peers_.begin(), peers_.end(), [&](const auto& other) {
    return other.get() != &peer && other->speaking && !other->done;
  });
  return at == peers_.end() ? nullptr : at->get();
}

// At the door, so that who is too much costs no thread. The producer of a version 1 source may be back before its last
// connection is read to its end.
absl::Status FrameListener::CheckRoom(const Peer& peer) const {
  if (peers_.size() >= caps_.all)
    return WithReason(ResourceExhausted("{} connections are open", caps_.all), "TOO_MANY_CONNECTIONS");
  const auto same =
      std::count_if(peers_.begin(), peers_.end(), [&](const auto& other) { return other->address == peer.address; });
  if (static_cast<std::size_t>(same) >= caps_.per_address)
    return WithReason(ResourceExhausted("{} connections of {} are open", same, peer.address), "TOO_MANY_FROM_ADDRESS");
  const Peer* const speaker = one_speaker() ? SpeakerBeside(peer) : nullptr;
  return speaker == nullptr || speaker->HungUp() ? absl::OkStatus() : SecondConnection(options());
}

// What was sent over connections that ended before this one comes first.
absl::Status FrameListener::AwaitTurn(const Peer& peer, const std::stop_token& stop) {
  if (!one_speaker() || peer.speaking) return absl::OkStatus();
  while (!stop.stop_requested()) {
    {
      const MutexLock lock(mutex_);
      const Peer* const speaker = SpeakerBeside(peer);
      if (speaker != nullptr && !speaker->HungUp()) return SecondConnection(options());
      const auto self = std::find_if(peers_.begin(), peers_.end(), [&](const auto& at) { return at.get() == &peer; });
      if (std::none_of(peers_.begin(), self, [](const auto& earlier) { return !earlier->done && earlier->HungUp(); }))
        return absl::OkStatus();
    }
    std::this_thread::sleep_for(kTurnPause);
  }
  return Unavailable("the listener stops");
}

absl::Status FrameListener::TakeAll(Peer& peer, frame::FrameSplitter& splitter, const std::stop_token& stop) {
  while (true) {
    const auto next = splitter.Next(Now());
    if (!next.ok()) return Unreadable(peer, next.status());
    const auto& frame = *next;
    if (!frame) return absl::OkStatus();
    RETURN_IF_ERROR(AwaitTurn(peer, stop));
    auto taken = intake_.Take(*frame);
    // A full spool is push-back: the producer waits, nothing is lost here.
    while (absl::IsResourceExhausted(taken.status()) && !stop.stop_requested()) {
      std::this_thread::sleep_for(kFullPause);
      taken = intake_.Take(*frame);
    }
    RETURN_IF_ERROR(taken.status());
    ++(taken->number ? counters_.frames : counters_.duplicates);
    if (taken->news) Tell(peer, intake_.SourceOf(*frame));
  }
}

// A source is connected from the first news of it on, until the last connection that brought some has ended: a frame
// that was heard before is no sign of life.
void FrameListener::Tell(Peer& peer, const std::string& source) {
  peer.speaking = true;
  if (!peer.told.insert(source).second) return;
  const MutexLock lock(mutex_);
  if (++speakers_[source] == 1) liveness_.SetConnected(source, true);
}

// `auto`: no reading of what came is by the source's key.
absl::Status FrameListener::Unreadable(const Peer& peer, absl::Status why) const {
  if (GetReason(why) == frame::ReasonName(frame::Reason::kBadTag)) intake_.Forged(options().source, peer.last_read);
  return why;
}

void FrameListener::Forget(const std::set<std::string>& told) {
  const MutexLock lock(mutex_);
  for (const std::string& source : told) {
    if (--speakers_[source] == 0) liveness_.SetConnected(source, false);
  }
}

// The handshake, and whether whoever made it may speak here.
absl::Status FrameListener::Secure(Peer& peer) {
  ASSIGN_OR_RETURN(peer.tls, acceptor_tls_->Accept(peer.socket.get(), tls_->handshake_timeout));
  if (!options().clients.empty()) {
    ASSIGN_OR_RETURN(peer.identity, tls_->callers->FromCertificate(peer.tls->peer_certificate_pem()));
    const auto& clients = options().clients;
    if (std::find(clients.begin(), clients.end(), peer.identity->spiffe_id) == clients.end()) {
      return WithReason(
          PermissionDenied("{} is not among the clients of {}", peer.identity->spiffe_id, options().listen),
          "SCOPE_DENIED");
    }
  }
  return absl::OkStatus();
}

void FrameListener::Run(const std::stop_token& stop, Peer& peer) {
  const absl::Status secured = acceptor_tls_ == nullptr ? absl::OkStatus() : Secure(peer);
  if (!secured.ok()) {
    ++counters_.refused_by_tls;
    Log("a producer was refused", secured, peer);
  } else if (const absl::Status ended = Serve(stop, peer); !ended.ok()) {
    ++counters_.ended_by_error;
    counters_.ended_by.Count(EndReason(ended));
    Log("a producer's connection was ended", ended, peer);
  }
  peer.tls.reset();  // says goodbye on the socket
  ::shutdown(peer.socket.get(), SHUT_RDWR);
  peer.done = true;
}

absl::Status FrameListener::Serve(const std::stop_token& stop, Peer& peer) {
  frame::FrameSplitter splitter =
      options().spelling ? frame::FrameSplitter(*options().spelling)
                         : frame::FrameSplitter([this](const frame::Frame& frame) { return intake_.TagIsGood(frame); });
  std::string buffer(kReadSize, '\0');
  // Finding out a spelling needs the key; otherwise each frame says which it needs.
  absl::Status ended = options().spelling ? absl::OkStatus() : intake_.CheckKeys();
  auto recheck = Now();
  while (!stop.stop_requested() && ended.ok()) {
    pollfd ready{peer.socket.get(), peer.tls == nullptr ? short{POLLIN} : peer.tls->poll_events(), 0};
    const int polled = ::poll(&ready, 1, kTickMs);
    if (polled < 0 && errno != EINTR) break;
    if (polled > 0) {
      const auto got = peer.Read(buffer);
      if (!got.ok()) ended = got.status();
      if (!ended.ok() || *got == 0) break;
      if (*got) splitter.Add(peer.last_read = std::string_view(buffer).substr(0, **got), Now());
    }
    ended = TakeAll(peer, splitter, stop);
    if (ended.ok() && polled > 0) ended = outbox_.Sync(outbox_.spool().stats().last);
    if (ended.ok() && peer.identity && Now() >= recheck) {
      ended = tls_->callers->Recheck(*peer.identity);
      recheck = Now() + tls_->recheck;
    }
  }
  if (ended.ok()) ended = Unreadable(peer, splitter.Finish());
  Forget(peer.told);
  return ended;
}

void FrameListener::Log(std::string_view what, const absl::Status& why, const Peer& peer) {
  const auto suppressed = log_limit_.Admit();
  if (!suppressed) return;
  service::LogStatus(service::LogLevel::kWarning, what, why,
                     {{"listener", options().listen}, {"peer", peer.address}, {"suppressed", *suppressed}});
}

}  // namespace virp::collector
