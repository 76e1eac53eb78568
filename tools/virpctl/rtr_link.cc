#include "tools/virpctl/rtr_link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "lib/base/status.h"
#include "lib/service/tls_stream.h"

namespace virp::virpctl {
namespace {

class TcpLink final : public RtrLink {
 public:
  explicit TcpLink(FileDescriptor socket) : socket_(std::move(socket)) {}

  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) override {
    events_ = POLLIN;
    return Done(::recv(socket_.get(), buffer.data(), buffer.size(), 0), "cannot read from");
  }
  absl::StatusOr<std::optional<std::size_t>> Write(std::string_view bytes) override {
    const auto sent = Done(::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), "cannot write to");
    if (sent.ok() && !sent->has_value()) events_ = POLLIN | POLLOUT;
    return sent;
  }
  int socket() const override { return socket_.get(); }
  short events() const override { return events_; }

 private:
  static absl::StatusOr<std::optional<std::size_t>> Done(ssize_t done, std::string_view what) {
    if (done >= 0) return static_cast<std::size_t>(done);
    if (errno == EAGAIN || errno == EINTR) return std::nullopt;
    return ErrnoStatus(errno, what, "the cache");
  }

  FileDescriptor socket_;
  short events_ = POLLIN;
};

class TlsLink final : public RtrLink {
 public:
  TlsLink(FileDescriptor socket, std::unique_ptr<service::TlsStream> stream)
      : socket_(std::move(socket)), stream_(std::move(stream)) {}

  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) override { return stream_->Read(buffer); }
  absl::StatusOr<std::optional<std::size_t>> Write(std::string_view bytes) override { return stream_->Write(bytes); }
  int socket() const override { return socket_.get(); }
  short events() const override { return stream_->poll_events(); }

 private:
  FileDescriptor socket_;
  std::unique_ptr<service::TlsStream> stream_;
};

absl::StatusOr<std::unique_ptr<RtrLink>> OpenTls(FileDescriptor socket, const RtrPlace& place, const RtrAccess& access,
                                                 Deadline deadline) {
  if (access.certificate.empty() != access.key.empty())
    return InvalidArgument("a certificate is shown with its key: --certificate and --key go together");
  service::TlsClientOptions options;
  options.files = {access.certificate, access.key, access.roots};
  options.name = access.server_name.empty() ? place.address.host : access.server_name;
  options.verify = !access.insecure;
  ASSIGN_OR_RETURN(auto stream,
                   service::ConnectTlsTo(socket.get(), options, deadline - std::chrono::steady_clock::now()));
  return std::make_unique<TlsLink>(std::move(socket), std::move(stream));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RtrLink>> OpenRtrLink(const RtrPlace& place, const RtrAccess& access,
                                                     Deadline deadline) {
  std::signal(SIGPIPE, SIG_IGN);  // of TLS and SSH, which write by themselves
  ASSIGN_OR_RETURN(const auto addresses, Resolve(place.address));
  ASSIGN_OR_RETURN(FileDescriptor socket, ConnectAny(addresses, deadline));
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  if (place.kind == RtrPlace::Kind::kTls) return OpenTls(std::move(socket), place, access, deadline);
  if (place.kind == RtrPlace::Kind::kSsh) return OpenSshLink(std::move(socket), place, access, deadline);
  return std::make_unique<TcpLink>(std::move(socket));
}

}  // namespace virp::virpctl
