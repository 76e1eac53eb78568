// A router's side of EST (RFC 7030): one request a connection, over mutual TLS, to a server whose certificate is a key
// manager's of our trust domain. For one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/units.h"
#include "lib/est/message.h"
#include "lib/http/message.h"
#include "lib/service/credentials.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/tcp_socket.h"

namespace virp::virpctl {

class EstClient {
 public:
  // With the certificate, key and roots of `connection`. InvalidArgument names what is missing.
  static absl::StatusOr<EstClient> Make(const Connection& connection, const std::string& server);

  // As the server gives them. Nobody vouches for them but the connection.
  absl::StatusOr<std::vector<std::string>> CaCertificates() const;

  struct Answer {
    std::string certificate;               // DER; empty while it waits for approval
    std::chrono::seconds retry_after{60};  // then
  };
  // `asn` 0: the router's only one. Errors have the server's words: InvalidArgument (400, 415), PermissionDenied (403),
  // NotFound, FailedPrecondition (409), ResourceExhausted (429) and Unavailable (503) with a time to come back;
  // Unauthenticated and DeadlineExceeded of the connection.
  absl::StatusOr<Answer> Enrol(est::Operation operation, std::uint32_t asn, std::string_view csr) const;

 private:
  EstClient(Connection connection, HostPort server, std::shared_ptr<const service::IdentityMap> identities)
      : connection_(std::move(connection)), server_(std::move(server)), identities_(std::move(identities)) {}
  absl::StatusOr<http::Response> Exchange(const http::Request& request) const;
  absl::StatusOr<http::Response> ExchangeUntil(const http::Request& request, Deadline deadline) const;

  Connection connection_;
  HostPort server_;
  std::shared_ptr<const service::IdentityMap> identities_;
};

}  // namespace virp::virpctl
