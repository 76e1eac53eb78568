#include "services/collector/transport/frame_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lib/base/error_info.h"
#include "lib/base/ip.h"
#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/service/logging.h"

namespace virp::collector {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr int kBacklog = 128;
constexpr int kTickMs = 200;
constexpr std::size_t kReadSize = 64 << 10;
constexpr std::chrono::milliseconds kFullPause{100};

std::chrono::steady_clock::time_point Now() { return std::chrono::steady_clock::now(); }

}  // namespace

absl::StatusOr<std::unique_ptr<FrameListener>> FrameListener::Start(FrameIntake& intake, Outbox& outbox, Liveness& liveness, const Clock& clock,
                                                                    ConnectionCaps caps) {
  std::unique_ptr<FrameListener> listener(new FrameListener(intake, outbox, liveness, clock, caps));
  RETURN_IF_ERROR(listener->Listen());
  listener->acceptor_ = std::jthread([at = listener.get()](const std::stop_token& stop) { at->Accept(stop); });
  return listener;
}

FrameListener::~FrameListener() {
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
  if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
}

absl::Status FrameListener::Listen() {
  const std::string& listen = intake_.options().listen;
  RETURN_IF_ERROR(listen.starts_with(kUnix) ? ListenUnix(listen.substr(kUnix.size())) : ListenTcp(listen));
  if (::listen(listening_.get(), kBacklog) != 0) return ErrnoStatus(errno, "cannot listen on", listen);
  return absl::OkStatus();
}

absl::Status FrameListener::ListenUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return InvalidArgument("a Unix socket's path has 1 to {} bytes", sizeof(address.sun_path) - 1);
  std::copy(path.begin(), path.end(), address.sun_path);
  struct stat present{};
  if (::lstat(path.c_str(), &present) == 0 && S_ISSOCK(present.st_mode)) ::unlink(path.c_str());
  listening_ = FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const mode_t before = ::umask(0117);
  const int bound = ::bind(listening_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  ::umask(before);
  if (bound != 0) return ErrnoStatus(error, "cannot bind", path);
  unix_path_ = path;
  return absl::OkStatus();
}

absl::Status FrameListener::ListenTcp(const std::string& text) {
  ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(text));
  ASSIGN_OR_RETURN(const IpAddress ip, IpAddress::Parse(at.host));
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (ip.is_v4()) {
    auto& address = reinterpret_cast<sockaddr_in&>(storage);
    address.sin_family = AF_INET;
    address.sin_port = htons(at.port);
    std::memcpy(&address.sin_addr, ip.bytes().data(), 4);
    size = sizeof(address);
  } else {
    auto& address = reinterpret_cast<sockaddr_in6&>(storage);
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(at.port);
    std::memcpy(&address.sin6_addr, ip.bytes().data(), 16);
    size = sizeof(address);
  }
  listening_ = FileDescriptor(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  ::setsockopt(listening_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (::bind(listening_.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0) return ErrnoStatus(errno, "cannot bind", text);
  ::getsockname(listening_.get(), reinterpret_cast<sockaddr*>(&storage), &size);
  port_ = ntohs(ip.is_v4() ? reinterpret_cast<sockaddr_in&>(storage).sin_port : reinterpret_cast<sockaddr_in6&>(storage).sin6_port);
  return absl::OkStatus();
}

// Who it is, or why it may not come in.
absl::StatusOr<std::string> FrameListener::Admit(int socket) const {
  const FrameListenerOptions& options = intake_.options();
  if (!unix_path_.empty()) {
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return ErrnoStatus(errno, "cannot tell who connected to", unix_path_);
    const bool allowed = peer.uid == 0 || peer.uid == ::geteuid() || (options.uid && peer.uid == *options.uid);
    if (!allowed) return PermissionDenied("user {} may not connect to {}", peer.uid, unix_path_);
    return fmt::format("uid {}", peer.uid);
  }
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return ErrnoStatus(errno, "cannot tell who connected to", options.listen);
  const IpAddress address = storage.ss_family == AF_INET ? IpAddress::V4(&reinterpret_cast<sockaddr_in&>(storage).sin_addr)
                                                         : IpAddress::V6(&reinterpret_cast<sockaddr_in6&>(storage).sin6_addr).Unmapped();
  const std::string text = address.ToString();
  const bool loopback = text.starts_with("127.") || text == "::1";
  const bool listed = std::find(options.allow.begin(), options.allow.end(), text) != options.allow.end();
  if (options.allow.empty() ? !loopback : !listed) return PermissionDenied("{} is not on the allow list of {}", text, options.listen);
  return text;
}

void FrameListener::Reap() {
  std::vector<std::unique_ptr<Peer>> gone;
  const MutexLock lock(mutex_);
  for (auto& peer : peers_) {
    if (peer->done) gone.push_back(std::move(peer));
  }
  std::erase(peers_, nullptr);
}

void FrameListener::Accept(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Reap();
    pollfd ready{listening_.get(), POLLIN, 0};
    if (::poll(&ready, 1, kTickMs) <= 0) continue;
    FileDescriptor socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) continue;
    const auto who = Admit(socket.get());
    const MutexLock lock(mutex_);
    const auto same = who.ok() ? std::count_if(peers_.begin(), peers_.end(), [&](const auto& peer) { return peer->address == *who; }) : 0;
    // Version 1 names no source in the frame, so its source is bound to one connection at a time.
    const bool taken = intake_.options().spelling != frame::Spelling::kV2 && !peers_.empty();
    if (!who.ok() || taken || peers_.size() >= caps_.all || static_cast<std::size_t>(same) >= caps_.per_address) {
      ++counters_.refused;
      continue;  // closed at once
    }
    ++counters_.accepted;
    auto peer = std::make_unique<Peer>();
    peer->address = *who;
    peer->socket = std::move(socket);
    Peer& at = *peer;
    peer->thread = std::jthread([this, &at](const std::stop_token& end) { Serve(end, at); });
    peers_.push_back(std::move(peer));
  }
}

