#include "services/rtr-bridge/transport/router_stream.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/pki.h"

namespace virp::rtr_bridge {
namespace {

constexpr std::size_t kPieces = 16;

// The most telling name that the authority vouched for.
std::string NameIn(const crypto::CertificateInfo& info) {
  for (const auto* names : {&info.uri_sans, &info.dns_sans, &info.ip_sans}) {
    if (!names->empty()) return names->front();
  }
  return info.common_name;
}

class PlainStream final : public RouterStream {
 public:
  explicit PlainStream(FileDescriptor socket) : socket_(std::move(socket)) {}

  int socket() const override { return socket_.get(); }
  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) override {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno == EAGAIN || errno == EINTR) return std::nullopt;
    return ErrnoStatus(errno, "cannot read from", "the router");
  }
  absl::StatusOr<std::size_t> Write(std::span<const std::string_view> pieces) override {
    std::array<iovec, kPieces> parts;
    const std::size_t count = std::min(pieces.size(), parts.size());
    for (std::size_t i = 0; i < count; ++i) parts[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN || errno == EINTR) return 0;
    return ErrnoStatus(errno, "cannot write to", "the router");
  }
  void CloseWrite() override { ::shutdown(socket_.get(), SHUT_WR); }

 private:
  const FileDescriptor socket_;
};

class TlsRouterStream final : public RouterStream {
 public:
  TlsRouterStream(FileDescriptor socket, service::TlsAcceptor& acceptor, const IpAddress& peer,
                  bool address_in_certificate)
      : socket_(std::move(socket)),
        handshake_(acceptor.Begin(socket_.get())),
        peer_(peer),
        address_in_certificate_(address_in_certificate) {}

  int socket() const override { return socket_.get(); }

  absl::StatusOr<bool> Open() override {
    if (stream_ != nullptr) return true;
    ASSIGN_OR_RETURN(stream_, handshake_->Step());
    if (stream_ == nullptr) {
      wants_ = handshake_->poll_events();
      return false;
    }
    handshake_.reset();
    wants_ = 0;
    const std::string& certificate = stream_->peer_certificate_pem();
    if (certificate.empty()) return true;
    ASSIGN_OR_RETURN(const crypto::CertificateInfo info, crypto::ParseCertificate(certificate));
    const auto& named = info.ip_sans;
    if (address_in_certificate_ && std::find(named.begin(), named.end(), peer_.ToString()) == named.end()) {
      return WithReason(Unauthenticated("the router's certificate does not name its address {}", peer_.ToString()),
                        "ADDRESS_NOT_IN_CERTIFICATE");
    }
    identity_ = "tls:" + NameIn(info) + "/serial:" + info.serial;
    return true;
  }

  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) override {
    ASSIGN_OR_RETURN(const auto got, stream_->Read(buffer));
    wants_ = got ? short{0} : stream_->poll_events();
    return got;
  }

  absl::StatusOr<std::size_t> Write(std::span<const std::string_view> pieces) override {
    std::size_t sent = 0;
    for (std::string_view piece : pieces) {
      while (!piece.empty()) {
        auto taken = stream_->Write(piece);
        if (!taken.ok()) return taken.status();
        if (!*taken) {
          wants_ = stream_->poll_events();
          return sent;
        }
        sent += **taken;
        piece.remove_prefix(**taken);
      }
    }
    return sent;
  }
  void CloseWrite() override {
    if (stream_ != nullptr) stream_->SayGoodbye();
    ::shutdown(socket_.get(), SHUT_WR);
  }
  short also_wants() const override { return wants_; }
  std::string identity() const override { return identity_; }

 private:
  const FileDescriptor socket_;
  std::unique_ptr<service::TlsHandshake> handshake_;
  std::unique_ptr<service::TlsStream> stream_;
  const IpAddress peer_;
  const bool address_in_certificate_;
  std::string identity_;
  short wants_ = 0;
};

}  // namespace

std::unique_ptr<RouterStream> MakePlainStream(FileDescriptor socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

std::unique_ptr<RouterStream> MakeTlsStream(FileDescriptor socket, service::TlsAcceptor& acceptor,
                                            const IpAddress& peer, bool address_in_certificate) {
  return std::make_unique<TlsRouterStream>(std::move(socket), acceptor, peer, address_in_certificate);
}

}  // namespace virp::rtr_bridge
