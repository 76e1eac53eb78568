#include "tests/testutil/socket_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <string_view>

namespace virp::testutil {
namespace {

constexpr int kTickMs = 20;  // how soon Stop and CutAll are noticed

sockaddr_un Address(const std::string& path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  if (path.size() >= sizeof(out.sun_path)) throw std::runtime_error("socket path too long: " + path);
  std::memcpy(out.sun_path, path.c_str(), path.size() + 1);
  return out;
}

}  // namespace

SocketProxy::SocketProxy(const std::string& name, std::string target) : target_(std::move(target)) {
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un at = Address(dir_.File(name));
  if (listener_ < 0 || ::bind(listener_, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0 ||
      ::listen(listener_, 16) != 0) {
    throw std::runtime_error("cannot listen at " + dir_.File(name));
  }
  acceptor_ = std::thread([this] { Accept(); });
}

SocketProxy::~SocketProxy() {
  stop_ = true;
  acceptor_.join();
  std::vector<std::thread> carriers;
  {
    const MutexLock lock(mutex_);
    carriers.swap(carriers_);
  }
  for (auto& carrier : carriers) carrier.join();
  ::close(listener_);
}

void SocketProxy::CutOn(std::string word, Cut how) {
  const MutexLock lock(mutex_);
  word_ = std::move(word);
  how_ = how;
}

void SocketProxy::CutAll() {
  ++cut_all_;
}

void SocketProxy::Accept() {
  while (!stop_) {
    pollfd ready{listener_, POLLIN, 0};
    if (::poll(&ready, 1, kTickMs) <= 0) continue;
    const int client = ::accept(listener_, nullptr, nullptr);
    if (client < 0) continue;
    const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un at = Address(target_);
    if (server < 0 || ::connect(server, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0) {
      ::close(client);
      if (server >= 0) ::close(server);
      continue;
    }
    const MutexLock lock(mutex_);
    carriers_.emplace_back([this, client, server] { Carry(client, server); });
  }
}

void SocketProxy::Carry(int client, int server) {
  const int generation = cut_all_;
  bool drop_answers = false;
  while (!stop_ && generation == cut_all_) {
    pollfd ready[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    if (::poll(ready, 2, kTickMs) <= 0) continue;
    if (ready[0].revents != 0 && !Forward(client, server, true, &drop_answers)) break;
    if (ready[1].revents != 0 && !Forward(server, client, false, &drop_answers)) break;
  }
  ::close(client);
  ::close(server);
}

// False when the line is to be cut.
bool SocketProxy::Forward(int from, int to, bool from_client, bool* drop_answers) {
  char buffer[65536];
  const ssize_t size = ::read(from, buffer, sizeof(buffer));
  if (size <= 0) return false;
  if (!from_client && *drop_answers) {  // the server has answered, so it has acted
    ++cuts_;
    return false;
  }
  if (from_client) {
    const MutexLock lock(mutex_);
    if (!word_.empty() &&
        std::string_view(buffer, static_cast<std::size_t>(size)).find(word_) != std::string_view::npos) {
      word_.clear();
      if (how_ == Cut::kBefore) {
        ++cuts_;
        return false;
      }
      *drop_answers = true;
    }
  }
  for (ssize_t sent = 0; sent < size;) {
    const ssize_t now = ::send(to, buffer + sent, static_cast<std::size_t>(size - sent), MSG_NOSIGNAL);
    if (now <= 0) return false;
    sent += now;
  }
  return true;
}

}  // namespace virp::testutil
