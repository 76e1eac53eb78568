#include "lib/service/connection_gate.h"

#include <fcntl.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"

namespace virp::service {
namespace {

constexpr int kBacklog = 512;
// For each connection, the kernel doubles it. What it holds unread is gRPC's a moment later, and who shuts a socket
// down waits while gRPC reads from it: with the megabytes that autotuning gives, for seconds, in which all others go on
// sending. Enough for 4 MB/s at 50 ms of round trip.
constexpr int kReceiveBuffer = 192 << 10;
using Instant = std::chrono::steady_clock::time_point;
constexpr std::chrono::seconds kLeave{30};  // far more than gRPC ever takes to free a connection
constexpr std::chrono::seconds kTidy{1};
constexpr int kBurst = 64;         // accepted before ends are looked for again
constexpr int kRetryMillis = 100;  // after an accept that failed for want of descriptors or memory

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};

absl::StatusOr<HostPort> Split(const std::string& listen) {
  const std::size_t colon = listen.rfind(':');
  HostPort out;
  if (colon != std::string::npos) {
    const char* end = listen.data() + listen.size();
    const auto [stop, error] = std::from_chars(listen.data() + colon + 1, end, out.port);
    out.host = listen.substr(0, colon);
    const bool bracketed = out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']';
    if (bracketed) out.host = out.host.substr(1, out.host.size() - 2);
    const bool good_host = !out.host.empty() && (bracketed || out.host.find_first_of("[]:") == std::string::npos);
    if (error == std::errc() && stop == end && good_host) return out;
  }
  return InvalidArgument("listen address '{}': must be host:port or [v6]:port; 0.0.0.0 or [::] for all addresses",
                         listen);
}

std::optional<PeerPort> PeerOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return PeerPort{IpAddress::V4(&v4.sin_addr), ntohs(v4.sin_port)};
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    return PeerPort{IpAddress::V6(&v6.sin6_addr).Unmapped(), ntohs(v6.sin6_port)};
  }
  return std::nullopt;
}

std::uint16_t& PortOf(sockaddr* address) {
  return address->sa_family == AF_INET ? reinterpret_cast<sockaddr_in*>(address)->sin_port
                                       : reinterpret_cast<sockaddr_in6*>(address)->sin6_port;
}

absl::StatusOr<FileDescriptor> Bind(const addrinfo& info, const std::string& where) {
  FileDescriptor fd(socket(info.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  const int off = 0;
  // Not SO_REUSEPORT: a second process on the port must be an error.
  if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      (info.ai_family == AF_INET6 && setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) ||
      setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof(kReceiveBuffer)) != 0 ||
      bind(fd.get(), info.ai_addr, info.ai_addrlen) != 0) {
    return FailedPrecondition("cannot listen on {}: {}", where, std::strerror(errno));
  }
  return fd;
}

bool SameSocket(int one, int other) {
  struct stat a{}, b{};
  return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

struct Bound {
  std::vector<FileDescriptor> sockets;  // not listening yet
  std::uint16_t port = 0;
};

absl::StatusOr<Bound> BindAll(const std::string& listen) {
  ASSIGN_OR_RETURN(const HostPort where, Split(listen));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  if (failed != 0) return FailedPrecondition("cannot listen on {}: {}", listen, gai_strerror(failed));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);

  Bound bound{.sockets = {}, .port = where.port};
  for (addrinfo* info = found; info != nullptr; info = info->ai_next) {
    if (info->ai_family != AF_INET && info->ai_family != AF_INET6) continue;
    PortOf(info->ai_addr) = htons(bound.port);
    ASSIGN_OR_RETURN(FileDescriptor fd, Bind(*info, listen));
    sockaddr_storage name{};
    socklen_t size = sizeof(name);
    auto* generic = reinterpret_cast<sockaddr*>(&name);
    if (getsockname(fd.get(), generic, &size) != 0) return Internal("getsockname: {}", std::strerror(errno));
    bound.port = ntohs(PortOf(generic));
    bound.sockets.push_back(std::move(fd));
  }
  return bound;
}

}  // namespace

absl::StatusOr<PortHold> PortHold::Take(const std::string& listen) {
  ASSIGN_OR_RETURN(const HostPort where, Split(listen));
  PortHold hold;
  hold.address_ = listen;
  if (where.port != 0) return hold;
  ASSIGN_OR_RETURN(Bound bound, BindAll(listen));
  hold.address_ = listen.substr(0, listen.rfind(':') + 1) + std::to_string(bound.port);
  hold.sockets_ = std::move(bound.sockets);
  return hold;
}

struct ConnectionGate::Impl {
  struct Connection {
    FileDescriptor watch;  // a duplicate, to see the connection end
    PeerPort peer;
    int given = -1;  // the other owner's descriptor
  };
  // Ended, and maybe not freed by the other owner. As long as `watch` is open, no other socket has its inode number.
  struct Leaving {
    FileDescriptor watch;
    int given;
    std::uint64_t held;
    Instant at_last;  // then it counts as freed, whatever is known
  };

