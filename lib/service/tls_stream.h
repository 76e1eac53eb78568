// TLS 1.3 on accepted sockets, for protocols that are not gRPC: the server's side only. Certificates are those of the
// gRPC port and are read again when their files change; the process ignores SIGPIPE (BlockSignals). Neither tickets nor
// early data: every connection shows who it is. OpenSSL stays behind this header.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>

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
  short poll_events() const { return poll_events_; }

  // Of the peer's leaf, verified against the roots; empty when none was asked for.
  const std::string& peer_certificate_pem() const { return peer_pem_; }

 private:
  friend class TlsAcceptor;
  struct Impl;
  explicit TlsStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::string peer_pem_;
  short poll_events_;
};

// Thread-safe.
class TlsAcceptor {
 public:
  enum class ClientCertificate : std::uint8_t { kNone, kRequired };

  // InvalidArgument, naming the file, when they do not parse or do not belong together; an expired certificate is not
  // wrong. `clock` outlives this.
  static absl::StatusOr<std::unique_ptr<TlsAcceptor>> Make(TlsFiles files, ClientCertificate clients,
                                                           const Clock& clock,
                                                           std::chrono::nanoseconds reload = kDefaultReload);
  ~TlsAcceptor();

  // The whole handshake on a connected non-blocking socket, in at most `timeout`, however slowly bytes come: then
  // DeadlineExceeded. Unauthenticated with reason NO_CERTIFICATE or BAD_CERTIFICATE for the client's certificate, and
  // BAD_HANDSHAKE for anything else that the peer did. Shutting the socket down from another thread ends the wait.
  absl::StatusOr<std::unique_ptr<TlsStream>> Accept(int socket, std::chrono::nanoseconds timeout);

 private:
  struct Context;
  TlsAcceptor(TlsFiles files, ClientCertificate clients, const Clock& clock, std::chrono::nanoseconds reload);
  absl::StatusOr<std::shared_ptr<const Context>> Load() const;
  std::shared_ptr<const Context> Current();

  const TlsFiles files_;
  const ClientCertificate clients_;
  Mutex mutex_;
  FileWatch watch_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const Context> context_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::service
