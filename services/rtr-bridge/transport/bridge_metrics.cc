#include "services/rtr-bridge/transport/bridge_metrics.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace virp::rtr_bridge {
namespace {

using service::Counter;
using service::Gauge;
using service::Metrics;

double Seconds(UnixNanos nanos) {
  return static_cast<double>(nanos) / 1e9;
}

// When the source's data were last known to be good; of a feed that is up, the moment of which they are. Once it was
// read.
UnixNanos GoodAt(const SourceState& source, UnixNanos now) {
  const bool live = source.reading && source.reading->live;
  return live ? source.reading->built.value_or(now) : *source.last_good;
}

void AddCacheMetrics(Metrics& metrics, const Cache& cache) {
  struct Handles {
    Gauge v4, v6, keys, aspas, generation, activated, held, stale, stale_since, state_unwritten, slurm_failed, left_out;
    std::vector<Gauge> serials;
  };
  auto handles = std::make_shared<Handles>();
  const auto payloads = [&](const char* kind) {
    return metrics.AddGauge("payloads", "Payloads that are served.", {{"kind", kind}});
  };
  handles->v4 = payloads("vrp_ipv4");
  handles->v6 = payloads("vrp_ipv6");
  handles->keys = payloads("router_key");
  handles->aspas = payloads("aspa");
  handles->generation = metrics.AddGauge("generation", "Number of the generation that is served; 0 while none is.");
  handles->activated =
      metrics.AddGauge("generation_activated_seconds", "Since when it is served, in seconds since 1970.");
  handles->held = metrics.AddGauge("generation_held", "1 while a guard holds a generation back.");
  handles->stale =
      metrics.AddGauge("stale", "1 while too few sources have data that still count: the last set is served, or none.");
  handles->stale_since =
      metrics.AddGauge("stale_since_seconds", "Since when, in seconds since 1970; 0 while it is not.");
  handles->slurm_failed =
      metrics.AddGauge("slurm_failed", "1 while the SLURM files cannot be taken as they are on disk.");
  handles->left_out = metrics.AddGauge("left_out", "Payloads that sources and SLURM files together do not make.");
  handles->state_unwritten =
      metrics.AddGauge("state_unwritten", "1 while the state cannot be written: after a restart routers reload.");
  for (int version = 0; version < static_cast<int>(rtr::kVersions); ++version) {
    handles->serials.push_back(
        metrics.AddGauge("serial", "Serial that is served.", {{"version", std::to_string(version)}}));
  }
  metrics.OnCollect([handles, &cache] {
    const CacheStatus status = cache.status();
    handles->held.Set(status.held ? 1 : 0);
    handles->slurm_failed.Set(status.slurm.problem.ok() ? 0 : 1);
    handles->left_out.Set(status.left_out.size());
    handles->state_unwritten.Set(status.state_problem.ok() ? 0 : 1);
    handles->stale.Set(status.stale_since ? 1 : 0);
    handles->stale_since.Set(Seconds(status.stale_since.value_or(0)));
    const Generation serving = status.serving.value_or(Generation{});
    handles->v4.Set(serving.counts.vrps4);
    handles->v6.Set(serving.counts.vrps6);
    handles->keys.Set(serving.counts.router_keys);
    handles->aspas.Set(serving.counts.aspas);
    handles->generation.Set(serving.number);
    handles->activated.Set(Seconds(serving.activated));
    for (std::size_t version = 0; version < rtr::kVersions; ++version)
      handles->serials[version].Set(serving.serials.at(version).serial);
  });
}

void AddSourceMetrics(Metrics& metrics, const Cache& cache, const SourceRunner& runner, const Clock& clock) {
  struct Handles {
    Counter good, unchanged, failed;
    Gauge age, expired, payloads, left_out;
    std::array<Counter, kFailures.size()> failures;
  };
  auto all = std::make_shared<std::vector<Handles>>();
  for (const SourceState& source : cache.status().sources) {
    const auto readings = [&](const char* result) {
      return metrics.AddCounter("source_readings_total", "Readings of a source.",
                                {{"source", source.name}, {"result", result}});
    };
    const service::MetricLabels name{{"source", source.name}};
    all->push_back(
        {readings("good"),
         readings("unchanged"),
         readings("failed"),
         metrics.AddGauge("source_age_seconds",
                          "Since its last good reading, or of a feed since what it says; -1 before the first.", name),
         metrics.AddGauge("source_expired",
                          "1 when it was without good data for longer than its expire: its payloads do not count.",
                          name),
         metrics.AddGauge("source_payloads", "Payloads of its last good reading.", name),
         metrics.AddGauge("source_left_out", "Bad records that were left out of it.", name),
         {}});
    for (std::size_t i = 0; i < kFailures.size(); ++i) {
      all->back().failures.at(i) =
          metrics.AddCounter("source_failures_total", "Readings of a source that failed, by reason.",
                             {{"source", source.name}, {"reason", std::string(kFailures.at(i))}});
    }
  }
  metrics.OnCollect([all, &cache, &runner, &clock] {
    const std::vector<SourceState> sources = cache.status().sources;
    const UnixNanos now = clock.NowNanos();
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const Handles& to = (*all)[i];
      const SourceCounters& counters = runner.counters(i);
      to.good.Set(counters.good);
      to.unchanged.Set(counters.unchanged);
      to.failed.Set(counters.failed);
      for (std::size_t reason = 0; reason < kFailures.size(); ++reason)
        to.failures.at(reason).Set(counters.failures.at(reason));
      const SourceState& source = sources[i];
      to.age.Set(!source.last_good ? -1.0 : Seconds(now - std::min(now, GoodAt(source, now))));
      to.expired.Set(source.expired_at(now) ? 1 : 0);
      to.payloads.Set(source.reading ? source.reading->payloads->size() : 0);
      to.left_out.Set(source.reading ? source.reading->left_out : 0);
    }
  });
}

