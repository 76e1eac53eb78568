#include "services/onode/housekeeping.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "lib/base/edge_watch.h"
#include "lib/base/status.h"
#include "lib/chain/break_glass.h"
#include "lib/service/logging.h"
#include "services/onode/transport/access.h"

namespace virp::onode {
namespace {

constexpr std::chrono::seconds kTick{1};
constexpr std::chrono::seconds kEntryWait{5};

// One kind of trouble that chains may be in: said when it begins, when its reason changes and when it ends, not while
// it lasts.
class TroubleWatch {
 public:
  // `why` gives the reason, empty while there is no trouble; `ended` is empty for what does not end while we run.
  TroubleWatch(std::string_view began, std::string_view ended, std::string (*why)(const Chain&))
      : began_(began), ended_(ended), why_(why) {}

  void Look(const Chain& chain) {
    const std::string why = why_(chain);
    if (std::exchange(told_[chain.origin()], why) == why) return;
    if (!why.empty())
      service::LogError(began_, {{"origin", chain.origin()}, {"why", why}});
    else if (!ended_.empty())
      service::LogInfo(ended_, {{"origin", chain.origin()}});
  }

 private:
  const std::string_view began_, ended_;
  std::string (*const why_)(const Chain&);
  std::map<std::string, std::string> told_;  // by origin
};

std::vector<TroubleWatch> Troubles() {
  return {
      {"chain is frozen: it answers and takes no entries (what to do: docs/operations/onode.md, \"Frozen\")", "",
       [](const Chain& chain) { return chain.frozen(); }},
      {"this O-Node cannot lead", "this O-Node may lead again", [](const Chain& chain) { return chain.cannot_lead(); }},
      {"no checkpoint can be made; entries are taken as ever", "checkpoints are made again",
       [](const Chain& chain) { return chain.checkpoint_problem(); }},
      {"the store is full but for its reserve", "the store has room again",
       [](const Chain& chain) {
         return std::string(chain.counters().reserve_only
                                ? "only alarms, key events and clearing are taken; give it room or a larger limit"
                                : "");
       }},
      {"the index beside the database is behind", "the index beside the database keeps up again",
       [](const Chain& chain) {
         constexpr std::uint64_t kBehind = 65'536;  // four times what is normal, a quarter of where appends end
         return std::string(chain.counters().store_unindexed < kBehind
                                ? ""
                                : "its file cannot be written, or not as fast as entries come; at 262,144 that wait "
                                  "nothing is appended any more and the error says why");
       }}};
}

class LimitWatch {
 public:
  void Look(Node& node) {
    for (const Chain* chain : node.chains()) {
      limited_[chain->origin()].Look(
          chain->limited_sources(),
          [chain](const std::string& source) {
            service::LogWarning("a source is over its limit; its frames wait in the deliverer's spool",
                                {{"origin", chain->origin()}, {"source", source}});
          },
          [chain](const std::string& source) {
            service::LogInfo("a source is within its limit again", {{"origin", chain->origin()}, {"source", source}});
          });
    }
  }

 private:
  std::map<std::string, EdgeWatch> limited_;  // by origin
};

}  // namespace

absl::Status KeepHouse(const std::stop_token& stop, Node& node, frame::KeyDirectory& keys) {
  std::vector<TroubleWatch> troubles = Troubles();
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
    for (const Chain* chain : node.chains()) {
      for (TroubleWatch& trouble : troubles) trouble.Look(*chain);
    }
    limits.Look(node);
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, kTick, [] { return false; });
  }
  return absl::OkStatus();
}