  GateLimits limits;
  std::vector<FileDescriptor> listeners;
  int port = 0;
  FileDescriptor epoll;
  FileDescriptor stop;
  Handoff handoff;
  RefusalHook on_refused;
  std::shared_ptr<ReceiveBudget> budget;
  std::thread thread;
  std::atomic<int> open = 0;
  // gRPC takes a connection in its own time, and does other work of its own on the thread that brings it. The gate must
  // go on meanwhile: so a second thread brings it.
  struct Accepted {
    int listener;
    FileDescriptor connection;
  };
  std::thread porter;
  Mutex mutex;
  std::condition_variable_any brought;
  std::deque<Accepted> to_bring ABSL_GUARDED_BY(mutex);
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  // Of the thread alone.
  absl::flat_hash_map<int, Connection> connections;
  absl::flat_hash_map<std::string, int> per_address;
  std::vector<Leaving> leaving;
  bool waiting = false;  // nobody is let in
  Instant next_look{};
  std::optional<Instant> tidy_at;  // after connections were closed for what they held

  bool Watch(int fd, std::uint32_t events) const;
  void Run();
  void Bring();
  bool Accept(int listener);
  void Admit(int listener, FileDescriptor connection, const PeerPort& peer);
  void Forget(int fd);
  void Look(Instant now);
  void Settle(Instant now);
  void CloseForUnread(const PeerPort& peer);
};

absl::StatusOr<std::unique_ptr<ConnectionGate>> ConnectionGate::Listen(const std::string& listen, GateLimits limits) {
  ASSIGN_OR_RETURN(Bound bound, BindAll(listen));
  for (const FileDescriptor& fd : bound.sockets) {
    if (::listen(fd.get(), kBacklog) != 0)
      return FailedPrecondition("cannot listen on {}: {}", listen, std::strerror(errno));
  }
  auto impl = std::make_unique<Impl>();
  impl->limits = limits;
  impl->port = bound.port;
  impl->listeners = std::move(bound.sockets);
  impl->epoll = FileDescriptor(epoll_create1(EPOLL_CLOEXEC));
  impl->stop = FileDescriptor(eventfd(0, EFD_CLOEXEC));
  bool good = impl->epoll && impl->stop && impl->Watch(impl->stop.get(), EPOLLIN);
  for (const FileDescriptor& fd : impl->listeners) good = good && impl->Watch(fd.get(), EPOLLIN);
  if (!good || impl->listeners.empty())
    return FailedPrecondition("cannot listen on {}: {}", listen, std::strerror(errno));
  return std::unique_ptr<ConnectionGate>(new ConnectionGate(std::move(impl)));
}

ConnectionGate::ConnectionGate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ConnectionGate::~ConnectionGate() {
  Stop();
}

void ConnectionGate::Start(Handoff handoff, RefusalHook on_refused, std::shared_ptr<ReceiveBudget> budget) {
  impl_->budget = std::move(budget);
  impl_->handoff = std::move(handoff);
  impl_->on_refused = std::move(on_refused);
  impl_->thread = std::thread([this] { impl_->Run(); });
  impl_->porter = std::thread([this] { impl_->Bring(); });
}

void ConnectionGate::Stop() {
  if (impl_->thread.joinable()) {
    const std::uint64_t one = 1;
    // An eventfd takes eight bytes or is full, and then the thread wakes just as well.
    WriteAll(impl_->stop.get(), {reinterpret_cast<const char*>(&one), sizeof(one)}, "eventfd").IgnoreError();
    impl_->thread.join();
    {
      const MutexLock lock(impl_->mutex);
      impl_->stopping = true;
    }
    impl_->brought.notify_all();
    impl_->porter.join();
  }
  impl_->listeners.clear();
}

int ConnectionGate::port() const {
  return impl_->port;
}
int ConnectionGate::open() const {
  return impl_->open;
}

bool ConnectionGate::Impl::Watch(int fd, std::uint32_t events) const {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  return epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void ConnectionGate::Impl::Run() {
  std::vector<epoll_event> events(64);
  while (true) {
    const bool looks = budget != nullptr && (!connections.empty() || !leaving.empty() || tidy_at);
    const int patience = looks ? static_cast<int>(kLook.count()) : -1;
    const int count = epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()), patience);
    if (count < 0 && errno != EINTR) return;
    if (looks) Look(std::chrono::steady_clock::now());
    bool accepted = true;
    // Ends first: a slot that came free counts for those who wait.
    for (int i = 0; i < count; ++i) Forget(events[static_cast<std::size_t>(i)].data.fd);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == stop.get()) return;
      for (const FileDescriptor& listener : listeners) {
        if (listener.get() == fd) accepted = Accept(fd) && accepted;
      }
    }
    // Out of descriptors: do not spin on the listener that stays readable, but do not miss the stop either.
    if (!accepted) {
      epoll_event ignored{};
      const FileDescriptor waiter(epoll_create1(EPOLL_CLOEXEC));
      if (waiter) epoll_wait(waiter.get(), &ignored, 1, kRetryMillis);
    }
  }
}