// Who came, and who was let in.
void AddDoorMetrics(Metrics& metrics, const RouterServer& routers) {
  struct Handles {
    Counter accepted, not_allowed, too_many, ssh_good, ssh_refused, ssh_failed, ssh_turned_away;
    std::vector<Gauge> listeners;
  };
  const auto to = std::make_shared<Handles>();
  const auto door = [&](const char* result) {
    return metrics.AddCounter("door_total", "Connections at the door.", {{"result", result}});
  };
  to->accepted = door("accepted");
  to->not_allowed = door("not_allowed");
  to->too_many = door("too_many");
  const auto logins = [&](const char* result) {
    return metrics.AddCounter("ssh_logins_total", "Attempts to log in over SSH.", {{"result", result}});
  };
  to->ssh_good = logins("good");
  to->ssh_refused = logins("refused");
  to->ssh_failed = logins("failed");
  to->ssh_turned_away = logins("turned_away");
  for (const RouterServer::Bound& listener : routers.listeners())
    to->listeners.push_back(
        metrics.AddGauge("routers", "Routers that are connected.", {{"listener", listener.address}}));
  metrics.OnCollect([to, &routers] {
    to->accepted.Set(routers.door().accepted);
    to->not_allowed.Set(routers.door().not_allowed);
    to->too_many.Set(routers.door().too_many);
    const RouterServer::SshLogins ssh = routers.ssh_logins();
    to->ssh_good.Set(ssh.good);
    to->ssh_refused.Set(ssh.refused);
    to->ssh_failed.Set(ssh.failed);
    to->ssh_turned_away.Set(ssh.turned_away);
    const auto listeners = routers.listeners();
    for (std::size_t i = 0; i < listeners.size(); ++i) to->listeners[i].Set(listeners[i].routers);
  });
}

void AddPduMetrics(Metrics& metrics, const RouterCounters& from) {
  struct Handles {
    std::vector<Counter> pdus_in, pdus_out, errors_sent, errors_received;
  };
  const auto to = std::make_shared<Handles>();
  for (std::uint8_t type = 0; type < rtr::kPduTypes; ++type) {
    const std::string name(rtr::PduTypeName(type));
    to->pdus_in.push_back(metrics.AddCounter("pdus_total", "PDUs.", {{"direction", "received"}, {"type", name}}));
    to->pdus_out.push_back(metrics.AddCounter("pdus_total", "PDUs.", {{"direction", "sent"}, {"type", name}}));
  }
  for (std::size_t code = 0; code < from.errors_sent.size(); ++code) {
    const std::string name = code == from.errors_sent.size() - 1 ? "other" : std::to_string(code);
    to->errors_sent.push_back(
        metrics.AddCounter("errors_total", "Error Reports.", {{"direction", "sent"}, {"code", name}}));
    to->errors_received.push_back(
        metrics.AddCounter("errors_total", "Error Reports.", {{"direction", "received"}, {"code", name}}));
  }
  metrics.OnCollect([to, &from] {
    for (std::size_t type = 0; type < rtr::kPduTypes; ++type) {
      to->pdus_in[type].Set(from.pdus_in[type]);
      to->pdus_out[type].Set(from.pdus_out[type]);
    }
    for (std::size_t code = 0; code < from.errors_sent.size(); ++code) {
      to->errors_sent[code].Set(from.errors_sent[code]);
      to->errors_received[code].Set(from.errors_received[code]);
    }
  });
}

