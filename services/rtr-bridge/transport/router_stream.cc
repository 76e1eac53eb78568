#include "services/rtr-bridge/transport/router_stream.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
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
constexpr std::size_t kRecord = 16 << 10;  // what a record of TLS carries
constexpr std::size_t kMaxName = 256;

// The most telling name that the authority vouched for.
std::string NameIn(const crypto::CertificateInfo& info) {
  for (const auto* names : {&info.uri_sans, &info.dns_sans, &info.ip_sans}) {
    if (!names->empty()) return names->front().substr(0, kMaxName);
  }
  return info.common_name.substr(0, kMaxName);
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

  bool opens_slowly() const override { return true; }
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
    ASSIGN_OR_RETURN(bool goes_on, WriteHeld());
    for (std::string_view piece : pieces) {
      while (goes_on && !piece.empty()) {
        const std::string_view record = piece.substr(0, kRecord);
        ASSIGN_OR_RETURN(auto taken, WriteOne(record));
        // What TLS could not get rid of it has encrypted all the same, and must be given again: so it is taken.
        goes_on = taken.has_value();
        if (!goes_on) held_ = record;
        sent += taken.value_or(record.size());
        piece.remove_prefix(taken.value_or(record.size()));
      }
    }
    return sent;
  }
  bool holds() const override { return !held_.empty(); }
  std::size_t waiting() const override { return held_.size() + RouterStream::waiting(); }
  void CloseWrite() override {
    if (stream_ != nullptr) stream_->SayGoodbye();
    ::shutdown(socket_.get(), SHUT_WR);
  }
  short also_wants() const override { return wants_; }
  std::string identity() const override { return identity_; }

 private:
  absl::StatusOr<bool> WriteHeld() {
    while (!held_.empty()) {
      ASSIGN_OR_RETURN(const auto taken, WriteOne(held_));
      if (!taken) return false;
      held_.erase(0, *taken);
    }
    return true;
  }
  absl::StatusOr<std::optional<std::size_t>> WriteOne(std::string_view bytes) {
    ASSIGN_OR_RETURN(const auto taken, stream_->Write(bytes));
    wants_ = taken ? short{0} : stream_->poll_events();
    return taken;
  }

  const FileDescriptor socket_;
  std::string held_;
  std::unique_ptr<service::TlsHandshake> handshake_;
  std::unique_ptr<service::TlsStream> stream_;
  const IpAddress peer_;
  const bool address_in_certificate_;
  std::string identity_;
  short wants_ = 0;
};

}  // namespace

std::size_t RouterStream::waiting() const {
  int octets = 0;
  if (::ioctl(socket(), SIOCOUTQ, &octets) != 0 || octets < 0) return 0;
  return static_cast<std::size_t>(octets);
}

std::unique_ptr<RouterStream> MakePlainStream(FileDescriptor socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

std::unique_ptr<RouterStream> MakeTlsStream(FileDescriptor socket, service::TlsAcceptor& acceptor,
                                            const IpAddress& peer, bool address_in_certificate) {
  return std::make_unique<TlsRouterStream>(std::move(socket), acceptor, peer, address_in_certificate);
}

}  // namespace virp::rtr_bridge