absl::Status FrameListener::TakeAll(frame::FrameSplitter& splitter, const std::stop_token& stop, bool& told) {
  while (true) {
    ASSIGN_OR_RETURN(const auto frame, splitter.Next(Now()));
    if (!frame) return absl::OkStatus();
    auto taken = intake_.Take(*frame);
    // A full spool is push-back: the producer waits, nothing is lost here.
    while (absl::IsResourceExhausted(taken.status()) && !stop.stop_requested()) {
      std::this_thread::sleep_for(kFullPause);
      taken = intake_.Take(*frame);
    }
    RETURN_IF_ERROR(taken.status());
    ++(*taken ? counters_.frames : counters_.duplicates);
    if (!told) liveness_.SetConnected(intake_.SourceOf(*frame), true);
    told = true;
  }
}

void FrameListener::Serve(const std::stop_token& stop, Peer& peer) {
  const FrameListenerOptions& options = intake_.options();
  frame::FrameSplitter splitter = options.spelling ? frame::FrameSplitter(*options.spelling)
                                                   : frame::FrameSplitter([this](const frame::Frame& frame) { return intake_.TagIsGood(frame); });
  std::string buffer(kReadSize, '\0');
  absl::Status ended;
  bool told = false;
  while (!stop.stop_requested() && ended.ok()) {
    pollfd ready{peer.socket.get(), POLLIN, 0};
    const int polled = ::poll(&ready, 1, kTickMs);
    if (polled < 0 && errno != EINTR) break;
    if (polled > 0) {
      const ssize_t got = ::recv(peer.socket.get(), buffer.data(), buffer.size(), 0);
      if (got <= 0) break;
      splitter.Add(std::string_view(buffer).substr(0, static_cast<std::size_t>(got)), Now());
    }
    ended = TakeAll(splitter, stop, told);
    if (ended.ok() && polled > 0) ended = outbox_.Sync(outbox_.spool().stats().last);
  }
  if (ended.ok()) ended = splitter.Finish();
  if (!ended.ok()) {
    ++counters_.ended_by_error;
    service::LogStatus(service::LogLevel::kWarning, "a producer's connection was ended", ended, {{"listener", options.listen}, {"peer", peer.address}});
  }
  if (told) liveness_.SetConnected(options.source, false);
  ::shutdown(peer.socket.get(), SHUT_RDWR);
  peer.done = true;
}

}  // namespace virp::collector
