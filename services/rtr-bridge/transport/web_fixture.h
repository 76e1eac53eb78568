// For tests of what reads from web servers: one that does exactly what a script says, byte by byte.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "lib/base/file.h"
#include "lib/base/mutex.h"

namespace virp::rtr_bridge::testing {

// One client of the server.
class WebPeer {
 public:
  WebPeer(int socket, const std::atomic<bool>& stop) : socket_(socket), stop_(stop) {}

  // False when the client is gone, or the test over.
  bool Send(std::string_view bytes) const {
    while (!bytes.empty() && !stop_) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return !stop_;
  }
  // What comes next; empty when the client is gone.
  std::string Receive() const {
    std::string buffer(64 << 10, '\0');
    const ssize_t got = ::recv(socket_, buffer.data(), buffer.size(), 0);
    return buffer.substr(0, got > 0 ? static_cast<std::size_t>(got) : 0);
  }
  // Says nothing until the client gives up.
  void Wait() const {
    while (!Receive().empty()) {
    }
  }
  // Whether the client is still there after this long.
  bool Stays(std::chrono::milliseconds time) const {
    pollfd gone{socket_, POLLIN, 0};
    return ::poll(&gone, 1, static_cast<int>(time.count())) == 0 && !stop_;
  }
  int socket() const { return socket_; }

 private:
  const int socket_;
  const std::atomic<bool>& stop_;
};

inline std::string Ok(std::string_view body, std::string_view more_headers = "") {
  return "HTTP/1.1 200 OK\r\nConnection: close\r\n" + std::string(more_headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// On 127.0.0.1; each connection is a thread that reads one request's head and runs the script.
class WebServer {
 public:
  using Script = std::function<void(const WebPeer& peer, const std::string& request)>;

  explicit WebServer(Script script)
      : script_(std::move(script)), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(socket_.get(), 16), 0);
    EXPECT_EQ(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~WebServer() {
    stop_ = true;
    ::shutdown(socket_.get(), SHUT_RDWR);
    thread_.join();
    {
      const MutexLock lock(mutex_);
      for (const FileDescriptor& peer : peers_) ::shutdown(peer.get(), SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
  }
  WebServer(const WebServer&) = delete;
  WebServer& operator=(const WebServer&) = delete;

  void Become(Script script) {
    const MutexLock lock(mutex_);
    script_ = std::move(script);
  }
  int port() const { return port_; }
  std::string url(const std::string& path = "/rpki.json") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::vector<std::string> requests() const {
    const MutexLock lock(mutex_);
    return requests_;
  }

 private:
  void Run() {
    while (!stop_) {
      FileDescriptor peer(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer) continue;
      const MutexLock lock(mutex_);
      peers_.push_back(std::move(peer));
      threads_.emplace_back([this, socket = peers_.back().get()] { Serve(socket); });
    }
  }
  void Serve(int socket) {
    const WebPeer peer(socket, stop_);
    std::string request;
    while (request.find("\r\n\r\n") == std::string::npos) {
      const std::string more = peer.Receive();
      if (more.empty()) return;
      request += more;
    }
    Script script;
    {
      const MutexLock lock(mutex_);
      requests_.push_back(request);
      script = script_;
    }
    script(peer, request);
    ::shutdown(socket, SHUT_RDWR);
  }

  mutable Mutex mutex_;
  Script script_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> requests_ ABSL_GUARDED_BY(mutex_);
  std::list<FileDescriptor> peers_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> stop_{false};
  FileDescriptor socket_;
  int port_ = 0;
  std::vector<std::thread> threads_;  // of Run's thread, then of the destructor's
  std::thread thread_;
};

// Always the same bytes.
inline WebServer::Script Say(std::string bytes) {
  return [bytes = std::move(bytes)](const WebPeer& peer, const std::string&) { peer.Send(bytes); };
}

}  // namespace virp::rtr_bridge::testing
