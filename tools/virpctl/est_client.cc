#include "tools/virpctl/est_client.h"

#include <array>
#include <csignal>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/service/tls_stream.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "tools/virpctl/tcp_socket.h"

namespace virp::virpctl {
namespace {

constexpr http::Limits kLimits{.head = 16 << 10, .fields = 64, .body = est::kMaxResponseBody};

absl::Status SendAll(service::TlsStream& tls, int socket, std::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    RETURN_IF_ERROR(CheckTime(deadline));
    ASSIGN_OR_RETURN(const auto sent, tls.Write(bytes));
    if (sent) {
      bytes.remove_prefix(*sent);
    } else {
      RETURN_IF_ERROR(AwaitSocket(socket, tls.poll_events(), deadline));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<http::Response> Receive(service::TlsStream& tls, int socket, Deadline deadline) {
  http::ResponseReader reader(kLimits);
  std::array<char, 16 << 10> buffer{};
  while (true) {
    RETURN_IF_ERROR(CheckTime(deadline));
    ASSIGN_OR_RETURN(const auto got, tls.Read(buffer));
    if (!got) {
      RETURN_IF_ERROR(AwaitSocket(socket, tls.poll_events(), deadline));
      continue;
    }
    if (*got == 0) {
      RETURN_IF_ERROR(reader.End());
      return reader.response();
    }
    ASSIGN_OR_RETURN(const bool complete, reader.Take({buffer.data(), *got}));
    if (complete) return reader.response();
  }
}

absl::Status ErrorOf(const http::Response& response) {
  const auto code = [&] {
    switch (response.code) {
      case 400:
      case 411:
      case 413:
      case 415:
        return absl::StatusCode::kInvalidArgument;
      case 401:
      case 403:
        return absl::StatusCode::kPermissionDenied;
      case 404:
        return absl::StatusCode::kNotFound;
      case 409:
        return absl::StatusCode::kFailedPrecondition;
      case 429:
        return absl::StatusCode::kResourceExhausted;
      case 503:
        return absl::StatusCode::kUnavailable;
      default:
        return absl::StatusCode::kUnknown;
    }
  }();
  std::string_view text = response.body;
  while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
  absl::Status error = MakeStatus(code, "the EST server answers {}: {}", response.code, Printable(text));
  if (const auto after = http::Find(response.fields, "retry-after")) SetRetryAfter(error, est::RetryAfter(after));
  return error;
}

}  // namespace

absl::StatusOr<EstClient> EstClient::Make(const Connection& connection, const std::string& server) {
  if (server.empty()) return InvalidArgument("--est (or VIRPCTL_EST) is needed: host:port of the EST server");
  RETURN_IF_ERROR(CheckTls(connection));
  ASSIGN_OR_RETURN(HostPort address, ParseHostPort(server));
  ASSIGN_OR_RETURN(auto identities, IdentitiesOf(connection));
  return EstClient(connection, std::move(address), std::move(identities));
}

absl::StatusOr<http::Response> EstClient::Exchange(const http::Request& request) const {
  std::signal(SIGPIPE, SIG_IGN);
  const Deadline deadline = std::chrono::steady_clock::now() + connection_.timeout;
  auto response = ExchangeUntil(request, deadline);
  if (!response.ok()) return Annotate(response.status(), "EST server " + FormatHostPort(server_));
  return response;
}

absl::StatusOr<http::Response> EstClient::ExchangeUntil(const http::Request& request, Deadline deadline) const {
  ASSIGN_OR_RETURN(const auto addresses, Resolve(server_));
  ASSIGN_OR_RETURN(const FileDescriptor socket, ConnectAny(addresses, deadline));
  const auto check = [this](std::string_view leaf_pem) {
    const service::ExpectedServer expected{.role = service::Role::kKeymgr, .spiffe_id = ""};
    return service::CheckServerCertificate(expected, *identities_, nullptr, leaf_pem, server_.host);
  };
  ASSIGN_OR_RETURN(const auto tls,
                   service::ConnectTls(socket.get(), {connection_.certificate, connection_.key, connection_.roots},
                                       server_.host, check, deadline - std::chrono::steady_clock::now()));
  RETURN_IF_ERROR(SendAll(*tls, socket.get(), http::Encode(request, FormatHostPort(server_)), deadline));
  return Receive(*tls, socket.get(), deadline);
}

absl::StatusOr<std::vector<std::string>> EstClient::CaCertificates() const {
  ASSIGN_OR_RETURN(const http::Response response,
                   Exchange({"GET", est::PathOf({est::Operation::kCaCerts, ""}), {}, ""}));
  if (response.code != 200) return ErrorOf(response);
  return est::DecodeCertificates(http::Find(response.fields, "content-type").value_or(""), response.body);
}

absl::StatusOr<EstClient::Answer> EstClient::Enrol(est::Operation operation, std::uint32_t asn,
                                                   std::string_view csr) const {
  ASSIGN_OR_RETURN(const http::Response response, Exchange({"POST",
                                                            est::PathOf({operation, asn == 0 ? "" : est::AsLabel(asn)}),
                                                            {{"content-type", std::string(est::kRequestType)},
                                                             {"content-transfer-encoding", "base64"},
                                                             {"connection", "close"}},
                                                            est::EncodeRequest(csr)}));
  if (response.code == 202) return Answer{"", est::RetryAfter(http::Find(response.fields, "retry-after"))};
  if (response.code != 200) return ErrorOf(response);
  ASSIGN_OR_RETURN(std::vector<std::string> certificates,
                   est::DecodeCertificates(http::Find(response.fields, "content-type").value_or(""), response.body));
  if (certificates.size() != 1)
    return InvalidArgument("the EST server answers with {} certificates; one is issued", certificates.size());
  return Answer{std::move(certificates.front())};
}

}  // namespace virp::virpctl
