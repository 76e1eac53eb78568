#include "services/collector/domain/route_fold.h"

#include <algorithm>

#include "lib/base/status.h"

namespace virp::collector {
namespace {

constexpr std::size_t kNamedPrefixes = 32;
constexpr std::size_t kStatedKeys = 65'536;     // beyond it every fold needs a summary
constexpr std::uint64_t kFrameBytes = 64 + 64;  // header and tag, as limits count them
constexpr std::uint64_t kWaitingBytes = 256;    // of one that waits, beside its texts
constexpr std::string_view kRestated = ",\"restated\":true}";

void AppendPart(std::string& key, std::string_view part) {
  key.append("\n").append(part);
}

// What is said of a path when there is room again is its state, said later than it became so.
void MarkRestated(std::string& payload) {
  if (payload.ends_with('}') && payload.size() + kRestated.size() <= frame::kMaxPayload) {
    payload.replace(payload.size() - 1, 1, kRestated);
  }
}

}  // namespace

std::uint64_t RouteFold::SizeOf(const Waiting& waiting) {
  return waiting.observation.payload.size() + waiting.table.size() + 2 * waiting.key.size() + kWaitingBytes;
}

RouteFold::Route RouteFold::Read(frame::Type type, std::string_view payload) {
  using Kind = Route::Kind;
  Route out;
  if (type != frame::Type::kBgpProcess && type != frame::Type::kPeerStatusChanged &&
      type != frame::Type::kPeerBackwardTransition)
    return out;
  const auto read = reader_.Read(payload);
  if (!read.ok()) return out;
  const frame::Value& json = *read;
  const auto address = json["peer_addr"].AsString();
  if (!address) return out;
  out.peer = json["vrf"].AsString().value_or("default");
  AppendPart(out.peer, *address);
  if (type == frame::Type::kPeerStatusChanged) {
    if (json["new_state"].AsString() != "Established") out.kind = Kind::kPeerLost;
    return out;
  }
  if (type == frame::Type::kPeerBackwardTransition) {
    if (json["last_state"].AsString() == "Established") out.kind = Kind::kPeerLost;
    return out;
  }
  const auto event = json["event"].AsString();
  const auto rib = json["rib"].AsString();
  if (!event || !rib) return out;
  out.table = out.peer;
  AppendPart(out.table, *rib);
  out.restated = json["restated"].present();
  if (event == "table_complete" || event == "routes_summarised") {
    out.kind = event == "table_complete" ? Kind::kComplete : Kind::kSummary;
    out.open = json["open"].AsBool().value_or(true);
  } else if (event == "route_announce" || event == "route_withdraw") {
    const auto prefix = json["prefix"].AsString();
    if (!prefix) return out;
    out.kind = event == "route_announce" ? Kind::kAnnounced : Kind::kWithdrawn;
    out.prefix = *prefix;
    out.path = out.table;
    AppendPart(out.path, *prefix);
    AppendPart(out.path, std::to_string(json["path_id"].AsUnsigned().value_or(0)));
  }
  frame::JsonWriter head;
  head.BeginObject().Field("peer", json["peer"].AsString().value_or("")).Field("peer_addr", *address);
  for (const char* as : {"peer_as", "local_as"}) {
    if (const auto number = json[as].AsUnsigned()) head.Field(as, *number);
  }
  head.Field("router_id", json["router_id"].AsString().value_or(""))
      .Field("vrf", json["vrf"].AsString().value_or("default"));
  head.Field("rib", *rib).EndObject();
  const std::string text = head.Take();
  out.head = text.substr(1, text.size() - 2);
  return out;
}

// ---- One plan: what is to be said, and what is to happen once it is spooled.

void RouteFold::Begin(const std::vector<deliver::Outbox::Item>& given) {
  given_ = &given;
  rewritten_ = false;
  items_.clear();
  places_.clear();
  said_.clear();
  over_.clear();
  drafts_.clear();
  steps_.clear();
  counted_ = {};
}

RouteFold::Draft& RouteFold::DraftOf(Source& source, std::string_view table) {
  const auto [at, first] = drafts_.try_emplace({&source, std::string(table)});
  if (first) {
    if (const auto known = source.tables.find(table); known != source.tables.end())
      at->second.word = known->second.word;
  }
  return at->second;
}

bool RouteFold::Over(std::string_view source) {
  const auto [at, first] = over_.try_emplace(source, false);
  if (first) at->second = limits_.Until(source) > std::chrono::nanoseconds(0);
  return at->second;
}

// Nothing is folded of most sources most of the time.
bool RouteFold::NeedsLook(const std::vector<deliver::Outbox::Item>& items) {
  std::string_view before;
  for (const deliver::Outbox::Item& item : items) {
    if (item.source == before) continue;
    before = item.source;
    if (sources_.contains(item.source) || Over(item.source)) return true;
  }
  return false;
}

deliver::EmitGate::Plan RouteFold::Decide(const std::vector<deliver::Outbox::Item>& items) {
  const MutexLock lock(mutex_);
  Begin(items);
  if (!NeedsLook(items)) return {given_};
  rewritten_ = true;
  places_.reserve(items.size());
  for (const deliver::Outbox::Item& item : items) Take(item);
  return {&items_, places_};
}

void RouteFold::Done(bool spooled) {
  const MutexLock lock(mutex_);
  if (!spooled) return;
  const std::vector<deliver::Outbox::Item>& items = rewritten_ ? items_ : *given_;
  for (std::size_t i = 0; i < items.size();) {
    std::uint64_t entries = 0, bytes = 0;
    const std::string_view source = items[i].source;
    for (; i < items.size() && items[i].source == source; ++i, ++entries)
      bytes += kFrameBytes + items[i].observation->payload.size();
    limits_.Charge(source, entries, bytes);
  }
  for (Step& step : steps_) Apply(step);
  for (auto& [place, draft] : drafts_) {
    auto& tables = place.first->tables;
    auto at = tables.find(place.second);
    if (at == tables.end() && !draft.word.open) continue;
    if (at == tables.end()) at = tables.try_emplace(place.second).first;
    Table& table = at->second;
    table.word = std::move(draft.word);
    if (draft.summarised) table.stated.clear();
    table.stated.merge(draft.stated);
    if (table.stated.size() > kStatedKeys) {
      table.stated.clear();
      table.word.renew = true;
    }
  }
  drafts_.clear();
  steps_.clear();
  std::erase_if(sources_,
                [](const auto& source) { return source.second.tables.empty() && source.second.queue.empty(); });
  counters_.folded += counted_.folded;
  counters_.summaries += counted_.summaries;
  counters_.stated += counted_.stated;
}

void RouteFold::Pass(const deliver::Outbox::Item& item) {
  places_.push_back(items_.size());
  items_.push_back(item);
}

void RouteFold::Say(std::string_view source, deliver::Observation observation) {
  said_.push_back(std::make_unique<deliver::Observation>(std::move(observation)));
  items_.push_back({source, said_.back().get()});
}

void RouteFold::Summarise(std::string_view source, Draft& draft, bool open) {
  const Tally& tally = draft.word.tally;
  frame::JsonWriter json;
  json.BeginObject().Field("open", open).Field("observations", tally.total());
  json.Field("announced", tally.announced).Field("withdrawn", tally.withdrawn).Field("completed", tally.completed);
  if (tally.total() > 0) json.Field("first_ns", tally.first).Field("last_ns", tally.last);
  json.Key("changed").BeginArray();
  for (const std::string& prefix : tally.prefixes) json.String(prefix);
  json.EndArray();
  if (tally.more) json.Field("changed_more", true);
  json.Field("limit", "OVER_LIMIT").EndObject();
  deliver::Observation summary;
  summary.type = frame::Type::kBgpProcess;
  summary.payload.append(R"({"domain":"bgp","event":"routes_summarised",)")
      .append(draft.word.head)
      .append(",")
      .append(json.Take(), 1);
  Say(source, std::move(summary));
  draft.word.open = open;
  draft.word.renew = false;
  draft.word.tally = {};
  draft.word.said = clock_.Steady();
  draft.summarised = true;
  draft.stated.clear();
  ++counted_.summaries;
}

// ---- What comes in.

void RouteFold::Take(const deliver::Outbox::Item& item) {
  using Kind = Route::Kind;
  auto source = sources_.find(item.source);
  if (source == sources_.end() && !Over(item.source)) return Pass(item);
  const Route route = Read(item.observation->type, item.observation->payload);
  const bool is_route =
      route.kind == Kind::kAnnounced || route.kind == Kind::kWithdrawn || route.kind == Kind::kComplete;
  const bool foldable = is_route && item.observation->tier == frame::Tier::kGreen;
  if (source == sources_.end()) {
    if (!foldable) return Pass(item);
    source = sources_.try_emplace(std::string(item.source)).first;
    source->second.since = clock_.Steady();
  }
  if (foldable) {
    TakeRoute(item, source->second, route);
  } else {
    TakeOther(item, source->second, route);
  }
}

// While anything waits, everything waits behind it, in order.
void RouteFold::TakeRoute(const deliver::Outbox::Item& item, Source& source, const Route& route) {
  const bool open = DraftOf(source, route.table).word.open;
  const auto table = source.tables.find(route.table);
  const bool closes = open && !(table != source.tables.end() && table->second.suspect);
  const bool waits = Over(item.source) || !source.queue.empty() || closes;
  const bool room = bytes_ < options_.max_bytes || source.by_key.contains(route.path);
  // A table that is not stated yet cannot be complete; its statement takes no more room than the one before.
  if ((waits && room) || (open && route.kind == Route::Kind::kComplete)) return Fold(item, source, route);
  State(source, route.table, route.path);
  Pass(item);
}

// A path is stated by itself: what waited of it is older.
void RouteFold::State(Source& source, std::string_view table, const std::string& key) {
  if (key.empty()) return;
  Draft& draft = DraftOf(source, table);
  if (draft.word.open) draft.stated.insert(key);
  steps_.push_back({Step::Kind::kErase, &source, "", key});
}

void RouteFold::Fold(const deliver::Outbox::Item& item, Source& source, const Route& route) {
  using Kind = Route::Kind;
  Draft& draft = DraftOf(source, route.table);
  draft.word.head = route.head;
  Tally& tally = draft.word.tally;
  tally.last = clock_.NowNanos();
  if (tally.total() == 0) tally.first = tally.last;
  ++(route.kind == Kind::kAnnounced   ? tally.announced
     : route.kind == Kind::kWithdrawn ? tally.withdrawn
                                      : tally.completed);
  if (route.kind != Kind::kComplete && !tally.prefixes.contains(route.prefix)) {
    if (tally.prefixes.size() < kNamedPrefixes) {
      tally.prefixes.insert(route.prefix);
    } else {
      tally.more = true;
    }
  }
  const auto table = source.tables.find(route.table);
  const bool stated_before =
      !draft.summarised && table != source.tables.end() && table->second.stated.contains(route.path);
  if (!draft.word.open || draft.word.renew || stated_before || draft.stated.contains(route.path))
    Summarise(item.source, draft, /*open=*/true);
  Step step{route.kind == Kind::kComplete ? Step::Kind::kComplete : Step::Kind::kPut, &source, route.table, route.path,
            *item.observation};
  if (!route.restated) MarkRestated(step.observation.payload);
  steps_.push_back(std::move(step));
  places_.push_back(kFolded);
  ++counted_.folded;
}

// Comes behind a summary of all that was folded before it, and overtakes what waits.
void RouteFold::TakeOther(const deliver::Outbox::Item& item, Source& source, const Route& route) {
  for (const auto& [key, table] : source.tables) DraftOf(source, key);
  for (auto& [place, draft] : drafts_) {
    if (place.first == &source && draft.word.tally.total() > 0) Summarise(item.source, draft, /*open=*/true);
  }
  State(source, route.table, route.path);
  // A statement that takes back another one, or narrows it, is the newest.
  if (route.kind == Route::Kind::kComplete) steps_.push_back({Step::Kind::kDropComplete, &source, route.table, ""});
  if (route.kind == Route::Kind::kPeerLost) {
    // Its paths are gone without a word about each.
    const std::string first = route.peer + "\n";
    for (auto& [place, draft] : drafts_) {
      if (place.first == &source && place.second.starts_with(first)) draft = {};
    }
    steps_.push_back({Step::Kind::kForgetPeer, &source, "", route.peer});
  }
  Pass(item);
}

// ---- What is due.

deliver::EmitGate::Plan RouteFold::Due() {
  const MutexLock lock(mutex_);
  Begin(items_);
  rewritten_ = true;
  const Time now = clock_.Steady();
  for (auto& [name, source] : sources_) {
    for (const auto& [key, table] : source.tables) {
      if (table.word.tally.total() > 0 && now - table.word.said >= options_.period)
        Summarise(name, DraftOf(source, key), /*open=*/true);
    }
    if (now - source.since < options_.hold || Over(name)) continue;
    if (source.queue.empty()) {
      Close(name, source);
    } else {
      StateSome(name, source);
    }
  }
  return {&items_};
}

void RouteFold::StateSome(std::string_view name, Source& source) {
  auto next = source.queue.begin();
  for (std::size_t i = 0; i < options_.batch && next != source.queue.end(); ++i, ++next) {
    Say(name, next->second.observation);
    State(source, next->second.table, next->second.key);
    ++counted_.stated;
  }
}

// Every path that was folded has been stated: the tables are again what they are said to be.
void RouteFold::Close(std::string_view name, Source& source) {
  for (const auto& [key, table] : source.tables) {
    if (table.suspect) continue;
    if (table.complete) {
      Say(name, *table.complete);
      ++counted_.stated;
    }
    Draft& draft = DraftOf(source, key);
    if (draft.word.open) Summarise(name, draft, /*open=*/false);
    steps_.push_back({Step::Kind::kCloseTable, &source, key, ""});
  }
}

void RouteFold::Compared(std::string_view source) {
  const MutexLock lock(mutex_);
  const auto at = sources_.find(source);
  if (at == sources_.end()) return;
  for (auto& [key, table] : at->second.tables) table.suspect = false;
}

// ---- The queue.

void RouteFold::Apply(Step& step) {
  Source& source = *step.source;
  switch (step.kind) {
    case Step::Kind::kPut:
      return Put(source, {std::move(step.table), std::move(step.key), std::move(step.observation)});
    case Step::Kind::kErase:
      return Erase(source, step.key);
    case Step::Kind::kComplete:
      source.tables[step.table].complete = std::move(step.observation);
      return;
    case Step::Kind::kDropComplete:
      if (const auto table = source.tables.find(step.table); table != source.tables.end())
        table->second.complete.reset();
      return;
    case Step::Kind::kCloseTable:
      source.tables.erase(step.table);
      return;
    case Step::Kind::kForgetPeer:
      return ForgetPeer(source, step.key);
  }
}

void RouteFold::Put(Source& source, Waiting waiting) {
  const auto [at, first] = source.by_key.try_emplace(waiting.key, source.next);
  if (first) {
    ++source.next;
  } else {
    bytes_ -= SizeOf(source.queue.at(at->second));
  }
  bytes_ += SizeOf(waiting);
  source.queue.insert_or_assign(at->second, std::move(waiting));
}

void RouteFold::Erase(Source& source, std::string_view key) {
  const auto at = source.by_key.find(key);
  if (at == source.by_key.end()) return;
  const auto waiting = source.queue.find(at->second);
  bytes_ -= SizeOf(waiting->second);
  source.queue.erase(waiting);
  source.by_key.erase(at);
}

void RouteFold::ForgetPeer(Source& source, std::string_view peer) {
  const std::string first = std::string(peer) + "\n";
  std::vector<std::string> keys;
  for (const auto& [place, waiting] : source.queue) {
    if (waiting.key.starts_with(first)) keys.push_back(waiting.key);
  }
  for (const std::string& key : keys) Erase(source, key);
  auto table = source.tables.lower_bound(first);
  while (table != source.tables.end() && table->first.starts_with(first)) table = source.tables.erase(table);
}

RouteFoldCounters RouteFold::counters() const {
  const MutexLock lock(mutex_);
  RouteFoldCounters out = counters_;
  for (const auto& [name, source] : sources_) {
    out.waiting += source.queue.size();
    for (const auto& [key, table] : source.tables) out.tables += table.word.open ? 1 : 0;
  }
  return out;
}

}  // namespace virp::collector