void ConnectionGate::Impl::Bring() {
  while (true) {
    Accepted next;
    {
      const MutexLock lock(mutex);
      brought.wait(mutex, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return stopping || !to_bring.empty(); });
      if (stopping) return;
      next = std::move(to_bring.front());
      to_bring.pop_front();
    }
    handoff(next.listener, std::move(next.connection));
  }
}

// False when the system lacks what a connection needs.
bool ConnectionGate::Impl::Accept(int listener) {
  for (int burst = 0; burst < (limits.one_by_one ? 1 : kBurst); ++burst) {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    FileDescriptor connection(
        accept4(listener, reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      return errno == EAGAIN;
    }
    if (const std::optional<PeerPort> peer = PeerOf(address)) Admit(listener, std::move(connection), *peer);
  }
  return true;
}

void ConnectionGate::Impl::Admit(int listener, FileDescriptor connection, const PeerPort& peer) {
  if (open >= limits.max_connections) return on_refused(peer.address, "TOO_MANY_CONNECTIONS");
  const std::string name = peer.address.ToString();
  const auto of_peer = per_address.find(name);
  if (of_peer != per_address.end() && of_peer->second >= limits.max_per_address) {
    return on_refused(peer.address, "TOO_MANY_FROM_ADDRESS");
  }
  FileDescriptor duplicate(fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
  const int on = 1;
  setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  // Without EPOLLIN: bytes are not our business, only that it ends.
  if (!duplicate || !Watch(connection.get(), EPOLLRDHUP)) return;
  ++per_address[name];
  ++open;
  if (budget != nullptr) budget->Opened(peer);
  const int key = connection.get();
  connections[key] = {std::move(connection), peer, duplicate.get()};
  if (limits.one_by_one) return handoff(listener, std::move(duplicate));
  {
    const MutexLock lock(mutex);
    to_bring.push_back({listener, std::move(duplicate)});
  }
  brought.notify_all();
}

void ConnectionGate::Impl::Forget(int fd) {
  const auto found = connections.find(fd);
  if (found == connections.end()) return;
  const auto count = per_address.find(found->second.peer.address.ToString());
  if (--count->second == 0) per_address.erase(count);
  // Not by closing: epoll's interest lasts as long as any duplicate, and the other owner may still have its own.
  epoll_ctl(epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
  if (budget != nullptr) {
    Connection& ended = found->second;
    budget->Arrived(ended.peer, BytesReceived(fd));
    const std::uint64_t held = budget->Ended(ended.peer);
    leaving.push_back({std::move(ended.watch), ended.given, held, std::chrono::steady_clock::now() + kLeave});
  }
  connections.erase(found);
  --open;
}

void ConnectionGate::Impl::Look(Instant now) {
  if (now < next_look) return;
  next_look = now + kLook;
  for (const auto& [fd, connection] : connections) budget->Arrived(connection.peer, BytesReceived(fd));
  Settle(now);
  const std::vector<PeerPort> excess = budget->Excess();
  if (!excess.empty() && ResidentBytes() >= budget->limits().resident) {
    for (const PeerPort& peer : excess) CloseForUnread(peer);
    if (!tidy_at) tidy_at = now + kTidy;
  }
  if (tidy_at && now >= *tidy_at) {
    malloc_trim(0);  // else the process stays as large as it was, and the next little excess closes somebody
    tidy_at.reset();
  }
}

// What has ended and is freed now; then, whether there is room for others.
void ConnectionGate::Impl::Settle(Instant now) {
  std::erase_if(leaving, [&](const Leaving& ended) {
    if (now < ended.at_last && SameSocket(ended.watch.get(), ended.given)) return false;
    budget->Freed(ended.held);
    return true;
  });
  if (budget->full() == waiting) return;
  waiting = !waiting;
  if (!waiting) malloc_trim(0);  // it is freed now; else the process stays as large, and grows from there
  for (const FileDescriptor& listener : listeners) {
    if (waiting)
      epoll_ctl(epoll.get(), EPOLL_CTL_DEL, listener.get(), nullptr);
    else
      Watch(listener.get(), EPOLLIN);
  }
}

void ConnectionGate::Impl::CloseForUnread(const PeerPort& peer) {
  const auto found = std::find_if(connections.begin(), connections.end(),
                                  [&](const auto& connection) { return connection.second.peer == peer; });
  if (found == connections.end()) return;
  const int fd = found->first;
  shutdown(fd, SHUT_RDWR);  // of every duplicate: the other owner reads an end
  Forget(fd);
  on_refused(peer.address, "UNREAD_MESSAGES");
}

}  // namespace virp::service
