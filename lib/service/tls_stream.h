// TLS on sockets, for protocols that are not gRPC: on accepted ones with certificates that are read again when their
// files change, and, for tools, on ones that were connected. The process ignores SIGPIPE (BlockSignals). Neither
// tickets nor early data nor renegotiation: every connection shows who it is. OpenSSL stays behind this header.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/file_watch.h"
#include "lib/base/mutex.h"
#include "lib/service/credentials.h"

namespace virp::service {

// One connection behind its handshake. Borrows the socket. Not thread-safe.
class TlsStream {
 public:
  ~TlsStream();  // says goodbye when the socket takes it at once

  // What there is, without waiting: 1 byte and more; 0 when the peer closed, in whatever way (our protocols know by
  // themselves whether something is missing); nothing when poll_events() should be waited for. A record is handed out
  // whole when `buffer` has 16 KiB. Unauthenticated when the bytes are no TLS of this connection.
  absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer);
  // How many of the bytes were sent, without waiting: 1 and more, or nothing when poll_events() should be waited for.
  // Unavailable when the peer is gone.
  absl::StatusOr<std::optional<std::size_t>> Write(std::string_view bytes);
  // Nothing more will be written: the peer need not guess whether all has come. The destructor does the same.
  void SayGoodbye();
  short poll_events() const { return poll_events_; }

  // Of the peer's leaf, verified against the roots; empty when none was asked for.
  const std::string& peer_certificate_pem() const { return peer_pem_; }

 private:
  friend class TlsAcceptor;
  friend class TlsHandshake;
  friend absl::StatusOr<std::unique_ptr<TlsStream>> ConnectTls(
      int socket, const TlsFiles& files, const std::string& host,
      const std::function<absl::Status(std::string_view leaf_pem)>& check, std::chrono::nanoseconds timeout);
  friend absl::StatusOr<std::unique_ptr<TlsStream>> ConnectTlsTo(int socket, const struct TlsClientOptions& options,
                                                                 std::chrono::nanoseconds timeout);
  struct Impl;
  explicit TlsStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::string peer_pem_;
  short poll_events_;
};

// A server's handshake in steps, for whoever serves many sockets from one thread. Borrows the socket. Not thread-safe.
class TlsHandshake {
 public:
  ~TlsHandshake();
  // Goes on with what there is, without waiting: the stream once it is done, after which this is of no use; null when
  // poll_events() should be waited for. Errors as TlsAcceptor::Accept, but for time, which is the caller's.
  absl::StatusOr<std::unique_ptr<TlsStream>> Step();
  short poll_events() const { return poll_events_; }

 private:
  friend class TlsAcceptor;
  explicit TlsHandshake(std::unique_ptr<TlsStream::Impl> impl);
  std::unique_ptr<TlsStream::Impl> impl_;
  short poll_events_;
};

// Thread-safe.
class TlsAcceptor {
 public:
  // kOptional: who shows none comes in; who shows one that does not lead to the roots does not.
  enum class ClientCertificate : std::uint8_t { kNone, kOptional, kRequired };
  // The oldest version that is spoken. Of TLS 1.2 only suites with forward secrecy and authenticated encryption.
  enum class Oldest : std::uint8_t { kTls12, kTls13 };
  // What the server's own certificate must name: a SPIFFE id, as everything of the platform, or whatever its peers go
  // by (dNSName for routers, RFC 8210 section 9.2); then there need be no roots unless clients show certificates.
  enum class Names : std::uint8_t { kSpiffe, kAny };

  // InvalidArgument, naming the file, when they do not parse or do not belong together; an expired certificate is not
  // wrong. `clock` outlives this.
  static absl::StatusOr<std::unique_ptr<TlsAcceptor>> Make(TlsFiles files, ClientCertificate clients,
                                                           const Clock& clock,
                                                           std::chrono::nanoseconds reload = kDefaultReload,
                                                           Oldest oldest = Oldest::kTls13,
                                                           Names names = Names::kSpiffe);
  ~TlsAcceptor();

  // The whole handshake on a connected non-blocking socket, in at most `timeout`, however slowly bytes come: then
  // DeadlineExceeded. Unauthenticated with reason NO_CERTIFICATE or BAD_CERTIFICATE for the client's certificate, and
  // BAD_HANDSHAKE for anything else that the peer did. Shutting the socket down from another thread ends the wait.
  absl::StatusOr<std::unique_ptr<TlsStream>> Accept(int socket, std::chrono::nanoseconds timeout);
  // The same in steps.
  std::unique_ptr<TlsHandshake> Begin(int socket);

 private:
  struct Context;
  TlsAcceptor(TlsFiles files, ClientCertificate clients, const Clock& clock, std::chrono::nanoseconds reload,
              Oldest oldest, Names names);
  absl::StatusOr<std::shared_ptr<const Context>> Load() const;
  std::shared_ptr<const Context> Current();
  std::unique_ptr<TlsStream::Impl> NewSession(int socket);

  const TlsFiles files_;
  const ClientCertificate clients_;
  const Oldest oldest_;
  const Names names_;
  Mutex mutex_;
  FileWatch watch_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const Context> context_ ABSL_GUARDED_BY(mutex_);
};

// A client's handshake with TLS 1.3 on a connected non-blocking socket, which outlives the stream, in at most
// `timeout`. The server's chain must lead to the roots of `files`, and `check` must agree with its leaf
// (CheckServerCertificate) before anything is sent; `host` is told to the server (SNI). Errors: those of `check`;
// InvalidArgument for the files; Unauthenticated with reason BAD_CERTIFICATE or BAD_HANDSHAKE; DeadlineExceeded.
absl::StatusOr<std::unique_ptr<TlsStream>> ConnectTls(
    int socket, const TlsFiles& files, const std::string& host,
    const std::function<absl::Status(std::string_view leaf_pem)>& check, std::chrono::nanoseconds timeout);

// How a tool meets servers that are not of the platform, by names or addresses instead of SPIFFE ids.
struct TlsClientOptions {
  TlsFiles files;      // without certificate and key none is shown; without roots the system's count
  std::string name;    // host name or address that the server's certificate must have; told to it when it is a name
  bool verify = true;  // false: whoever answers will do
};
// The same with TLS 1.2 or 1.3. Errors likewise.
absl::StatusOr<std::unique_ptr<TlsStream>> ConnectTlsTo(int socket, const TlsClientOptions& options,
                                                        std::chrono::nanoseconds timeout);

}  // namespace virp::service
