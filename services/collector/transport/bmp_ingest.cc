#include "services/collector/transport/bmp_ingest.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>

#include "lib/base/status.h"
#include "lib/base/tcp.h"
#include "lib/service/logging.h"

namespace virp::collector {
namespace {

constexpr std::size_t kReadSize = std::size_t{64} << 10;
constexpr int kTickMs = 100;
constexpr int kMaxAccepts = 64;  // in a row, before those who are in get their turn
constexpr std::chrono::milliseconds kSyncPace{20};
constexpr std::uint64_t kFirstConnection = 1'000'000;  // ids below are listeners

}  // namespace

struct BmpIngest::Router {
  const BmpRouterOptions* options = nullptr;
  std::unique_ptr<BmpRouter> router;
  BmpDialer dialer;
  bool told_connected = false;
  UnixNanos told_bytes = 0;
};

// One TCP connection, and how its Initiation finds its router.
struct BmpIngest::Connection final : BmpBinder {
  Connection(BmpIngest& owner, std::uint64_t number, FileDescriptor fd, IpAddress from, Router* target)
      : ingest(owner),
        id(number),
        socket(std::move(fd)),
        address(from),
        dialled(target),
        since(owner.clock_.Steady()),
        session(*this) {}

  absl::StatusOr<BmpRouter*> Bind(const bmp::Initiation& initiation) override;

  BmpIngest& ingest;
  const std::uint64_t id;
  FileDescriptor socket;
  const IpAddress address;
  Router* const dialled;  // null: it connected to us
  const std::chrono::steady_clock::time_point since;
  bool connecting = false;
  bool closed = false;
  BmpSession session;
};

absl::StatusOr<BmpRouter*> BmpIngest::Connection::Bind(const bmp::Initiation& initiation) {
  const std::string& sys_name = initiation.sys_name;
  for (const auto& candidate : ingest.routers_) {
    const BmpRouterOptions& options = *candidate->options;
    const auto& addresses = options.addresses;
    const bool mine = dialled != nullptr ? candidate.get() == dialled
                                         : std::find(addresses.begin(), addresses.end(), address) != addresses.end();
    if (!mine || (!options.sys_name.empty() && options.sys_name != sys_name)) continue;
    BmpRouter& router = *candidate->router;
    if (router.session_up()) {
      ++ingest.counters_.second_sessions;
      router.RefusedSession(address.ToString());
      return AlreadyExists("the router of source {} has a BMP session", options.source);
    }
    router.Connected(address.ToString(), options.md5_key.empty() ? "plain" : "tcp-md5", initiation);
    candidate->dialer.Succeeded();
    service::LogInfo("BMP session",
                     {{"source", options.source}, {"address", address.ToString()}, {"sys_name", sys_name}});
    return &router;
  }
  ++ingest.counters_.unknown_senders;
  return PermissionDenied("no router at {} is called '{}'", address.ToString(), sys_name);
}

BmpIngest::BmpIngest(BmpIngestOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), tables_(options_.bmp), buffer_(kReadSize, '\0') {}

BmpIngest::~BmpIngest() {
  Stop();
}

absl::Status BmpIngest::Start(deliver::Outbox& outbox, Liveness& liveness) {
  RETURN_IF_ERROR(CheckBmpOptions(options_.bmp));
  outbox_ = &outbox;
  liveness_ = &liveness;
  epoll_ = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return ErrnoStatus(errno, "cannot make", "an epoll descriptor");
  for (const HostPort& at : options_.listen) {
    ASSIGN_OR_RETURN(FileDescriptor socket, ListenTcp(at));
    for (const BmpRouterOptions& router : options_.bmp.routers) {
      for (const IpAddress& address : router.addresses) {
        if (!router.md5_key.empty()) RETURN_IF_ERROR(SetMd5Key(socket.get(), address, router.md5_key));
      }
    }
    ASSIGN_OR_RETURN(const int port, LocalPort(socket.get()));
    Watch(socket.get(), EPOLLIN, listeners_.size());
    ports_.push_back(port);
    listeners_.push_back(std::move(socket));
  }
  {
    const MutexLock lock(tables_.mutex());
    batch_ = std::make_unique<BmpBatch>(tables_, outbox, stopping_);
    for (const BmpRouterOptions& options : options_.bmp.routers) {
      auto router = std::make_unique<Router>();
      router->options = &options;
      router->router =
          std::make_unique<BmpRouter>(options_.bmp, options, *tables_.Find(options.source), *batch_, clock_);
      routers_.push_back(std::move(router));
      liveness.Add(options.source, Path::kBmp, false);
    }
  }
  next_id_ = kFirstConnection;
  thread_ = std::jthread([this] { Run(); });
  syncer_ = std::jthread([this](const std::stop_token& stop) { SyncLoop(stop); });
  return absl::OkStatus();
}

void BmpIngest::Stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  thread_.join();
  syncer_.request_stop();
  syncer_.join();
}

