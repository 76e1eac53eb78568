#include "lib/service/page_server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <thread>
#include <utility>
#include <vector>

#include "lib/base/file.h"
#include "lib/base/status.h"

namespace virp::service {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr int kBacklog = 512;
constexpr int kAcceptBurst = 32;
constexpr std::chrono::milliseconds kPause{100};  // after an accept that failed for want of descriptors or memory

std::string_view PhraseOf(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

std::string Answer(const Page& page, bool with_body = true) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n"
      "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{}Connection: close\r\n\r\n{}",
      page.code, PhraseOf(page.code), page.body.size(), page.code == 405 ? "Allow: GET, HEAD\r\n" : "",
      with_body ? std::string_view(page.body) : std::string_view());
}

// Of a whole head. RFC 9112, section 3: method SP target SP version.
std::string AnswerTo(std::string_view head, const PageServer::Pages& pages) {
  const std::string_view line = head.substr(0, head.find_first_of("\r\n"));
  const std::size_t method_end = line.find(' ');
  const std::size_t target_end = line.rfind(' ');
  if (method_end == std::string_view::npos || method_end == target_end ||
      !line.substr(target_end + 1).starts_with("HTTP/1.")) {
    return Answer({400, "this is HTTP/1.1\n"});
  }
  const std::string_view method = line.substr(0, method_end);
  const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
  if (method != "GET" && method != "HEAD") return Answer({405, "only GET and HEAD\n"});
  return Answer(pages(target.substr(0, target.find('?'))), method == "GET");
}

absl::StatusOr<FileDescriptor> ListenOn(const HostPort& listen, std::uint16_t* port) {
  const std::string where = FormatHostPort(listen);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(listen.host.c_str(), std::to_string(listen.port).c_str(), &hints, &found) != 0) {
    return Unavailable("admin port {}: the host must be an address, not a name", where);
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> address(found, &freeaddrinfo);
  FileDescriptor fd(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  auto* const generic = reinterpret_cast<sockaddr*>(&bound);
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd.get(), kBacklog) != 0 ||
      ::getsockname(fd.get(), generic, &size) != 0) {
    return Unavailable("admin port {}: cannot listen: {}", where, std::strerror(errno));
  }
  *port = ntohs(generic->sa_family == AF_INET ? reinterpret_cast<sockaddr_in*>(generic)->sin_port
                                              : reinterpret_cast<sockaddr_in6*>(generic)->sin6_port);
  return fd;
}

struct Connection {
  FileDescriptor socket;
  SteadyTime deadline;
  std::string request;  // until the answer is there
  std::string answer;
  std::size_t sent = 0;
  bool over = false;  // all is said; what the peer still sends is thrown away, lest a reset overtake the answer

  bool asked() const { return !answer.empty(); }
};

}  // namespace

class PageServer::Impl {
 public:
  Impl(PageServerOptions options, Pages pages) : options_(std::move(options)), pages_(std::move(pages)) {}

