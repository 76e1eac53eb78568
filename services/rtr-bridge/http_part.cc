#include "services/rtr-bridge/http_part.h"

#include <utility>

#include "lib/base/status.h"
#include "lib/service/logging.h"
#include "services/rtr-bridge/transport/export_signer.h"

namespace virp::rtr_bridge {
namespace {

absl::StatusOr<SignDocument> SignerOf(const HttpConfig& config, const frame::KeyProvider* keys, const Clock& clock) {
  if (!config.signing_key.empty()) return SignWithFile(config.signing_key);
  if (config.sign_as.empty()) return SignDocument();
  return SignAs(config.sign_as, *keys, clock);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpPart>> HttpPart::Start(const HttpConfig& config, const std::string& name,
                                                          const Board& board, const Cache& cache,
                                                          const frame::KeyProvider* keys, const Clock& clock) {
  auto sign = SignerOf(config, keys, clock);
  if (!sign.ok()) return Annotate(sign.status(), "http-signing-key");
  std::unique_ptr<HttpPart> part(new HttpPart(name, board, cache, *std::move(sign), clock));
  if (!config.listen) return part;
  service::HttpServerOptions options;
  options.name = "http";
  options.listen = FormatHostPort(*config.listen);
  if (!config.tls.certificate.empty()) {
    using Client = service::TlsAcceptor::ClientCertificate;
    options.tls = service::HttpTls{.files = config.tls,
                                   .clients = config.tls.roots.empty() ? Client::kNone : Client::kRequired,
                                   .names = service::TlsAcceptor::Names::kAny};
  }
  options.answer = std::chrono::minutes(5);  // a large table on a slow line; who stands still is cut off long before
  options.limits.body = 0;
  options.make_room = true;
  const HttpPart& at = *part;
  const auto log = std::make_shared<service::LogLimiter>(std::chrono::seconds(10), 20, clock);
  auto server = service::HttpServer::Start(
      std::move(options),
      [&at](const http::Request& request, std::string_view) { return at.answerer_.Answer(request); }, HttpError,
      [log](const service::Refusal& refusal) {
        if (const auto unsaid = log->Admit()) {
          service::LogStatus(service::LogLevel::kInfo, "a connection to the HTTP address was not let in",
                             refusal.status, {{"suppressed", *unsaid}});
        }
      },
      clock);
  if (!server.ok()) return Annotate(server.status(), "http");
  part->server_ = *std::move(server);
  part->host_ = config.listen->host;
  return part;
}

void HttpPart::Drain() {
  if (server_ != nullptr) server_->Stop();
}

std::string HttpPart::address() const {
  if (server_ == nullptr) return "none";
  return FormatHostPort({host_, static_cast<std::uint16_t>(server_->port())});
}

}  // namespace virp::rtr_bridge