void BmpIngest::ForEachRouter(const std::function<void(const BmpRouter&)>& visit) const {
  const MutexLock lock(tables_.mutex());
  for (const auto& router : routers_) visit(*router->router);
}

std::vector<BmpRouterStatus> BmpIngest::Status() const {
  std::vector<BmpRouterStatus> out;
  ForEachRouter([&](const BmpRouter& router) { out.push_back(router.Status()); });
  return out;
}

absl::Status BmpIngest::Restate(std::string_view source, bool tables) {
  const MutexLock lock(tables_.mutex());
  for (const auto& router : routers_) {
    if (router->options->source != source) continue;
    router->router->Restate(tables);
    return absl::OkStatus();
  }
  return NotFound("no BMP router of source {}", source);
}

void BmpIngest::LostFrame(std::string_view source) {
  const MutexLock lock(tables_.mutex());
  for (const auto& router : routers_) {
    if (router->options->source == source) router->router->LostFrame();
  }
}

void BmpIngest::Watch(int socket, std::uint32_t events, std::uint64_t id, bool change) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  ::epoll_ctl(epoll_.get(), change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event);
}

void BmpIngest::Run() {
  std::array<epoll_event, 64> events{};
  auto next_tick = clock_.Steady();
  bool more = false;
  while (!stopping_) {
    const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), more ? 0 : kTickMs);
    const MutexLock lock(tables_.mutex());
    for (int i = 0; i < ready && !stopping_; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      const std::uint64_t id = event.data.u64;  // a copy: the kernel's structure is packed, nothing may refer into it
      if (id < kFirstConnection) {
        Accept(listeners_[id].get());
      } else if (const auto at = connections_.find(id); at != connections_.end()) {
        Serve(*at->second, event.events);
      }
    }
    for (const std::uint64_t id : std::exchange(closed_, {})) connections_.erase(id);
    connection_count_ = connections_.size();
    if (ready <= 0 || clock_.Steady() >= next_tick) {
      Tick();
      next_tick = clock_.Steady() + std::chrono::milliseconds(kTickMs);
    }
    more = false;
    for (const auto& router : routers_) more |= router->router->RestateSome();
    const absl::Status flushed = batch_->Flush();
    if (!flushed.ok())
      service::LogStatus(service::LogLevel::kError, "what BMP routers said is owed to the spool", flushed);
    to_sync_ = batch_->last_number();
    for (const auto& source : batch_->TakeOpenedEpochs()) {
      for (const auto& router : routers_) {
        if (router->options->source == source) router->router->EpochOpened();
      }
    }
    TellLiveness();
  }
  const MutexLock lock(tables_.mutex());
  connections_.clear();
  connection_count_ = 0;
  TellLiveness();
}

// Everybody who has no business here is closed before anything is kept of them.
void BmpIngest::Accept(int listening) {
  for (int i = 0; i < kMaxAccepts; ++i) {
    auto accepted = AcceptTcp(listening);
    if (!accepted.ok()) return;
    const IpAddress& address = accepted->address;
    const bool known =
        std::any_of(options_.bmp.routers.begin(), options_.bmp.routers.end(), [&](const BmpRouterOptions& router) {
          return std::find(router.addresses.begin(), router.addresses.end(), address) != router.addresses.end();
        });
    if (!known) {
      ++counters_.unknown_senders;
      continue;
    }
    const auto same = std::count_if(connections_.begin(), connections_.end(), [&](const auto& entry) {
      return entry.second->dialled == nullptr && entry.second->address == address && !entry.second->closed;
    });
    if (connections_.size() >= options_.max_connections || static_cast<std::size_t>(same) >= options_.max_per_address) {
      ++counters_.over_cap;
      continue;
    }
    ++counters_.accepted;
    const std::uint64_t id = next_id_++;
    auto connection = std::make_unique<Connection>(*this, id, std::move(accepted->socket), address, nullptr);
    Watch(connection->socket.get(), EPOLLIN, id);
    connections_.emplace(id, std::move(connection));
  }
}