  ~Impl() {
    const std::uint64_t one = 1;
    // An eventfd takes eight bytes or is full, and then the thread wakes just as well.
    WriteAll(stop_.get(), {reinterpret_cast<const char*>(&one), sizeof(one)}, "eventfd").IgnoreError();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Start() {
    stop_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stop_) return ErrnoStatus(errno, "cannot make", "an eventfd");
    ASSIGN_OR_RETURN(listener_, ListenOn(options_.listen, &port_));
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  std::uint16_t port() const { return port_; }

 private:
  void Run() {
    while (Wait()) {
      const SteadyTime now = std::chrono::steady_clock::now();
      for (auto at = connections_.begin(); at != connections_.end();) {
        at = now < at->deadline && Serve(*at) ? std::next(at) : connections_.erase(at);
      }
      if (now >= pause_until_) Accept(now);
    }
  }

  // Until something may be done. False when it is time to stop.
  bool Wait() {
    const SteadyTime now = std::chrono::steady_clock::now();
    SteadyTime until = SteadyTime::max();
    if (now < pause_until_) until = pause_until_;
    std::vector<pollfd> all{{stop_.get(), POLLIN, 0}};
    if (now >= pause_until_) all.push_back({listener_.get(), POLLIN, 0});
    for (const Connection& connection : connections_) {
      const bool writing = connection.asked() && !connection.over;
      all.push_back({connection.socket.get(), static_cast<short>(writing ? POLLOUT : POLLIN), 0});
      until = std::min(until, connection.deadline);
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
    const int patience = until == SteadyTime::max() ? -1 : static_cast<int>(std::max<decltype(left)>(left, 0));
    return ::poll(all.data(), all.size(), patience) < 0 ? errno == EINTR : all[0].revents == 0;
  }

  // As far as it goes without waiting. False when the connection is done with.
  bool Serve(Connection& connection) {
    if (!connection.asked() && !Read(connection)) return false;
    if (connection.asked() && !connection.over && !Write(connection)) return false;
    return !connection.over || Discard(connection);
  }

  bool Read(Connection& connection) {
    char buffer[4096];
    while (!connection.asked()) {
      const ssize_t got = ::recv(connection.socket.get(), buffer, sizeof(buffer), 0);
      if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
      connection.request.append(buffer, static_cast<std::size_t>(got));
      const std::size_t end = connection.request.find("\r\n\r\n");
      if (std::min(end, connection.request.size()) > options_.max_request) {
        connection.answer = Answer({431, "the request is too long\n"});
      } else if (end != std::string::npos) {
        connection.answer = AnswerTo(std::string_view(connection.request).substr(0, end), pages_);
      }
    }
    std::string().swap(connection.request);
    return true;
  }

  static bool Write(Connection& connection) {
    while (connection.sent < connection.answer.size()) {
      const ssize_t sent = ::send(connection.socket.get(), connection.answer.data() + connection.sent,
                                  connection.answer.size() - connection.sent, MSG_NOSIGNAL);
      if (sent <= 0) return sent < 0 && (errno == EAGAIN || errno == EINTR);
      connection.sent += static_cast<std::size_t>(sent);
    }
    ::shutdown(connection.socket.get(), SHUT_WR);
    connection.over = true;
    return true;
  }

  static bool Discard(Connection& connection) {
    char buffer[4096];
    const ssize_t got = ::recv(connection.socket.get(), buffer, sizeof(buffer), 0);
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
  }

  void Accept(SteadyTime now) {
    for (int burst = 0; burst < kAcceptBurst; ++burst) {
      FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!socket) {
        if (errno == ECONNABORTED || errno == EINTR) continue;
        if (errno != EAGAIN) pause_until_ = now + kPause;
        return;
      }
      if (connections_.size() >= options_.max_connections) MakeRoom();
      Connection& newest = connections_.emplace_back();
      newest.socket = std::move(socket);
      newest.deadline = now + options_.timeout;
      if (!Serve(newest)) connections_.pop_back();
    }
  }

  // Who holds a connection in silence goes first, then who was told all, then who takes long to listen.
  void MakeRoom() {
    const auto first = [this](auto&& test) { return std::find_if(connections_.begin(), connections_.end(), test); };
    auto victim = first([](const Connection& one) { return !one.asked(); });
    if (victim == connections_.end()) victim = first([](const Connection& one) { return one.over; });
    if (victim == connections_.end()) victim = connections_.begin();
    connections_.erase(victim);
  }

  const PageServerOptions options_;
  const Pages pages_;
  FileDescriptor listener_, stop_;
  std::uint16_t port_ = 0;
  std::list<Connection> connections_;  // oldest first
  SteadyTime pause_until_ = SteadyTime::min();
  std::thread thread_;
};

PageServer::PageServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PageServer::~PageServer() = default;

absl::StatusOr<std::unique_ptr<PageServer>> PageServer::Start(const PageServerOptions& options, Pages pages) {
  auto impl = std::make_unique<Impl>(options, std::move(pages));
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<PageServer>(new PageServer(std::move(impl)));
}

std::uint16_t PageServer::port() const {
  return impl_->port();
}

}  // namespace virp::service