namespace {

// How one chain stands; set when it is scraped.
void AddStandingMetrics(service::Metrics& metrics, const Chain& chain, const Clock& clock) {
  const auto gauge = [&](std::string_view name, std::string_view help) {
    return metrics.AddGauge(name, help, {{"origin", chain.origin()}});
  };
  const auto size = gauge("chain_entries", "Entries committed and checked.");
  const auto leading = gauge("chain_leading", "1 while this O-Node leads the chain.");
  const auto frozen = gauge("chain_frozen", "1 when the chain takes no entries because it may have been rolled back.");
  const auto cannot_lead =
      gauge("chain_cannot_lead", "1 when a checkpoint key is missing here that the chain signs with.");
  const auto signed_size = gauge("checkpoint_entries", "Size of the largest signed checkpoint.");
  const auto lag = gauge("checkpoint_lag_entries", "Entries that no checkpoint covers yet.");
  const auto subjects = gauge("facts_subjects", "Subjects that anything was said about.");
  const auto memory = gauge("facts_bytes", "Memory of the facts, estimated.");
  const auto newest = gauge("newest_entry_age_seconds", "Time since the newest entry was received.");
  const auto limited = gauge("sources_over_limit", "Sources that are over their limit now.");
  const auto builds = metrics.AddCounter("source_build_changes_total",
                                         "Beats that name another build of their source's program than those before.",
                                         {{"origin", chain.origin()}});
  const auto used = gauge("store_used_bytes", "Bytes that the store uses.");
  const auto limit = gauge("store_limit_bytes", "Bytes that the store may use; 0 when nothing bounds it.");
  const auto unindexed = gauge("store_unindexed_entries", "Entries that wait for SQLite's index, of all chains.");
  const auto reserve = gauge("store_reserve_only", "1 while the store is full but for its reserve.");
  constexpr std::size_t kStates = static_cast<std::size_t>(chain::ChannelState::kBlack) + 1;
  std::array<service::Gauge, kStates> sources;
  for (std::size_t state = 0; state < kStates; ++state) {
    sources[state] =
        metrics.AddGauge("sources", "Sources by the state of their channel.",
                         {{"origin", chain.origin()},
                          {"state", std::string(chain::ChannelStateName(static_cast<chain::ChannelState>(state)))}});
  }
  metrics.OnCollect([=, &chain, &clock] {
    const auto checkpoint = chain.latest_checkpoint();
    const std::uint64_t covered = checkpoint ? checkpoint->size : 0, entries = chain.size();
    size.Set(entries);
    leading.Set(chain.leading());
    frozen.Set(!chain.frozen().empty());
    cannot_lead.Set(!chain.cannot_lead().empty());
    signed_size.Set(covered);
    lag.Set(entries - std::min(covered, entries));
    limited.Set(chain.limited_sources().size());
    const ChainCounters& counters = chain.counters();
    used.Set(counters.store_used_bytes);
    limit.Set(counters.store_limit_bytes);
    unindexed.Set(counters.store_unindexed);
    reserve.Set(counters.reserve_only);
    chain.Read([&](const ChainState& state) {
      subjects.Set(state.facts.subjects());
      memory.Set(state.facts.MemoryBytes());
      builds.Set(state.facts.build_changes());
      const std::uint64_t now_us = clock.NowNanos() / 1'000;
      newest.Set(static_cast<double>(now_us - std::min(now_us, state.received_us)) / 1e6);
      std::array<std::uint64_t, kStates> count{};
      for (const auto& source : state.book.Sources()) {
        const chain::Channel* channel = state.book.FindChannel(source->short_id);
        ++count.at(static_cast<std::size_t>(channel == nullptr ? chain::ChannelState::kOk : channel->State()));
      }
      for (std::size_t i = 0; i < kStates; ++i) sources[i].Set(count[i]);
    });
  });
}

// What one chain has done since the start.
void AddDeedMetrics(service::Metrics& metrics, const Chain& chain) {
  const service::MetricLabels labels{{"origin", chain.origin()}};
  const ChainCounters& counters = chain.counters();
  metrics.AddHistogram("commit_seconds", "Time of a commit.", counters.commit_seconds, labels);
  metrics.AddHistogram("commit_entries", "Entries of a commit.", counters.commit_entries, labels);
  using Count = std::pair<service::Counter, const std::atomic<std::uint64_t>*>;
  std::vector<Count> counts;
  const auto add = [&](const std::atomic<std::uint64_t>& from, std::string_view name, std::string_view help,
                       const service::MetricLabels& with) {
    counts.emplace_back(metrics.AddCounter(name, help, with), &from);
  };
  add(counters.appended, "appended_entries_total", "Entries appended.", labels);
  add(counters.duplicates, "duplicate_frames_total", "Frames answered as duplicates.", labels);
  add(counters.fenced, "fenced_commits_total", "Commits refused because another O-Node leads.", labels);
  add(counters.unknown_commits, "unknown_commits_total", "Commits whose outcome had to be read back.", labels);
  add(counters.checkpoints, "checkpoints_total", "Checkpoints signed.", labels);
  const QuarantineCounters& quarantine = chain.quarantine_counters();
  add(quarantine.kept, "quarantined_frames_total", "Refused frames kept.", labels);
  add(quarantine.gone, "quarantine_dropped_frames_total", "Refused frames pushed out by later ones.", labels);
  add(quarantine.failed, "quarantine_failed_frames_total", "Refused frames that the store did not take.", labels);
  for (std::size_t reason = 1; reason < counters.refused.size(); ++reason) {
    service::MetricLabels by = labels;
    by["reason"] = frame::ReasonName(static_cast<frame::Reason>(reason));
    add(counters.refused[reason], "refused_frames_total", "Frames refused, by reason.", by);
  }
  metrics.OnCollect([counts] {
    for (const auto& [counter, from] : counts) counter.Set(*from);
  });
}

}  // namespace

void AddMetrics(service::Metrics& metrics, Node& node, const Clock& clock) {
  // Another replica may open a chain at any time.
  const auto known = std::make_shared<std::set<const Chain*>>();
  const auto add = [&metrics, &node, &clock, known] {
    for (const Chain* chain : node.chains()) {
      if (!known->insert(chain).second) continue;
      AddStandingMetrics(metrics, *chain, clock);
      AddDeedMetrics(metrics, *chain);
    }
  };
  add();  // what is wrong with them shows before anything is served
  metrics.OnCollect(add);
}

void AddIngestMetrics(service::Metrics& metrics, const IngestHandler& ingest) {
  const auto throttled =
      metrics.AddCounter("throttled_batches_total", "Batches that waited for their deliverer's limit.");
  const auto now = metrics.AddGauge("throttled_deliveries", "Deliveries that wait for their deliverer's limit now.");
  metrics.OnCollect([=, &ingest] {
    throttled.Set(ingest.counters().throttled);
    now.Set(ingest.counters().throttled_now);
  });
}

absl::StatusOr<std::unique_ptr<service::BreakGlassServer>> StartBreakGlass(
    const std::string& socket, Node& node, const std::vector<service::ServedService>& services) {
  const auto record = [&node](const service::BreakGlassUse& use) -> absl::Status {
    const std::string payload =
        chain::BuildBreakGlass({use.method, use.peer.uid, static_cast<std::uint64_t>(use.peer.pid)});
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
  return service::StartBreakGlass(socket, BreakGlassMethods(), services, record);
}

}  // namespace virp::onode
