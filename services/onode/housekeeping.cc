#include "services/onode/housekeeping.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "lib/base/mutex.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "lib/service/logging.h"
#include "services/onode/transport/access.h"

namespace virp::onode {
namespace {

constexpr std::chrono::seconds kTick{1};
constexpr std::chrono::seconds kEntryWait{5};

void LogFrozen(Node& node, std::vector<std::string>& told) {
  for (Chain* chain : node.chains()) {
    const std::string why = chain->frozen();
    if (why.empty() || std::find(told.begin(), told.end(), chain->origin()) != told.end()) continue;
    told.push_back(chain->origin());
    service::LogError("chain is frozen: it answers and takes no entries", {{"origin", chain->origin()}, {"why", why}});
  }
}

// Said when it begins and when it ends, not while it lasts.
class LimitWatch {
 public:
  void Look(Node& node) {
    for (const Chain* chain : node.chains()) {
      std::set<std::string> now;
      for (std::string& source : chain->limited_sources()) now.insert(std::move(source));
      std::set<std::string>& before = limited_[chain->origin()];
      for (const std::string& source : now) {
        if (!before.contains(source)) {
          service::LogWarning("a source is over its limit; its frames wait in the deliverer's spool",
                              {{"origin", chain->origin()}, {"source", source}});
        }
      }
      for (const std::string& source : before) {
        if (!now.contains(source))
          service::LogInfo("a source is within its limit again", {{"origin", chain->origin()}, {"source", source}});
      }
      before = std::move(now);
      const bool full = chain->counters().reserve_only;
      if (std::exchange(full_[chain->origin()], full) == full) continue;
      if (full)
        service::LogError("the store is full but for its reserve: alarms, key events and clearing only",
                          {{"origin", chain->origin()}});
      else
        service::LogInfo("the store has room again", {{"origin", chain->origin()}});
    }
  }

 private:
  std::map<std::string, std::set<std::string>> limited_;  // by origin
  std::map<std::string, bool> full_;
};

}  // namespace

absl::Status KeepHouse(const std::stop_token& stop, Node& node, frame::KeyDirectory& keys) {
  std::vector<std::string> told;
  LimitWatch limits;
  std::mutex mutex;
  std::condition_variable_any wake;
  while (!stop.stop_requested()) {
    if (const absl::Status read = keys.Refresh(); !read.ok()) {
      service::LogStatus(service::LogLevel::kError, "key directory cannot be read; the last good keys stay", read);
    }
    if (const absl::Status opened = node.OpenNew(); !opened.ok() && !absl::IsUnavailable(opened)) {
      service::LogStatus(service::LogLevel::kError, "a chain in the store cannot be opened", opened);
    }
    LogFrozen(node, told);
    limits.Look(node);
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, kTick, [] { return false; });
  }
  return absl::OkStatus();
}

namespace {

// One chain's series; what is returned sets them.
std::function<void()> AddChainMetrics(service::Metrics& metrics, Chain& chain, const Clock& clock) {
  const service::MetricLabels labels{{"origin", chain.origin()}};
  const auto size = metrics.AddGauge("chain_entries", "Entries committed and checked.", labels);
  const auto leading = metrics.AddGauge("chain_leading", "1 while this O-Node leads the chain.", labels);
  const auto frozen = metrics.AddGauge(
      "chain_frozen", "1 when the chain takes no entries because it may have been rolled back.", labels);
  const auto signed_size = metrics.AddGauge("checkpoint_entries", "Size of the largest signed checkpoint.", labels);
  const auto lag = metrics.AddGauge("checkpoint_lag_entries", "Entries that no checkpoint covers yet.", labels);
  const auto subjects = metrics.AddGauge("facts_subjects", "Subjects that anything was said about.", labels);
  const auto memory = metrics.AddGauge("facts_bytes", "Memory of the facts, estimated.", labels);
  const auto alarmed =
      metrics.AddGauge("sources_alarmed", "Sources whose channel is ALARMED, KEY_MISMATCH or BLACK.", labels);
  const auto newest = metrics.AddGauge("newest_entry_age_seconds", "Time since the newest entry was received.", labels);
  const auto commit = metrics.AddGauge("commit_seconds_sum", "Time spent in commits since the start.", labels);
  const auto batches = metrics.AddGauge("commits", "Commits since the start.", labels);
  const auto appended = metrics.AddGauge("appended_entries", "Entries appended since the start.", labels);
  const auto batch_rows = metrics.AddGauge("last_batch_entries", "Entries in the last commit.", labels);
  const auto duplicates =
      metrics.AddGauge("duplicate_frames", "Frames answered as duplicates since the start.", labels);
  const auto kept = metrics.AddGauge("quarantined_frames", "Refused frames kept since the start.", labels);
  const auto gone =
      metrics.AddGauge("quarantine_dropped_frames", "Refused frames pushed out by later ones since the start.", labels);
  const auto lost = metrics.AddGauge("quarantine_failed_frames",
                                     "Refused frames that the store did not take since the start.", labels);
  const auto limited = metrics.AddGauge("sources_over_limit", "Sources that are over their limit now.", labels);
  const auto used = metrics.AddGauge("store_used_bytes", "Bytes that the store uses.", labels);
  const auto limit =
      metrics.AddGauge("store_limit_bytes", "Bytes that the store may use; 0 when nothing bounds it.", labels);
  const auto reserve = metrics.AddGauge("store_reserve_only", "1 while the store is full but for its reserve.", labels);
  std::vector<service::Gauge> refused;
  for (std::size_t reason = 1; reason < chain.counters().refused.size(); ++reason) {
    const service::MetricLabels by{{"origin", chain.origin()},
                                   {"reason", std::string(frame::ReasonName(static_cast<frame::Reason>(reason)))}};
    refused.push_back(metrics.AddGauge("refused_frames", "Frames refused since the start, by reason.", by));
  }
  return [=, &chain, &clock] {
    const ChainCounters& counters = chain.counters();
    const auto checkpoint = chain.latest_checkpoint();
    const std::uint64_t covered = checkpoint ? checkpoint->size : 0;
    size.Set(static_cast<double>(chain.size()));
    leading.Set(chain.leading() ? 1 : 0);
    frozen.Set(chain.frozen().empty() ? 0 : 1);
    signed_size.Set(static_cast<double>(covered));
    lag.Set(static_cast<double>(chain.size() - std::min(covered, chain.size())));
    commit.Set(static_cast<double>(counters.commit_nanos.load()) / 1e9);
    batches.Set(static_cast<double>(counters.batches.load()));
    appended.Set(static_cast<double>(counters.appended.load()));
    batch_rows.Set(static_cast<double>(counters.last_batch_rows.load()));
    kept.Set(static_cast<double>(chain.quarantine_counters().kept.load()));
    gone.Set(static_cast<double>(chain.quarantine_counters().gone.load()));
    lost.Set(static_cast<double>(chain.quarantine_counters().failed.load()));
    limited.Set(static_cast<double>(chain.limited_sources().size()));
    used.Set(static_cast<double>(counters.store_used_bytes.load()));
    limit.Set(static_cast<double>(counters.store_limit_bytes.load()));
    reserve.Set(counters.reserve_only ? 1 : 0);
    duplicates.Set(static_cast<double>(counters.duplicates.load()));
    for (std::size_t i = 0; i < refused.size(); ++i)
      refused[i].Set(static_cast<double>(counters.refused[i + 1].load()));
    chain.Read([&](const ChainState& state) {
      subjects.Set(static_cast<double>(state.facts.subjects()));
      memory.Set(static_cast<double>(state.facts.MemoryBytes()));
      newest.Set(static_cast<double>(clock.NowNanos() / 1'000 - std::min(clock.NowNanos() / 1'000, state.received_us)) /
                 1e6);
      double bad = 0;
      for (const auto& source : state.book.Sources()) {
        const chain::Channel* channel = state.book.FindChannel(source->short_id);
        if (channel != nullptr && channel->State() != chain::ChannelState::kOk) ++bad;
      }
      alarmed.Set(bad);
    });
  };
}

