#include "tests/testutil/tls_client.h"

#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "lib/crypto/openssl_util.h"
#include "lib/crypto/pki.h"

namespace virp::testutil {

using crypto::OpenSslDeleter;

struct TlsClient::Impl {
  std::unique_ptr<SSL_CTX, OpenSslDeleter<SSL_CTX_free>> ctx;
  std::unique_ptr<SSL, OpenSslDeleter<SSL_free>> ssl;
};

FileDescriptor ConnectTo(int port) {
  FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{20, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    std::perror("nobody listens");
    std::abort();
  }
  return fd;
}

bool ClosedByPeer(int socket) {
  std::array<char, 4096> bytes{};
  while (true) {
    const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (got == 0) return true;
    if (got < 0) return errno != EAGAIN && errno != EWOULDBLOCK;
  }
}

TlsClient::TlsClient(FileDescriptor socket, const Options& options)
    : socket_(std::move(socket)), impl_(std::make_unique<Impl>()) {
  std::signal(SIGPIPE, SIG_IGN);
  impl_->ctx.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const ctx = impl_->ctx.get();
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  if (options.max_version != 0) SSL_CTX_set_max_proto_version(ctx, options.max_version);
  crypto::OrDie(SSL_CTX_load_verify_file(ctx, options.roots.c_str()) == 1, "roots of a test");
  if (!options.certificate.empty()) {
    crypto::OrDie(SSL_CTX_use_certificate_chain_file(ctx, options.certificate.c_str()) == 1 &&
                      SSL_CTX_use_PrivateKey_file(ctx, options.private_key.c_str(), SSL_FILETYPE_PEM) == 1,
                  "certificate of a test");
  }
  if (!options.alpn.empty()) {
    const std::string offer = static_cast<char>(options.alpn.size()) + options.alpn;
    crypto::OrDie(SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(offer.data()),
                                          static_cast<unsigned>(offer.size())) == 0,
                  "protocol of a test");
  }
  impl_->ssl.reset(SSL_new(ctx));
  SSL_set_fd(impl_->ssl.get(), socket_.get());
  ok_ = SSL_connect(impl_->ssl.get()) == 1;
  if (!ok_) error_ = crypto::DrainOpenSslErrors();
}

TlsClient::~TlsClient() = default;

bool TlsClient::Write(std::string_view bytes) {
  std::size_t written = 0;
  return SSL_write_ex(impl_->ssl.get(), bytes.data(), bytes.size(), &written) == 1 && written == bytes.size();
}

std::optional<std::string> TlsClient::ReadSome() {
  std::string out(std::size_t{16} << 10, '\0');
  ERR_clear_error();
  std::size_t got = 0;
  const int result = SSL_read_ex(impl_->ssl.get(), out.data(), out.size(), &got);
  const int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(impl_->ssl.get(), result);
  if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ) return std::nullopt;
  out.resize(got);
  return out;
}

std::string TlsClient::ServerSerial() const {
  const std::unique_ptr<X509, OpenSslDeleter<X509_free>> leaf(SSL_get1_peer_certificate(impl_->ssl.get()));
  const std::unique_ptr<BIO, OpenSslDeleter<BIO_free_all>> out(BIO_new(BIO_s_mem()));
  if (leaf == nullptr || PEM_write_bio_X509(out.get(), leaf.get()) != 1) return "";
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  const auto info = crypto::ParseCertificate({text, static_cast<std::size_t>(size)});
  return info.ok() ? info->serial : "";
}

void TlsClient::Close() {
  SSL_shutdown(impl_->ssl.get());
  socket_.Reset();
}

}  // namespace virp::testutil
