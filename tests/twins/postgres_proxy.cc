#include "tests/twins/postgres_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <utility>

#include "lib/base/bytes.h"

namespace virp::twins {
namespace {

constexpr const char* kSocketName = ".s.PGSQL.5432";
constexpr int kTickMs = 20;  // how soon the end is noticed
constexpr std::size_t kReadSize = 65'536;

sockaddr_un Address(const std::string& path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  if (path.size() >= sizeof(out.sun_path)) throw std::runtime_error("socket path too long: " + path);
  std::memcpy(out.sun_path, path.c_str(), path.size() + 1);
  return out;
}

bool SendAll(const FileDescriptor& to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace

struct PostgresProxy::Line {
  FileDescriptor client, server;
  std::string unread;    // what the client has said and is no whole message yet
  bool started = false;  // the startup message, which has no type byte, is through
  bool copied = false;   // rows went in since the last BEGIN or COMMIT
  bool cut_on_answer = false;
};

PostgresProxy::PostgresProxy(const std::string& server_folder)
    : target_(server_folder + "/" + kSocketName), listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_un at = Address(dir_.File(kSocketName));
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0 ||
      ::listen(listener_.get(), 64) != 0) {
    throw std::runtime_error("cannot listen at " + dir_.File(kSocketName));
  }
  acceptor_ = std::thread([this] { Accept(); });
}

PostgresProxy::~PostgresProxy() {
  stop_ = true;
  Release();
  acceptor_.join();
  std::vector<std::thread> carriers;
  {
    const MutexLock lock(mutex_);
    carriers.swap(carriers_);
  }
  for (std::thread& carrier : carriers) carrier.join();
}

void PostgresProxy::OnNextAppend(Strike strike) {
  const MutexLock lock(mutex_);
  strike_ = strike;
  armed_ = true;
  struck_ = false;
}

bool PostgresProxy::AwaitStruck(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const MutexLock lock(mutex_);
  while (!struck_) {
    if (changed_.wait_until(mutex_, deadline) == std::cv_status::timeout) return struck_;
  }
  return true;
}

void PostgresProxy::Release() {
  const MutexLock lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

void PostgresProxy::Mend() {
  ++mended_;
  cut_ = false;
}

void PostgresProxy::Accept() {
  while (!stop_) {
    if (cut_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(kTickMs));
      continue;
    }
    pollfd ready{listener_.get(), POLLIN, 0};
    if (::poll(&ready, 1, kTickMs) <= 0) continue;
    Line line;
    line.client.Reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    line.server.Reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un at = Address(target_);
    if (!line.client || ::connect(line.server.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0) continue;
    const MutexLock lock(mutex_);
    carriers_.emplace_back([this, carried = std::move(line)]() mutable { Carry(carried); });
  }
}

void PostgresProxy::Carry(Line& line) {
  const int mended = mended_;
  while (!stop_ && mended == mended_) {
    if (cut_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(kTickMs));
      continue;
    }
    pollfd ready[2] = {{line.client.get(), POLLIN, 0}, {line.server.get(), POLLIN, 0}};
    if (::poll(ready, 2, kTickMs) <= 0) continue;
    if (ready[0].revents != 0 && !FromClient(line)) break;
    if (ready[1].revents != 0 && !FromServer(line)) break;
  }
  line.client.Reset();
  line.server.Reset();
}

bool PostgresProxy::FromServer(Line& line) {
  char buffer[kReadSize];
  const ssize_t size = ::read(line.server.get(), buffer, sizeof(buffer));
  if (size <= 0) return false;
  if (!line.cut_on_answer) return SendAll(line.client, {buffer, static_cast<std::size_t>(size)});
  const MutexLock lock(mutex_);
  struck_ = true;
  changed_.notify_all();
  return false;
}

// Whole messages go on one by one. PostgreSQL 15, 55.7: a type byte, then the length (big-endian, itself included).
bool PostgresProxy::FromClient(Line& line) {
  char buffer[kReadSize];
  const ssize_t size = ::read(line.client.get(), buffer, sizeof(buffer));
  if (size <= 0) return false;
  line.unread.append(buffer, static_cast<std::size_t>(size));
  std::string_view rest = line.unread;
  while (true) {
    const std::size_t type_size = line.started ? 1 : 0;
    if (rest.size() < type_size + 4) break;
    const std::size_t length = type_size + LoadBe<std::uint32_t>(rest.data() + type_size);
    if (rest.size() < length) break;
    if (!Message(line, rest.substr(0, length))) return false;
    line.started = true;
    rest.remove_prefix(length);
  }
  line.unread.erase(0, line.unread.size() - rest.size());
  return true;
}

bool PostgresProxy::Message(Line& line, std::string_view message) {
  if (line.started && message[0] == 'd') line.copied = true;
  if (line.started && message[0] == 'Q') {
    if (message.find("BEGIN") != std::string_view::npos) line.copied = false;
    if (message.find("COMMIT") != std::string_view::npos && std::exchange(line.copied, false))
      return StrikeCommit(line, message);
  }
  return SendAll(line.server, message);
}

bool PostgresProxy::StrikeCommit(Line& line, std::string_view message) {
  {
    const MutexLock lock(mutex_);
    if (!std::exchange(armed_, false)) return SendAll(line.server, message);
    switch (strike_) {
      case Strike::kCutAfter:
        line.cut_on_answer = true;
        break;
      case Strike::kCutDuring:
        static_cast<void>(SendAll(line.server, message));
        struck_ = true;
        break;
      case Strike::kCutBefore:
        struck_ = true;
        break;
      case Strike::kHold:
        struck_ = held_ = true;
        changed_.notify_all();
        while (held_ && !stop_) changed_.wait(mutex_);
        break;
    }
    changed_.notify_all();
    if (strike_ == Strike::kCutBefore || strike_ == Strike::kCutDuring) return false;
  }
  return SendAll(line.server, message);
}

}  // namespace virp::twins