// The series of all chains of a node: chains come while it runs, and none goes before it ends. Thread-safe.
class ChainMetrics {
 public:
  ChainMetrics(service::Metrics& metrics, const Node& node, const Clock& clock)
      : metrics_(metrics), node_(node), clock_(clock) {}

  void Update() {
    const MutexLock lock(mutex_);
    for (Chain* chain : node_.chains()) {
      std::function<void()>& update = updates_[chain];
      if (update == nullptr) update = AddChainMetrics(metrics_, *chain, clock_);
      update();
    }
  }

 private:
  service::Metrics& metrics_;
  const Node& node_;
  const Clock& clock_;
  Mutex mutex_;
  std::map<const Chain*, std::function<void()>> updates_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

void AddMetrics(service::Metrics& metrics, Node& node, const Clock& clock) {
  const auto chains = std::make_shared<ChainMetrics>(metrics, node, clock);
  chains->Update();  // so that names and labels exist before the first scrape
  metrics.OnCollect([chains] { chains->Update(); });
}

void AddIngestMetrics(service::Metrics& metrics, const IngestHandler& ingest) {
  const auto throttled =
      metrics.AddGauge("throttled_batches", "Batches that waited for their deliverer's limit since the start.");
  const auto now = metrics.AddGauge("throttled_deliveries", "Deliveries that wait for their deliverer's limit now.");
  metrics.OnCollect([=, &ingest] {
    throttled.Set(static_cast<double>(ingest.counters().throttled.load()));
    now.Set(static_cast<double>(ingest.counters().throttled_now.load()));
  });
}

absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, Node& node, const std::vector<service::ServedService>& services) {
  if (socket.empty()) return nullptr;
  const auto hook = [&node](const service::BreakGlassUse& use) -> absl::Status {
    service::LogWarning("break-glass socket used",
                        {{"method", use.method}, {"uid", use.peer.uid}, {"pid", use.peer.pid}});
    if (!use.refused.ok()) return absl::OkStatus();
    frame::JsonWriter json;
    json.BeginObject().Field("domain", "virp").Field("event", "break_glass").Field("method", use.method);
    json.Field("uid", std::uint64_t{use.peer.uid}).EndObject();
    const std::string payload = json.Take();
    for (Chain* chain : node.chains()) {
      // A follower or a frozen chain cannot take the entry; the way in stays open all the same: it is for bad days.
      if (!chain->CheckLeading().ok()) continue;
      const auto decide = [&](const chain::SourceBook&) -> absl::StatusOr<std::vector<Chain::OwnEntry>> {
        return std::vector<Chain::OwnEntry>{{frame::Type::kDecision, frame::Tier::kYellow, payload}};
      };
      RETURN_IF_ERROR(chain->Mutate("", decide, kEntryWait).status());
    }
    return absl::OkStatus();
  };
  service::BreakGlassOptions options;
  options.socket = socket;
  options.methods = BreakGlassMethods();
  return service::BreakGlassServer::Start(std::move(options), hook, services);
}

}  // namespace virp::onode
