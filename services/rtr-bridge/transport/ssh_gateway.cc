#include "services/rtr-bridge/transport/ssh_gateway.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "lib/base/status.h"
#include "lib/service/logging.h"
#include "services/rtr-bridge/transport/ssh_pump.h"

namespace virp::rtr_bridge {
namespace {

// Of failures that strangers can cause: so many lines at once, then one in a while.
constexpr int kLinesAtOnce = 20;
constexpr std::chrono::seconds kLineEvery{1};

}  // namespace

struct SshGateway::Bind {
  SshBindPtr bind;
  Mutex mutex;  // libssh copies the host keys out of it for each session
};

struct SshGateway::Connection {
  FileDescriptor socket;
  IpAddress address;
  std::uint16_t port = 0;
  std::shared_ptr<void> seat;
  std::atomic<bool> authenticated{false};
  std::atomic<bool> done{false};
  std::jthread thread;
};

SshGateway::SshGateway(SshOptions options, OnRouter on_router)
    : options_(std::move(options)),
      on_router_(std::move(on_router)),
      failures_(kLineEvery, kLinesAtOnce, clock_),
      bind_(std::make_unique<Bind>()) {}

absl::StatusOr<std::unique_ptr<SshGateway>> SshGateway::Make(SshOptions options, OnRouter on_router) {
  if (options.users.keys.empty() && options.users.passwords.empty())
    return InvalidArgument("SSH needs a file of users' keys or of their passwords: without one nobody can come in");
  std::unique_ptr<SshGateway> gateway(new SshGateway(std::move(options), std::move(on_router)));
  ASSIGN_OR_RETURN(gateway->bind_->bind, OpenSshBind(gateway->options_.host_keys));
  RETURN_IF_ERROR(gateway->ReloadUsers());
  return gateway;
}

SshGateway::~SshGateway() {
  Stop();
}

absl::Status SshGateway::ReloadUsers() {
  ASSIGN_OR_RETURN(auto read, SshUsers::Read(options_.users));
  const MutexLock lock(mutex_);
  users_ = std::move(read);
  return absl::OkStatus();
}

std::shared_ptr<const SshUsers> SshGateway::users() const {
  const MutexLock lock(mutex_);
  return users_;
}

std::size_t SshGateway::connections() const {
  const MutexLock lock(mutex_);
  return connections_.size();
}

void SshGateway::Reap() {
  std::list<std::unique_ptr<Connection>> gone;  // joined outside the lock
  const MutexLock lock(mutex_);
  for (auto at = connections_.begin(); at != connections_.end();) {
    const auto next = std::next(at);
    if ((*at)->done) gone.splice(gone.end(), connections_, at);
    at = next;
  }
}

void SshGateway::Take(FileDescriptor socket, const IpAddress& address, std::uint16_t port, std::shared_ptr<void> seat) {
  Reap();
  auto connection = std::make_unique<Connection>();
  connection->socket = std::move(socket);
  connection->address = address;
  connection->port = port;
  connection->seat = std::move(seat);
  const MutexLock lock(mutex_);
  const auto strangers = std::count_if(connections_.begin(), connections_.end(),
                                       [](const auto& at) { return !at->authenticated && !at->done; });
  if (stopping_ || connections_.size() >= options_.max_connections ||
      static_cast<std::size_t>(strangers) >= options_.max_unauthenticated) {
    ++counters_.turned_away;
    if (const auto left_out = failures_.Admit()) {
      service::LogInfo("an SSH connection was turned away: there are too many",
                       {{"peer", address.ToString()}, {"strangers", strangers}, {"left_out", *left_out}});
    }
    return;
  }
  Connection& at = *connection;
  connections_.push_back(std::move(connection));
  at.thread = std::jthread([this, &at](const std::stop_token& stop) { Serve(stop, at); });
}

void SshGateway::Stop() {
  std::list<std::unique_ptr<Connection>> connections;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    connections.swap(connections_);
  }
  for (auto& connection : connections) connection->thread.request_stop();
  connections.clear();  // joins
}

void SshGateway::Serve(const std::stop_token& stop, Connection& connection) {
  SshPumpOptions how;
  how.deadline = std::chrono::steady_clock::now() + options_.login_timeout;
  how.max_attempts = options_.max_attempts;
  how.flush_timeout = options_.flush_timeout;
  how.stall_timeout = options_.stall_timeout;
  how.users = users();
  how.stop = stop;
  auto pump = [&]() -> absl::StatusOr<std::unique_ptr<SshPump>> {
    const MutexLock lock(bind_->mutex);
    return SshPump::Make(bind_->bind.get(), std::move(connection.socket), how);
  }();
  absl::Status ended = pump.status();
  if (ended.ok()) ended = (*pump)->LogIn();
  if (pump.ok()) counters_.refused += static_cast<std::uint64_t>((*pump)->refused());
  if (!ended.ok()) {
    ++counters_.failed;
    if (const auto left_out = failures_.Admit()) {
      service::LogStatus(service::LogLevel::kInfo, "an SSH connection was ended before it spoke RTR", ended,
                         {{"peer", connection.address.ToString()}, {"left_out", *left_out}});
    }
  } else {
    connection.authenticated = true;
    ++counters_.accepted;
    on_router_({(*pump)->TakeSocket(), connection.seat, connection.address, connection.port, (*pump)->identity()});
    ended = (*pump)->Run();
  }
  if (pump.ok()) pump->reset();
  connection.seat.reset();
  connection.done = true;
}

}  // namespace virp::rtr_bridge
