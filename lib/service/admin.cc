#include "lib/service/admin.h"

#include <CivetServer.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/base/status.h"

namespace virp::service {

void Readiness::Add(std::string name, std::function<absl::Status()> check) {
  const MutexLock lock(mutex_);
  checks_.emplace_back(std::move(name), std::move(check));
}

void Readiness::SetDraining() {
  const MutexLock lock(mutex_);
  draining_ = true;
}

std::vector<std::pair<std::string, absl::Status>> Readiness::Failing() const {
  std::vector<std::pair<std::string, std::function<absl::Status()>>> checks;
  std::vector<std::pair<std::string, absl::Status>> out;
  {
    const MutexLock lock(mutex_);
    if (draining_) out.emplace_back("drain", Unavailable("the service is stopping"));
    checks = checks_;
  }
  for (const auto& [name, check] : checks) {
    if (absl::Status status = check(); !status.ok()) out.emplace_back(name, std::move(status));
  }
  return out;
}

namespace {

struct Response {
  int code = 200;
  std::string body;
};

// One page. Everything else that an HTTP server might do (files, directories, scripts) is not configured.
class Page final : public CivetHandler {
 public:
  explicit Page(std::function<Response()> make) : make_(std::move(make)) {}

  using CivetHandler::handleDelete;
  using CivetHandler::handleGet;
  using CivetHandler::handleHead;
  using CivetHandler::handleOptions;
  using CivetHandler::handlePatch;
  using CivetHandler::handlePost;
  using CivetHandler::handlePut;
  bool handleGet(CivetServer*, mg_connection* connection) override { return Send(connection, true); }
  bool handleHead(CivetServer*, mg_connection* connection) override { return Send(connection, false); }
  bool handlePost(CivetServer*, mg_connection* connection) override { return Refuse(connection); }
  bool handlePut(CivetServer*, mg_connection* connection) override { return Refuse(connection); }
  bool handlePatch(CivetServer*, mg_connection* connection) override { return Refuse(connection); }
  bool handleDelete(CivetServer*, mg_connection* connection) override { return Refuse(connection); }
  bool handleOptions(CivetServer*, mg_connection* connection) override { return Refuse(connection); }

 private:
  bool Send(mg_connection* connection, bool with_body) {
    const Response response = make_();
    Write(connection, response.code, response.body, with_body, "");
    return true;
  }
  static bool Refuse(mg_connection* connection) {
    Write(connection, 405, "only GET and HEAD\n", true, "Allow: GET, HEAD\r\n");
    return true;
  }
  static void Write(mg_connection* connection, int code, const std::string& body, bool with_body, const char* header) {
    const char* const phrase = code == 200   ? "OK"
                               : code == 404 ? "Not Found"
                               : code == 405 ? "Method Not Allowed"
                                             : "Service Unavailable";
    const std::string head = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{}Connection: close\r\n\r\n",
        code, phrase, body.size(), header);
    mg_write(connection, head.data(), head.size());
    if (with_body) mg_write(connection, body.data(), body.size());
  }

  const std::function<Response()> make_;
};

Response ReadyPage(const Readiness& readiness) {
  const auto failing = readiness.Failing();
  if (failing.empty()) return {200, "ok\n"};
  Response out{503, {}};
  for (const auto& [name, status] : failing) out.body += fmt::format("{}: {}\n", name, Message(status));
  return out;
}

// Connects and hangs up.
void Connect(const IpAddress& address, std::uint16_t port) {
  const FileDescriptor fd(
      ::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_storage to{};
  socklen_t size = 0;
  if (address.is_v4()) {
    auto* const v4 = reinterpret_cast<sockaddr_in*>(&to);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    std::memcpy(&v4->sin_addr, address.bytes().data(), address.bytes().size());
    size = sizeof(*v4);
  } else {
    auto* const v6 = reinterpret_cast<sockaddr_in6*>(&to);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    std::memcpy(&v6->sin6_addr, address.bytes().data(), address.bytes().size());
    size = sizeof(*v6);
  }
  [[maybe_unused]] const int begun =
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), size);  // the try is enough
}

}  // namespace

struct AdminServer::Impl {
  Impl(const IpAddress& listen, const Metrics& metrics, const Readiness& readiness)
      : address(listen),
        metrics_page([&metrics] { return Response{200, metrics.Serialize()}; }),
        live_page([] { return Response{200, "ok\n"}; }),
        ready_page([&readiness] { return ReadyPage(readiness); }),
        other_page([] { return Response{404, "there are /metrics, /livez and /readyz\n"}; }) {}

  const IpAddress address;  // an unspecified one reaches us too
  Page metrics_page, live_page, ready_page, other_page;
  std::unique_ptr<CivetServer> server;  // last: its threads use the pages
};

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

AdminServer::~AdminServer() {
  // Its accepting thread looks up from poll() only every two seconds; a connection wakes it.
  std::atomic<bool> closed = false;
  std::thread waker([this, &closed] {
    while (!closed) {
      Connect(impl_->address, port_);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  impl_->server.reset();
  closed = true;
  waker.join();
}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const AdminOptions& options, const Metrics& metrics,
                                                                const Readiness& readiness) {
  const std::string address = FormatHostPort(options.listen);
  const auto host = IpAddress::Parse(options.listen.host);
  if (!host.ok()) {
    return Unavailable("admin port {}: the host must be an address, not a name", address);
  }
  auto impl = std::make_unique<Impl>(*host, metrics, readiness);
  try {
    impl->server = std::make_unique<CivetServer>(std::vector<std::string>{
        "listening_ports", address, "num_threads", std::to_string(options.threads), "request_timeout_ms",
        std::to_string(options.request_timeout.count()), "enable_keep_alive", "no", "enable_directory_listing", "no",
        "max_request_size", "4096"});
  } catch (const std::exception& error) {
    return Unavailable("admin port {}: cannot listen: {}", address, error.what());
  }
  const std::vector<int> ports = impl->server->getListeningPorts();
  if (ports.size() != 1 || ports[0] <= 0) return Unavailable("admin port {}: cannot listen", address);
  impl->server->addHandler("/metrics$", impl->metrics_page);
  impl->server->addHandler("/livez$", impl->live_page);
  impl->server->addHandler("/readyz$", impl->ready_page);
  impl->server->addHandler("**", impl->other_page);
  auto out = std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
  out->port_ = static_cast<std::uint16_t>(ports[0]);
  return out;
}

}  // namespace virp::service
