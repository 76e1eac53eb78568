#include "services/keymgr/rpki_part.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "lib/base/status.h"
#include "lib/service/logging.h"
#include "services/keymgr/domain/router_use.h"
#include "services/keymgr/domain/rpki_names.h"
#include "services/keymgr/teller.h"

namespace virp::keymgr {
namespace {

constexpr std::chrono::milliseconds kTick{500};
constexpr std::chrono::seconds kWarnEvery{10};
constexpr std::size_t kOneTimeKeys = 4;  // two for each publication
constexpr std::size_t kMostInCalendar = 1'000;

// Waits for `longest` or the stop.
void Pause(const std::stop_token& stop, std::chrono::milliseconds longest) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, longest, [] { return false; });
}

double SecondsOf(UnixNanos time) {
  return static_cast<double>(time) / static_cast<double>(kNanosPerSecond);
}

}  // namespace

std::vector<RecordType> RpkiPart::Types() {
  return {TypeOf<AuthorityRecord>(), TypeOf<RouterCertificateRecord>(), TypeOf<ExpiryNoticeRecord>()};
}

absl::StatusOr<std::unique_ptr<RpkiPart>> RpkiPart::Make(const RpkiConfig& config, LedgerEngine& ledger,
                                                         const Custodies& custodies,
                                                         std::shared_ptr<const service::CallerResolver> callers,
                                                         const Clock& clock, const std::string& self) {
  std::unique_ptr<WebhookRecipient> webhook;
  if (!config.webhook.empty()) {
    service::WebhookOptions options;
    options.url = config.webhook;
    options.token_file = config.webhook_token;
    options.roots = config.webhook_roots;
    auto hook = service::Webhook::Make(std::move(options));
    if (!hook.ok()) return Annotate(hook.status(), "expiry-webhook");
    webhook = std::make_unique<WebhookRecipient>(*std::move(hook));
  }
  return std::unique_ptr<RpkiPart>(
      new RpkiPart(config, ledger, custodies, std::move(callers), clock, self, std::move(webhook)));
}

RpkiPart::RpkiPart(const RpkiConfig& config, LedgerEngine& ledger, const Custodies& custodies,
                   std::shared_ptr<const service::CallerResolver> callers, const Clock& clock, const std::string& self,
                   std::unique_ptr<WebhookRecipient> webhook)
    : ledger_(ledger),
      clock_(clock),
      webhook_(std::move(webhook)),
      calendar_(config.calendar),
      target_(config.publication),
      one_time_keys_(kOneTimeKeys),
      authority_(ledger, custodies, target_, one_time_keys_, clock, config.authority, self),
      feed_(ledger),
      expiry_(ledger, clock, Recipients(), self, &IsInUse, &ImportedCertificates, &SigningPlaces),
      keeper_(authority_, one_time_keys_, clock, [this] { return IsOpen(); }),
      handler_({authority_, feed_, expiry_, keeper_, [&ledger] { return ledger.Readable(); }}, std::move(callers),
               clock),
      pulse_("publication", clock) {}

std::vector<NoticeRecipient*> RpkiPart::Recipients() {
  std::vector<NoticeRecipient*> out{&log_};
  if (webhook_ != nullptr) out.push_back(webhook_.get());
  return out;
}

bool RpkiPart::IsOpen() const {
  return ledger_.Open().ok();
}

void RpkiPart::AddTo(std::vector<service::ServedService>& served) {
  served.push_back({&handler_, "virp.keymgr.v1.RpkiService"});
}

