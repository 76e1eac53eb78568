#include "services/keymgr/transport/est/est_server.h"

#include <utility>

#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

service::Security WithTable(service::Security security) {
  // EstAccess has three different names with a role each: what Create complains about is not there.
  security.table =
      std::make_shared<const service::AuthorizationTable>(service::AuthorizationTable::Create(EstAccess()).value());
  return security;
}

http::Response Uncached(http::Response answer) {
  answer.fields.push_back({"cache-control", "no-store"});
  return answer;
}

}  // namespace

EstServer::EstServer(Enrolment& enrolment, service::Security security)
    : answerer_(enrolment, WithTable(std::move(security))) {}

absl::StatusOr<std::unique_ptr<EstServer>> EstServer::Start(const EstOptions& options, Enrolment& enrolment,
                                                            service::Security security, const Clock& clock) {
  service::HttpServerOptions with;
  with.name = "est";
  with.listen = options.listen;
  with.tls = service::HttpTls{
      .files = options.tls, .clients = service::TlsAcceptor::ClientCertificate::kRequired, .reload = options.reload};
  with.connections = options.connections;
  with.handshake = options.handshake;
  with.patience = with.stall = with.answer = options.patience;
  with.limits = options.limits;
  const service::RefusalHook on_refusal = security.on_refusal;
  std::unique_ptr<EstServer> server(new EstServer(enrolment, std::move(security)));
  EstServer& at = *server;
  ASSIGN_OR_RETURN(
      at.server_, service::HttpServer::Start(
                      std::move(with),
                      [&at](const http::Request& request, std::string_view leaf_pem) -> service::HttpAnswer {
                        return {Uncached(at.answerer_.Answer(request, leaf_pem))};
                      },
                      [](int code, std::string_view why) { return Uncached(EstError(code, why)); }, on_refusal, clock));
  return server;
}

}  // namespace virp::keymgr
