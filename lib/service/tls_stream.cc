#include "lib/service/tls_stream.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/ip.h"
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

absl::Status HandshakeError(SSL* ssl, std::string_view whose) {
  const long verified = SSL_get_verify_result(ssl);
  if (verified != X509_V_OK) {
    ERR_clear_error();
    return WithReason(Unauthenticated("{} certificate: {}", whose, X509_verify_cert_error_string(verified)),
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

// What both sides have in common: versions, no session that outlives its connection.
SslCtxPtr BareContext(const SSL_METHOD* method, int oldest) {
  SslCtxPtr owned(SSL_CTX_new(method));
  SSL_CTX* const ctx = owned.get();
  crypto::OrDie(ctx != nullptr && SSL_CTX_set_min_proto_version(ctx, oldest) == 1 &&
                    SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1,
                "SSL_CTX_new");
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return owned;
}

bool LoadCertificate(SSL_CTX* ctx, const TlsFiles& files) {
  return SSL_CTX_use_certificate_chain_file(ctx, files.certificate.c_str()) == 1 &&
         SSL_CTX_use_PrivateKey_file(ctx, files.private_key.c_str(), SSL_FILETYPE_PEM) == 1 &&
         SSL_CTX_check_private_key(ctx) == 1;
}

// And with files that do.
absl::StatusOr<SslCtxPtr> MakeContext(const SSL_METHOD* method, const TlsFiles& files, int oldest,
                                      TlsAcceptor::Names names = TlsAcceptor::Names::kSpiffe) {
  if (names == TlsAcceptor::Names::kSpiffe) RETURN_IF_ERROR(InspectTlsFiles(files).status());
  SslCtxPtr owned = BareContext(method, oldest);
  SSL_CTX* const ctx = owned.get();
  const bool loaded =
      LoadCertificate(ctx, files) && (files.roots.empty() || SSL_CTX_load_verify_file(ctx, files.roots.c_str()) == 1);
  if (!loaded)
    return InvalidArgument("{}, {}, {}: OpenSSL does not take them: {}", files.certificate, files.private_key,
                           files.roots, DrainOpenSslErrors());
  return owned;
}

// `step` (SSL_accept, SSL_connect) until it is done. `whose` certificate is verified.
absl::Status Handshake(SSL* ssl, int (*step)(SSL*), int socket, std::chrono::nanoseconds timeout,
                       std::string_view whose) {
  using std::chrono::ceil;
  using std::chrono::milliseconds;
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + timeout;
  while (true) {
    ERR_clear_error();
    const int done = step(ssl);
    if (done == 1) return absl::OkStatus();
    const int error = SSL_get_error(ssl, done);
    if (!Wants(error)) return HandshakeError(ssl, whose);
    const auto left = ceil<milliseconds>(deadline - steady_clock::now());
    pollfd ready{socket, EventsFor(error), 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) == 0) {
      return WithReason(DeadlineExceeded("the TLS handshake took longer than {}", FormatDuration(timeout)),
                        "SLOW_HANDSHAKE");
    }
  }
}

}  // namespace

struct TlsAcceptor::Context {
  SslCtxPtr ctx;
};

struct TlsStream::Impl {
  SslPtr ssl;
  bool broken = false;  // nothing may be written any more
};

TlsStream::TlsStream(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)), peer_pem_(PeerPem(impl_->ssl.get())), poll_events_(POLLIN) {}

TlsStream::~TlsStream() {
  SayGoodbye();
}

void TlsStream::SayGoodbye() {
  if (!std::exchange(impl_->broken, true)) SSL_shutdown(impl_->ssl.get());
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

absl::StatusOr<std::optional<std::size_t>> TlsStream::Write(std::string_view bytes) {
  ERR_clear_error();
  std::size_t sent = 0;
  if (SSL_write_ex(impl_->ssl.get(), bytes.data(), bytes.size(), &sent) == 1) {
    poll_events_ = POLLIN;
    return sent;
  }
  const int error = SSL_get_error(impl_->ssl.get(), 0);
  if (Wants(error)) {
    poll_events_ = EventsFor(error);
    return std::nullopt;
  }
  impl_->broken = true;
  ERR_clear_error();
  return Unavailable("the peer closed the connection");
}

TlsAcceptor::TlsAcceptor(TlsFiles files, ClientCertificate clients, const Clock& clock, std::chrono::nanoseconds reload,
                         Oldest oldest, Names names)
    : files_(std::move(files)),
      clients_(clients),
      oldest_(oldest),
      names_(names),
      watch_({files_.certificate, files_.private_key, files_.roots}, reload, clock) {}

TlsAcceptor::~TlsAcceptor() = default;

absl::StatusOr<std::unique_ptr<TlsAcceptor>> TlsAcceptor::Make(TlsFiles files, ClientCertificate clients,
                                                               const Clock& clock, std::chrono::nanoseconds reload,
                                                               Oldest oldest, Names names) {
  if (clients != ClientCertificate::kNone && files.roots.empty())
    return InvalidArgument("clients' certificates need roots to be verified against");
  std::unique_ptr<TlsAcceptor> acceptor(new TlsAcceptor(std::move(files), clients, clock, reload, oldest, names));
  const MutexLock lock(acceptor->mutex_);
  ASSIGN_OR_RETURN(acceptor->context_, acceptor->Load());
  return acceptor;
}

absl::StatusOr<std::shared_ptr<const TlsAcceptor::Context>> TlsAcceptor::Load() const {
  auto context = std::make_shared<Context>();
  const int oldest = oldest_ == Oldest::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
  ASSIGN_OR_RETURN(context->ctx, MakeContext(TLS_server_method(), files_, oldest, names_));
  SSL_CTX* const ctx = context->ctx.get();
  crypto::OrDie(SSL_CTX_set_num_tickets(ctx, 0) == 1, "SSL_CTX_set_num_tickets");
  if (clients_ == ClientCertificate::kRequired)
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (clients_ == ClientCertificate::kOptional) SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
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

std::unique_ptr<TlsStream::Impl> TlsAcceptor::NewSession(int socket) {
  const std::shared_ptr<const Context> context = Current();
  auto impl = std::make_unique<TlsStream::Impl>();
  impl->ssl.reset(SSL_new(context->ctx.get()));
  crypto::OrDie(impl->ssl != nullptr && SSL_set_fd(impl->ssl.get(), socket) == 1, "SSL_new");
  return impl;
}

absl::StatusOr<std::unique_ptr<TlsStream>> TlsAcceptor::Accept(int socket, std::chrono::nanoseconds timeout) {
  auto impl = NewSession(socket);
  RETURN_IF_ERROR(Handshake(impl->ssl.get(), SSL_accept, socket, timeout, "client"));
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(impl)));
}