void RpkiPart::AddMetrics(service::Metrics& metrics) {
  const auto number = metrics.AddGauge("rpki_publication_number", "Number of CRL and manifest that are out.");
  const auto until = metrics.AddGauge("rpki_published_until_seconds", "Unix time until which they are good; 0: none.");
  const auto listed = metrics.AddGauge("rpki_certificates", "Router certificates that are published.");
  const auto waiting = metrics.AddGauge("rpki_waiting_changes", "Certificates and revocations not published yet.");
  const auto problem =
      metrics.AddGauge("rpki_problem", "1 while the newest publication failed, or our chain is wrong.");
  const auto published = metrics.AddCounter("rpki_publications_total", "Publications because they were due.");
  const auto failed = metrics.AddCounter("rpki_failed_publications_total", "Attempts that failed.");
  const auto stock = metrics.AddGauge("rpki_one_time_keys", "Keys in stock for manifests.");
  const auto covered = metrics.AddGauge("covered_routers", "Routers, by AS, with a valid, published certificate.");
  const auto uncovered = metrics.AddGauge("uncovered_routers", "Those that should have one and have none.");
  const auto soonest = metrics.AddGauge("first_expiry_seconds", "Unix time at which the next certificate ends.");
  const auto told = metrics.AddCounter("expiry_notices_total", "Notices that a certificate ends, by recipient.");
  const auto untold = metrics.AddCounter("failed_expiry_notices_total", "Attempts to give one that failed.");
  const auto keys = metrics.AddGauge("router_feed_keys", "Router keys in the feed.");
  const auto watchers = metrics.AddGauge("router_feed_watchers", "Callers that watch it.");
  metrics.OnCollect([=, this] {
    const PublicationState state = authority_.State();
    const PublicationHealth health = keeper_.health();
    number.Set(state.number);
    until.Set(SecondsOf(state.published_until));
    listed.Set(state.certificates);
    waiting.Set(state.waiting);
    problem.Set(health.problem.empty() ? 0 : 1);
    published.Set(health.published);
    failed.Set(health.failed);
    stock.Set(one_time_keys_.size());
    const Coverage coverage = expiry_.coverage();
    covered.Set(coverage.covered);
    uncovered.Set(coverage.uncovered);
    soonest.Set(SecondsOf(coverage.soonest));
    told.Set(expiry_.told());
    untold.Set(expiry_.failed());
    keys.Set(feed_.size());
    watchers.Set(handler_.watchers());
  });
}

void RpkiPart::AddReadiness(service::Readiness& readiness) {
  readiness.Add("rpki publication", [this] { return keeper_.Ready(); });
}

absl::Status RpkiPart::CheckAlive() const {
  return CheckPulses({&pulse_});
}

void RpkiPart::Drain() {
  handler_.Drain();
}

void RpkiPart::Start(TaskGroup& tasks) {
  tasks.Start("publication", [this](const std::stop_token& stop) { return Publish(stop); });
  tasks.Start("expiry", [this](const std::stop_token& stop) { return Warn(stop); });
}

absl::Status RpkiPart::Publish(const std::stop_token& stop) {
  Teller teller("RPKI publication");
  const AtWork at_work(pulse_);
  while (!stop.stop_requested()) {
    pulse_.Beat();
    const auto more = keeper_.Round();
    // While it waits to try again the trouble is not over.
    teller.Tell(more.ok() && !keeper_.health().problem.empty() ? Unavailable("{}", keeper_.health().problem)
                                                               : more.status());
    if (more.ok() && *more) continue;
    const AtRest at_rest(pulse_);
    Pause(stop, kTick);
  }
  return absl::OkStatus();
}

absl::Status RpkiPart::Warn(const std::stop_token& stop) {
  Teller notices("notices that certificates end"), calendar("calendar of certificates that end");
  auto next = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    if (IsOpen() && std::chrono::steady_clock::now() >= next) {
      next = std::chrono::steady_clock::now() + kWarnEvery;
      notices.Tell(expiry_.Round().status());
      calendar.Tell(calendar_.Write(expiry_.Expiring(~UnixNanos{0}, kMostInCalendar), clock_.NowNanos()));
    }
    Pause(stop, kTick);
  }
  return absl::OkStatus();
}

}  // namespace virp::keymgr