void BmpIngest::Dial(Router& router) {
  const auto target = ParseHostPort(router.options->dial);  // both were checked
  const auto ip = IpAddress::Parse(target->host);
  router.dialer.Began();
  auto socket = BeginConnect(*ip, target->port, router.options->md5_key);
  if (!socket.ok()) {
    ++counters_.dials_failed;
    router.dialer.Ended(clock_.Steady());
    return;
  }
  const std::uint64_t id = next_id_++;
  auto connection = std::make_unique<Connection>(*this, id, *std::move(socket), *ip, &router);
  connection->connecting = true;
  Watch(connection->socket.get(), EPOLLOUT, id);
  connections_.emplace(id, std::move(connection));
}

void BmpIngest::Serve(Connection& connection, std::uint32_t events) {
  if (connection.closed) return;
  if (!connection.connecting) return Read(connection);
  if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
  const absl::Status result = ConnectResult(connection.socket.get(), connection.dialled->options->dial);
  if (!result.ok()) {
    ++counters_.dials_failed;
    return Close(connection, absl::OkStatus());
  }
  connection.connecting = false;
  Watch(connection.socket.get(), EPOLLIN, connection.id, /*change=*/true);
}

// One read for each time that it is readable, so that no router keeps the others waiting.
void BmpIngest::Read(Connection& connection) {
  const ssize_t got = ::recv(connection.socket.get(), buffer_.data(), buffer_.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return Close(connection, absl::OkStatus());
  counters_.bytes += static_cast<std::uint64_t>(got);
  const absl::Status fed = connection.session.Feed(std::string_view(buffer_).substr(0, static_cast<std::size_t>(got)));
  if (!fed.ok()) Close(connection, fed);
}

void BmpIngest::Close(Connection& connection, const absl::Status& why) {
  if (connection.closed) return;
  connection.closed = true;
  closed_.push_back(connection.id);
  if (!why.ok()) {
    ++counters_.ended_by_error;
    service::LogStatus(service::LogLevel::kWarning, "a BMP connection was ended", why,
                       {{"address", connection.address.ToString()}});
  }
  if (connection.dialled != nullptr) connection.dialled->dialer.Ended(clock_.Steady());
}

void BmpIngest::Tick() {
  const auto now = clock_.Steady();
  for (auto& [id, connection] : connections_) {
    if (connection->session.router() == nullptr && now - connection->since > options_.initiation_timeout) {
      Close(*connection, DeadlineExceeded("no Initiation came in time"));
    }
  }
  batch_->NoteEpochs();
  const bool paused = batch_->TakePaused();
  if (paused) service::LogStatus(service::LogLevel::kWarning, "BMP had to wait for the spool", batch_->problem());
  for (const auto& router : routers_) {
    router->router->Tick(paused);
    if (!router->options->dial.empty() && router->dialer.ShouldDial(now)) Dial(*router);
  }
}

// After what was said is in the outbox: a heartbeat covers it.
void BmpIngest::TellLiveness() {
  for (const auto& router : routers_) {
    const std::string& source = router->options->source;
    const bool connected = router->router->connected();
    if (std::exchange(router->told_connected, connected) != connected) liveness_->SetConnected(source, connected);
    const UnixNanos bytes = router->router->last_bytes();
    if (std::exchange(router->told_bytes, bytes) != bytes) liveness_->SawBytes(source);
  }
}

// What was spooled is made durable in the background: routers send again what was lost, so nobody waits for it.
void BmpIngest::SyncLoop(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::uint64_t synced = 0;
  do {
    const std::uint64_t number = to_sync_;
    if (number > synced) {
      const absl::Status done = outbox_->Sync(number);
      if (!done.ok()) service::LogStatus(service::LogLevel::kError, "the spool cannot be synced", done);
      synced = number;
    }
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, kSyncPace, [] { return false; });
  } while (!stop.stop_requested() || to_sync_ > synced);
}

}  // namespace virp::collector