// Of those who are inside.
void AddRouterMetrics(Metrics& metrics, const RouterCounters& from) {
  struct Handles {
    Counter opened, closed, handshakes_failed, given_up, bytes_in, bytes_out, full, incremental, resets,
        unknown_sessions;
  };
  const auto to = std::make_shared<Handles>();
  to->opened = metrics.AddCounter("connections_opened_total", "Connections of routers.");
  to->closed = metrics.AddCounter("connections_closed_total", "Of them, those that ended.");
  to->handshakes_failed = metrics.AddCounter("handshakes_failed_total", "TLS handshakes that failed.");
  to->given_up = metrics.AddCounter("routers_given_up_total", "Routers that kept old sets in memory for too long.");
  to->bytes_in = metrics.AddCounter("bytes_total", "Octets of RTR.", {{"direction", "received"}});
  to->bytes_out = metrics.AddCounter("bytes_total", "Octets of RTR.", {{"direction", "sent"}});
  to->full = metrics.AddCounter("answers_total", "Answers to queries.", {{"kind", "full"}});
  to->incremental = metrics.AddCounter("answers_total", "Answers to queries.", {{"kind", "incremental"}});
  to->resets = metrics.AddCounter("answers_total", "Answers to queries.", {{"kind", "cache_reset"}});
  to->unknown_sessions =
      metrics.AddCounter("unknown_session_resets_total", "Cache Resets for a session that is none of this bridge's.");
  metrics.OnCollect([to, &from] {
    to->opened.Set(from.opened);
    to->closed.Set(from.closed);
    to->handshakes_failed.Set(from.handshakes_failed);
    to->given_up.Set(from.given_up);
    to->bytes_in.Set(from.bytes_in);
    to->bytes_out.Set(from.bytes_out);
    to->full.Set(from.full_answers);
    to->incremental.Set(from.incremental_answers);
    to->resets.Set(from.cache_resets);
    to->unknown_sessions.Set(from.unknown_session_resets);
  });
  AddPduMetrics(metrics, from);
}

// Answers by their status code; everything else counts as "other".
constexpr std::array<int, 10> kHttpCodes{0, 200, 304, 400, 404, 405, 408, 413, 431, 503};

void AddHttpMetrics(Metrics& metrics, const service::HttpServer* server) {
  const char* const help = "Connections to the HTTP address by the status code of their answer.";
  const Gauge connections = metrics.AddGauge("http_connections", "Connections to the HTTP address that are open.");
  std::array<Counter, kHttpCodes.size()> counters;
  for (std::size_t i = 0; i < kHttpCodes.size(); ++i) {
    const std::string code = kHttpCodes.at(i) == 0 ? "none" : std::to_string(kHttpCodes.at(i));
    counters.at(i) = metrics.AddCounter("http_answers_total", help, {{"code", code}});
  }
  const Counter other = metrics.AddCounter("http_answers_total", help, {{"code", "other"}});
  if (server == nullptr) return;
  metrics.OnCollect([=] {
    connections.Set(server->connections());
    std::map<int, std::uint64_t> answers = server->Answers();
    for (std::size_t i = 0; i < kHttpCodes.size(); ++i) {
      counters.at(i).Set(answers[kHttpCodes.at(i)]);
      answers.erase(kHttpCodes.at(i));
    }
    std::uint64_t rest = 0;
    for (const auto& [code, count] : answers) rest += count;
    other.Set(rest);
  });
}

void AddEvidenceMetrics(Metrics& metrics, const OutboxRecorder* recorder) {
  const char* const help = "Records that were signed and spooled.";
  const Counter recorded = metrics.AddCounter("records_total", help, {{"result", "spooled"}});
  const Counter lost = metrics.AddCounter("records_total", help, {{"result", "lost"}});
  if (recorder == nullptr) return;
  metrics.OnCollect([recorded, lost, recorder] {
    recorded.Set(recorder->recorded());
    lost.Set(recorder->lost());
  });
}

}  // namespace

void AddMetrics(Metrics& metrics, const MetricParts& parts) {
  AddCacheMetrics(metrics, parts.cache);
  AddSourceMetrics(metrics, parts.cache, parts.sources, parts.clock);
  AddDoorMetrics(metrics, parts.routers);
  AddRouterMetrics(metrics, parts.routers.counters());
  AddHttpMetrics(metrics, parts.http);
  AddEvidenceMetrics(metrics, parts.recorder);
  AddStayRtrMetrics(metrics, parts);
  if (parts.keys != nullptr) parts.keys->AddMetrics(metrics);
  if (parts.refusals != nullptr) parts.refusals->AddMetrics(metrics, parts.server);
}

}  // namespace virp::rtr_bridge