std::unique_ptr<TlsHandshake> TlsAcceptor::Begin(int socket) {
  return std::unique_ptr<TlsHandshake>(new TlsHandshake(NewSession(socket)));
}

TlsHandshake::TlsHandshake(std::unique_ptr<TlsStream::Impl> impl) : impl_(std::move(impl)), poll_events_(POLLIN) {}
TlsHandshake::~TlsHandshake() = default;

absl::StatusOr<std::unique_ptr<TlsStream>> TlsHandshake::Step() {
  SSL* const ssl = impl_->ssl.get();
  ERR_clear_error();
  const int done = SSL_accept(ssl);
  if (done == 1) return std::unique_ptr<TlsStream>(new TlsStream(std::move(impl_)));
  const int error = SSL_get_error(ssl, done);
  if (!Wants(error)) return HandshakeError(ssl, "client");
  poll_events_ = EventsFor(error);
  return nullptr;
}

absl::StatusOr<std::unique_ptr<TlsStream>> ConnectTls(
    int socket, const TlsFiles& files, const std::string& host,
    const std::function<absl::Status(std::string_view leaf_pem)>& check, std::chrono::nanoseconds timeout) {
  ASSIGN_OR_RETURN(const SslCtxPtr context, MakeContext(TLS_client_method(), files, TLS1_3_VERSION));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  auto impl = std::make_unique<TlsStream::Impl>();
  impl->ssl.reset(SSL_new(context.get()));
  SSL* const ssl = impl->ssl.get();
  crypto::OrDie(ssl != nullptr && SSL_set_fd(ssl, socket) == 1, "SSL_new");
  // An address is no name (RFC 6066 section 3); OpenSSL refuses what is too long to be one.
  std::string name = host;  // OpenSSL's macro for this casts, and the call behind it only reads
  if (!IpAddress::Parse(host).ok() &&
      SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data()) != 1)
    return InvalidArgument("'{}' is no host name", host);
  RETURN_IF_ERROR(Handshake(ssl, SSL_connect, socket, timeout, "server"));
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(impl)));
  RETURN_IF_ERROR(check(stream->peer_certificate_pem()));
  return stream;
}

absl::StatusOr<std::unique_ptr<TlsStream>> ConnectTlsTo(int socket, const TlsClientOptions& options,
                                                        std::chrono::nanoseconds timeout) {
  const SslCtxPtr context = BareContext(TLS_client_method(), TLS1_2_VERSION);
  const TlsFiles& files = options.files;
  if (!files.certificate.empty() && !LoadCertificate(context.get(), files))
    return InvalidArgument("{}, {}: OpenSSL does not take them: {}", files.certificate, files.private_key,
                           DrainOpenSslErrors());
  if (options.verify) {
    const bool rooted = files.roots.empty() ? SSL_CTX_set_default_verify_paths(context.get()) == 1
                                            : SSL_CTX_load_verify_file(context.get(), files.roots.c_str()) == 1;
    if (!rooted) return InvalidArgument("{}: OpenSSL does not take it: {}", files.roots, DrainOpenSslErrors());
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  auto impl = std::make_unique<TlsStream::Impl>();
  impl->ssl.reset(SSL_new(context.get()));
  SSL* const ssl = impl->ssl.get();
  crypto::OrDie(ssl != nullptr && SSL_set_fd(ssl, socket) == 1, "SSL_new");
  const bool address = IpAddress::Parse(options.name).ok();
  std::string name = options.name;
  const bool named = address
                         ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1
                         : !name.empty() && SSL_set1_host(ssl, name.c_str()) == 1 &&
                               SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data()) == 1;
  if (!named) return InvalidArgument("'{}' is no host name", options.name);
  RETURN_IF_ERROR(Handshake(ssl, SSL_connect, socket, timeout, "server"));
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(impl)));
}

}  // namespace virp::service
