#include "services/keymgr/est_part.h"

#include <array>
#include <utility>

#include "lib/base/status.h"
#include "lib/service/logging.h"

namespace virp::keymgr {
namespace {

// What becomes of connections, by the answer's status code; everything else counts as OTHER.
constexpr std::array<std::pair<int, const char*>, 9> kOutcomes{{{0, "NO_REQUEST"},
                                                                {200, "CERTIFIED"},
                                                                {202, "PENDING"},
                                                                {400, "BAD_REQUEST"},
                                                                {403, "FORBIDDEN"},
                                                                {408, "SLOW"},
                                                                {409, "CONFLICT"},
                                                                {500, "INTERNAL"},
                                                                {503, "UNAVAILABLE"}}};

}  // namespace

absl::StatusOr<std::unique_ptr<EstPart>> EstPart::Start(const std::string& listen, const service::TlsFiles& tls,
                                                        RouterKeys& keys, const service::Security& security,
                                                        const Clock& clock) {
  std::unique_ptr<EstPart> part(new EstPart(keys));
  if (listen.empty()) return part;
  EstOptions options;
  options.listen = listen;
  options.tls = tls;
  auto server = EstServer::Start(std::move(options), part->enrolment_, security, clock);
  if (!server.ok()) return Annotate(server.status(), "est-listen");
  part->server_ = *std::move(server);
  service::LogInfo("routers may enrol by EST", {{"port", part->port()}});
  return part;
}

void EstPart::AddMetrics(service::Metrics& metrics) {
  if (server_ == nullptr) return;
  constexpr std::string_view kHelp = "Connections to the EST port by what became of them.";
  const auto connections = metrics.AddGauge("est_connections", "Connections to the EST port that are open.");
  std::array<service::Counter, kOutcomes.size()> counters;
  for (std::size_t i = 0; i < kOutcomes.size(); ++i)
    counters[i] = metrics.AddCounter("est_answers_total", kHelp, {{"outcome", kOutcomes[i].second}});
  const auto other = metrics.AddCounter("est_answers_total", kHelp, {{"outcome", "OTHER"}});
  metrics.OnCollect([=, this] {
    connections.Set(server_->connections());
    std::map<int, std::uint64_t> answers = server_->Answers();
    for (std::size_t i = 0; i < kOutcomes.size(); ++i) {
      counters[i].Set(answers[kOutcomes[i].first]);
      answers.erase(kOutcomes[i].first);
    }
    std::uint64_t rest = 0;
    for (const auto& [code, count] : answers) rest += count;
    other.Set(rest);
  });
}

void EstPart::Drain() {
  if (server_ != nullptr) server_->Stop();
}

}  // namespace virp::keymgr
