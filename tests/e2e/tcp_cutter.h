// Stands between clients and a server on loopback and cuts all their connections when told to: what a network does.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "lib/base/units.h"

namespace virp::e2e {

class TcpCutter {
 public:
  explicit TcpCutter(std::string target) : target_(std::move(target)), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof address;
    if (bind(listener_.get(), Generic(&address), size) != 0 || listen(listener_.get(), 16) != 0 ||
        getsockname(listener_.get(), Generic(&address), &size) != 0) {
      std::abort();
    }
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~TcpCutter() {
    stop_ = true;
    acceptor_.join();
    Cut();
  }
  TcpCutter(const TcpCutter&) = delete;
  TcpCutter& operator=(const TcpCutter&) = delete;

  const std::string& address() const { return address_; }
  // Returns when none of them carries any more: what a server says after it reaches nobody.
  void Cut() {
    std::vector<std::thread> carriers;
    {
      const MutexLock lock(mutex_);
      ++cuts_;
      carriers.swap(carriers_);
    }
    for (std::thread& carrier : carriers) carrier.join();
  }
  // Where connections go from now on; nowhere when empty.
  void SetTarget(const std::string& target) {
    const MutexLock lock(mutex_);
    target_ = target;
  }
  int accepted() const { return accepted_; }

 private:
  static constexpr int kTick = 5;  // milliseconds
  static sockaddr* Generic(sockaddr_in* address) { return reinterpret_cast<sockaddr*>(address); }
  static sockaddr_in Loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }
  void Accept() {
    while (!stop_) {
      pollfd waiting{listener_.get(), POLLIN, 0};
      if (poll(&waiting, 1, kTick) != 1) continue;
      FileDescriptor client(accept(listener_.get(), nullptr, nullptr));
      const MutexLock lock(mutex_);
      const auto target = ParseHostPort(target_);
      if (!client || !target.ok()) continue;
      ++accepted_;
      carriers_.emplace_back(
          [this, cuts = cuts_.load(), port = target->port, from = std::move(client)] { Carry(from, port, cuts); });
    }
  }
  void Carry(const FileDescriptor& client, std::uint16_t port, int cuts) {
    const FileDescriptor server(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = Loopback(port);
    if (connect(server.get(), Generic(&address), sizeof address) != 0) return;
    while (cuts == cuts_) {
      std::array<pollfd, 2> ends{pollfd{client.get(), POLLIN, 0}, pollfd{server.get(), POLLIN, 0}};
      if (poll(ends.data(), ends.size(), kTick) <= 0) continue;
      for (std::size_t i = 0; i < 2; ++i) {
        if (ends[i].revents != 0 && !Forward(ends[i].fd, ends[1 - i].fd)) return;
      }
    }
  }
  static bool Forward(int from, int to) {
    std::array<char, 16'384> buffer;
    const ssize_t size = recv(from, buffer.data(), buffer.size(), 0);
    if (size <= 0) return false;
    for (ssize_t at = 0; at < size;) {
      const ssize_t sent = send(to, buffer.data() + at, static_cast<std::size_t>(size - at), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      at += sent;
    }
    return true;
  }

  Mutex mutex_;
  std::string target_ ABSL_GUARDED_BY(mutex_);
  const FileDescriptor listener_;
  std::string address_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> cuts_ = 0, accepted_ = 0;
  std::vector<std::thread> carriers_ ABSL_GUARDED_BY(mutex_);
  std::thread acceptor_;
};

}  // namespace virp::e2e
