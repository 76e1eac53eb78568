// RouteFold: snapshots and replay.
#include "lib/base/saved.h"
#include "lib/base/status.h"
#include "services/collector/domain/route_fold.h"

namespace virp::collector {
namespace {

constexpr std::uint64_t kSaveVersion = 2;  // 1: without epochs of statements

}  // namespace

std::string RouteFold::Save() const {
  const MutexLock lock(mutex_);
  std::string out;
  AppendSaved(out, kSaveVersion);
  AppendSaved(out, sources_.size());
  for (const auto& [name, source] : sources_) {
    AppendSaved(out, name);
    AppendSaved(out, source.tables.size());
    for (const auto& [key, table] : source.tables) {
      AppendSaved(out, key);
      AppendSaved(out, table.word.head);
      AppendSaved(out, std::uint64_t{table.word.open});
      AppendSaved(out, table.complete ? std::string_view(table.complete->payload) : std::string_view());
      AppendSaved(out, table.complete ? table.complete->epoch : 0);
      const Tally& tally = table.word.tally;
      for (const std::uint64_t number : {tally.announced, tally.withdrawn, tally.completed, tally.first, tally.last})
        AppendSaved(out, number);
    }
    AppendSaved(out, source.queue.size());
    for (const auto& [place, waiting] : source.queue) {
      AppendSaved(out, waiting.table);
      AppendSaved(out, waiting.key);
      AppendSaved(out, waiting.observation.payload);
    }
  }
  return out;
}

absl::Status RouteFold::Load(std::string_view saved) {
  const MutexLock lock(mutex_);
  sources_.clear();
  bytes_ = 0;
  if (saved.empty()) return absl::OkStatus();
  StateReader in{saved};
  const std::uint64_t version = in.Number();
  if (version == 0 || version > kSaveVersion)
    return FailedPrecondition("the spool's snapshot of folded routes was written by another version of the collector");
  const auto route = [](std::string_view payload) {
    return deliver::Observation{.type = frame::Type::kBgpProcess, .payload = std::string(payload)};
  };
  for (std::uint64_t sources = in.Number(); sources > 0 && !in.broken; --sources) {
    Source& source = sources_[std::string(in.Text())];
    source.since = clock_.Steady();
    for (std::uint64_t tables = in.Number(); tables > 0 && !in.broken; --tables) {
      Table& table = source.tables[std::string(in.Text())];
      table.word.head = in.Text();
      table.word.open = in.Number() != 0;
      table.word.renew = true;  // which paths were stated since is not kept
      table.suspect = true;
      if (const std::string_view complete = in.Text(); !complete.empty()) table.complete = route(complete);
      const std::uint64_t epoch = version == 1 ? 0 : in.Number();
      if (table.complete) table.complete->epoch = epoch;
      Tally& tally = table.word.tally;
      for (std::uint64_t* number : {&tally.announced, &tally.withdrawn, &tally.completed, &tally.first, &tally.last})
        *number = in.Number();
      tally.more = tally.total() > 0;  // names are not kept
    }
    for (std::uint64_t waiting = in.Number(); waiting > 0 && !in.broken; --waiting) {
      const std::string_view table = in.Text(), key = in.Text(), payload = in.Text();
      if (!in.broken) Put(source, {std::string(table), std::string(key), route(payload)});
    }
  }
  if (in.broken || !in.left.empty()) return DataLoss("the snapshot of folded routes is not what was written");
  return absl::OkStatus();
}

// What is behind the snapshot was said after it: it overtakes what waits.
absl::Status RouteFold::ReplayFrame(std::string_view name, const frame::Frame& frame, std::uint64_t) {
  using Kind = Route::Kind;
  const MutexLock lock(mutex_);
  auto source = sources_.find(name);
  const bool summary = frame.header.type == frame::Type::kBgpProcess &&
                       frame.payload.find("\"routes_summarised\"") != std::string_view::npos;
  if (source == sources_.end() && !summary) return absl::OkStatus();
  const Route route = Read(frame.header.type, frame.payload);
  if (route.kind == Kind::kSummary) {
    if (source == sources_.end()) source = sources_.try_emplace(std::string(name)).first;
    source->second.since = clock_.Steady();
    Table& table = source->second.tables[route.table];
    table.word = Word();
    table.word.head = route.head;
    table.word.open = route.open;
    table.word.said = clock_.Steady();
    table.stated.clear();
    table.suspect = true;
    if (!route.open) source->second.tables.erase(route.table);
  } else if (source != sources_.end()) {
    const auto table = source->second.tables.find(route.table);
    if (route.kind == Kind::kPeerLost) ForgetPeer(source->second, route.peer);
    if (route.kind == Kind::kComplete && table != source->second.tables.end()) table->second.complete.reset();
    if (route.kind == Kind::kAnnounced || route.kind == Kind::kWithdrawn) {
      Erase(source->second, route.path);
      if (table != source->second.tables.end()) table->second.stated.insert(route.path);
    }
  }
  if (source != sources_.end() && source->second.tables.empty() && source->second.queue.empty()) sources_.erase(source);
  return absl::OkStatus();
}

}  // namespace virp::collector
