// The connection under a router's session: plain or TLS, never waiting. Belongs to one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "lib/base/ip.h"
#include "lib/service/tls_stream.h"

namespace virp::rtr_bridge {

class RouterStream {
 public:
  virtual ~RouterStream() = default;

  virtual int socket() const = 0;
  // True once bytes can flow, which for TLS is behind the handshake. An error ends the connection.
  virtual absl::StatusOr<bool> Open() { return true; }
  // Whether Open takes a processor for some time, a millisecond and more: so it is called now and then.
  virtual bool opens_slowly() const { return false; }
  // Bytes read; 0: the peer has closed; nothing: not now. An error ends the connection.
  virtual absl::StatusOr<std::optional<std::size_t>> Read(std::span<char> buffer) = 0;
  // Bytes taken of the pieces, in order; 0: not now. Bytes that were taken are on their way, whatever comes next.
  virtual absl::StatusOr<std::size_t> Write(std::span<const std::string_view> pieces) = 0;
  // Whether some that were taken have not left: then Write wants to be called again, with or without pieces.
  virtual bool holds() const { return false; }
  // Octets that were taken and that the peer's side of the socket has not; for a local pair, memory of those.
  virtual std::size_t waiting() const;
  // Nothing more will be written; what the peer sends can still be read.
  virtual void CloseWrite() = 0;
  // What the last call that did nothing waits for, if that is not the obvious: POLLIN, POLLOUT or 0.
  virtual short also_wants() const { return 0; }
  // Who the peer proved to be, once Open gave true; empty: nobody.
  virtual std::string identity() const { return {}; }
};

std::unique_ptr<RouterStream> MakePlainStream(FileDescriptor socket);
// `address_in_certificate`: a router's certificate has to name the address that it comes from (RFC 8210 section 9.2).
std::unique_ptr<RouterStream> MakeTlsStream(FileDescriptor socket, service::TlsAcceptor& acceptor,
                                            const IpAddress& peer, bool address_in_certificate);

}  // namespace virp::rtr_bridge
