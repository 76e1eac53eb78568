#include "lib/service/tls_stream.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/crypto/openssl_util.h"
#include "lib/service/logging.h"

namespace virp::service {
namespace {

using crypto::DrainOpenSslErrors;
using crypto::OpenSslDeleter;

using SslCtxPtr = std::unique_ptr<SSL_CTX, OpenSslDeleter<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, OpenSslDeleter<SSL_free>>;
using X509Ptr = std::unique_ptr<X509, OpenSslDeleter<X509_free>>;
using BioPtr = std::unique_ptr<BIO, OpenSslDeleter<BIO_free_all>>;

short EventsFor(int ssl_error) {
  return ssl_error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
}

bool Wants(int ssl_error) {
  return ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE;
}

absl::Status HandshakeError(SSL* ssl) {
  const long verified = SSL_get_verify_result(ssl);
  if (verified != X509_V_OK) {
    ERR_clear_error();
    return WithReason(Unauthenticated("client certificate: {}", X509_verify_cert_error_string(verified)),
                      "BAD_CERTIFICATE");
  }
  const bool none = ERR_GET_REASON(ERR_peek_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
  const bool silent = ERR_peek_error() == 0;
  const std::string detail = silent ? "the peer closed" : DrainOpenSslErrors();
  ERR_clear_error();
  return WithReason(Unauthenticated("TLS handshake failed: {}", detail), none ? "NO_CERTIFICATE" : "BAD_HANDSHAKE");
}

std::string PeerPem(SSL* ssl) {
  const X509Ptr leaf(SSL_get1_peer_certificate(ssl));
  if (leaf == nullptr) return "";
  const BioPtr out(BIO_new(BIO_s_mem()));
  crypto::OrDie(out != nullptr && PEM_write_bio_X509(out.get(), leaf.get()) == 1, "PEM_write_bio_X509");
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

}  // namespace

struct TlsAcceptor::Context {
  SslCtxPtr ctx;
};

struct TlsStream::Impl {
  SslPtr ssl;
  bool broken = false;
};

TlsStream::TlsStream(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)), peer_pem_(PeerPem(impl_->ssl.get())), poll_events_(POLLIN) {}

TlsStream::~TlsStream() {
  if (!impl_->broken) SSL_shutdown(impl_->ssl.get());
  ERR_clear_error();
}

absl::StatusOr<std::optional<std::size_t>> TlsStream::Read(std::span<char> buffer) {
  ERR_clear_error();
  std::size_t got = 0;
  if (SSL_read_ex(impl_->ssl.get(), buffer.data(), buffer.size(), &got) == 1) {
    poll_events_ = POLLIN;
    return got;
  }
  const int error = SSL_get_error(impl_->ssl.get(), 0);
  if (Wants(error)) {
    poll_events_ = EventsFor(error);
    return std::nullopt;
  }
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  impl_->broken = true;  // nothing may be written any more, not even a goodbye
  const bool closed =
      error == SSL_ERROR_SYSCALL || ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
  const std::string detail = DrainOpenSslErrors();
  if (closed) return 0;
  return WithReason(Unauthenticated("TLS: {}", detail), "BAD_RECORD");
}

TlsAcceptor::TlsAcceptor(TlsFiles files, ClientCertificate clients, const Clock& clock, std::chrono::nanoseconds reload)
    : files_(std::move(files)),
      clients_(clients),
      watch_({files_.certificate, files_.private_key, files_.roots}, reload, clock) {}

TlsAcceptor::~TlsAcceptor() = default;

absl::StatusOr<std::unique_ptr<TlsAcceptor>> TlsAcceptor::Make(TlsFiles files, ClientCertificate clients,
                                                               const Clock& clock, std::chrono::nanoseconds reload) {
  std::unique_ptr<TlsAcceptor> acceptor(new TlsAcceptor(std::move(files), clients, clock, reload));
  const MutexLock lock(acceptor->mutex_);
  ASSIGN_OR_RETURN(acceptor->context_, acceptor->Load());
  return acceptor;
}

absl::StatusOr<std::shared_ptr<const TlsAcceptor::Context>> TlsAcceptor::Load() const {
  RETURN_IF_ERROR(InspectTlsFiles(files_).status());
  auto context = std::make_shared<Context>();
  context->ctx.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const ctx = context->ctx.get();
  crypto::OrDie(ctx != nullptr && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1, "SSL_CTX_new");
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  crypto::OrDie(SSL_CTX_set_num_tickets(ctx, 0) == 1, "SSL_CTX_set_num_tickets");
  const bool loaded = SSL_CTX_use_certificate_chain_file(ctx, files_.certificate.c_str()) == 1 &&
                      SSL_CTX_use_PrivateKey_file(ctx, files_.private_key.c_str(), SSL_FILETYPE_PEM) == 1 &&
                      SSL_CTX_check_private_key(ctx) == 1 && SSL_CTX_load_verify_file(ctx, files_.roots.c_str()) == 1;
  if (!loaded)
    return InvalidArgument("{}, {}, {}: OpenSSL does not take them: {}", files_.certificate, files_.private_key,
                           files_.roots, DrainOpenSslErrors());
  if (clients_ == ClientCertificate::kRequired)
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return context;
}

// New files count from the next handshake; files that do not do leave the last good ones in force.
std::shared_ptr<const TlsAcceptor::Context> TlsAcceptor::Current() {
  const MutexLock lock(mutex_);
  if (watch_.Changed()) {
    auto loaded = Load();
    if (loaded.ok()) {
      context_ = *std::move(loaded);
    } else {
      LogStatus(LogLevel::kError, "TLS files cannot be used; the last good ones stay in force", loaded.status());
    }
  }
  return context_;
}

absl::StatusOr<std::unique_ptr<TlsStream>> TlsAcceptor::Accept(int socket, std::chrono::nanoseconds timeout) {
  using std::chrono::ceil;
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + timeout;
  const std::shared_ptr<const Context> context = Current();
  auto impl = std::make_unique<TlsStream::Impl>();
  impl->ssl.reset(SSL_new(context->ctx.get()));
  SSL* const ssl = impl->ssl.get();
  crypto::OrDie(ssl != nullptr && SSL_set_fd(ssl, socket) == 1, "SSL_new");
  while (true) {
    ERR_clear_error();
    const int done = SSL_accept(ssl);
    if (done == 1) break;
    const int error = SSL_get_error(ssl, done);
    if (!Wants(error)) return HandshakeError(ssl);
    const auto left = ceil<milliseconds>(deadline - steady_clock::now());
    pollfd ready{socket, EventsFor(error), 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) == 0) {
      return WithReason(DeadlineExceeded("the TLS handshake took longer than {}", FormatDuration(timeout)),
                        "SLOW_HANDSHAKE");
    }
  }
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(impl)));
}

}  // namespace virp::service
