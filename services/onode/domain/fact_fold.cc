// The fold: one entry after the other becomes facts. Facts are newest-by-(epoch, sequence), so a late frame finds its
// place by its own number and the order of arrival does not matter.
#include <algorithm>
#include <charconv>

#include "lib/chain/control.h"
#include "services/onode/domain/fact_state.h"

namespace virp::onode::facts {
namespace {

using What = chain::Statement::What;

constexpr std::size_t kMaxEvent = 128;
constexpr std::string_view kBestEvent = "bestpath_change";

std::string_view EventOf(const frame::Value& payload) {
  const auto event = payload["event"].AsString();
  return event && event->size() <= kMaxEvent ? *event : std::string_view();
}

// The last AS of a path in asplain; nothing when it ends in a set or a confederation segment, since then nobody can say
// which AS originates the route (RFC 6811 section 2). An empty path is the local AS's own.
std::optional<std::uint32_t> OriginOf(std::string_view as_path, const frame::Value& local_as) {
  while (!as_path.empty() && as_path.back() == ' ') as_path.remove_suffix(1);
  if (as_path.empty()) {
    const auto local = local_as.AsUnsigned();
    return local && *local <= 0xffff'ffff ? std::optional(static_cast<std::uint32_t>(*local)) : std::nullopt;
  }
  const std::size_t space = as_path.rfind(' ');
  const std::string_view last = space == std::string_view::npos ? as_path : as_path.substr(space + 1);
  std::uint32_t origin = 0;
  const auto [end, error] = std::from_chars(last.data(), last.data() + last.size(), origin);
  return error == std::errc() && end == last.data() + last.size() ? std::optional(origin) : std::nullopt;
}

std::optional<IpAddress> AddressIn(const frame::Value& value) {
  const auto text = value.AsString();
  if (!text) return std::nullopt;
  const auto address = IpAddress::Parse(*text);
  // Producers that have none write the unspecified address.
  return address.ok() && !address->is_unspecified() ? std::optional(*address) : std::nullopt;
}

// A source that follows a list of prefixes says so where it states the table. What does not parse covers nothing.
std::shared_ptr<const std::vector<Prefix>> OnlyPrefixes(const frame::Value& list) {
  if (!list.present()) return nullptr;
  auto out = std::make_shared<std::vector<Prefix>>();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto text = list.at(i).AsString();
    const auto prefix = text ? Prefix::Parse(*text) : absl::InvalidArgumentError("");
    if (prefix.ok()) out->push_back(*prefix);
  }
  return out;
}

void Raise(Position& newest, const Position& at) {
  newest = std::max(newest, at);
}

bool NewlyCompromised(const chain::Source* before, const chain::Source& after) {
  for (const auto& [version, key] : after.keys) {
    const auto* old = before == nullptr ? nullptr : [&, v = version] {
      const auto it = before->keys.find(v);
      return it == before->keys.end() ? nullptr : &it->second;
    }();
    if (key.compromised_since != (old == nullptr ? std::nullopt : old->compromised_since)) return true;
  }
  return false;
}

}  // namespace

// Notes a source as it is now; `from` is the chain sequence from which on its registration holds.
std::uint32_t FactState::Touch(std::shared_ptr<const chain::Source> source, std::uint64_t from) {
  const auto [it, added] = by_short_id.try_emplace(source->short_id, static_cast<std::uint32_t>(sources.size()));
  if (added) {
    sources.emplace_back();
    sources.back().short_id = source->short_id;
    sources.back().name = source->registration.source;
  }
  SourceState& state = sources[it->second];
  if (state.current == source) return it->second;
  const chain::Source* before = state.current.get();
  if (before == nullptr || before->registration != source->registration) {
    Cover(it->second, before == nullptr ? nullptr : &before->registration, source->registration);
    state.registrations.emplace_back(before == nullptr ? 0 : from, source);
  }
  if (NewlyCompromised(before, *source) && state.last_entry != chain::kNone) state.awaits_refold = true;
  state.current = std::move(source);
  return it->second;
}

void FactState::Apply(const chain::Entry& entry, const frame::Frame& frame, const chain::Statement& statement,
                      const std::optional<frame::Value>& payload, const chain::SourceBook& book) {
  size = entry.header.sequence + 1;
  last_received = ReceiptOf(entry.header);
  const bool steers = statement.what == What::kSourceEvent || statement.what == What::kKeyEvent;
  if (steers && payload) {
    if (const auto name = (*payload)["source"].AsString()) {
      if (auto about = book.FindByName(*name)) Touch(std::move(about), size);
    }
  }
  auto source = book.FindByShortId(entry.header.source);
  if (source == nullptr) return;  // not in a chain that verifies
  const std::uint32_t index = Touch(std::move(source), size);
  sources[index].last_entry = entry.header.sequence;
  Fold(index, entry, frame, statement, payload, book);
}

void FactState::Fold(std::uint32_t source, const chain::Entry& entry, const frame::Frame& frame,
                     const chain::Statement& statement, const std::optional<frame::Value>& payload,
                     const chain::SourceBook& book) {
  const chain::EntryHeader& header = entry.header;
  if ((header.result & chain::kScopeViolation) != 0) return;
  const chain::Channel* channel = book.FindChannel(header.source);
  const auto run = channel == nullptr ? std::nullopt : RunOf(*channel, header.source_epoch);
  if (!run) return;  // not in a book that has applied the entry
  Mark mark;
  mark.run = *run;
  mark.sequence = header.source_sequence;
  mark.entry = header.sequence;
  mark.observed = frame.header.timestamp;
  mark.received = ReceiptOf(header);
  mark.tier = frame.header.tier;
  mark.suite = header.checked_by;
  mark.group = GroupOf(frame.header.type);
  mark.restated = statement.restated;

  SourceState& state = sources[source];
  if (!KeyCounts(*state.current, header.key_version, mark.received)) {
    for (Position& newest : state.unreadable) Raise(newest, mark.at());
    FoldCompromised(source, statement);
    return;
  }
  if ((header.result & chain::kOpaque) != 0 || !payload) {
    Raise(state.unreadable[static_cast<std::size_t>(mark.group)], mark.at());
    return;
  }
  if (statement.what == What::kHeartbeat) {
    FoldBeats(source, mark, header.source_epoch, *payload, book);
    FoldBuild(sources[source], mark, *payload);
  }
  switch (statement.what) {
    case What::kPeerState:
    case What::kPeerDown:
      FoldPeer(source, mark, statement, *payload);
      break;
    case What::kPathPresent:
    case What::kPathAbsent:
      FoldPath(source, mark, statement, *payload);
      return;
    case What::kTableComplete:
      FoldTable(source, mark, statement, *payload);
      return;
    case What::kTableSummary:
      FoldSummary(source, mark, statement);
      return;
    case What::kBestPath:
      FoldBest(source, mark, statement, *payload);
      if (EventOf(*payload) == kBestEvent) return;
      break;
    default:
      break;
  }
  FoldEvent(source, mark, statement, *payload);
}

void FactState::FoldBeats(std::uint32_t signer, const Mark& mark, std::uint64_t epoch, const frame::Value& payload,
                          const chain::SourceBook& book) {
  const auto take = [&](std::uint32_t about, const Report& report) {
    auto& rows = sources[about].beats;
    auto row = std::find_if(rows.begin(), rows.end(), [&](const BeatRow& r) { return r.signer == signer; });
    if (row == rows.end()) row = rows.insert(rows.end(), BeatRow{.signer = signer});
    const auto newer = [&](const Report& held) { return !held.held() || report.signer > held.signer; };
    if (newer(row->newest)) row->newest = report;
    if (report.connected && newer(row->newest_connected)) row->newest_connected = report;
  };
  Report report{.signer = mark.at(), .time = mark.time(), .entry = mark.entry};
  if (!payload["sources"].present()) {
    report.epoch = epoch;
    report.last = mark.sequence;
    report.connected = true;
    return take(signer, report);
  }
  const auto heartbeat = chain::ParseHeartbeat(payload);
  if (!heartbeat.ok()) return;
  for (const chain::Beat& beat : heartbeat->sources) {
    auto about = book.FindById(beat.source_id);
    // In a refold the book is ahead: what this beat said of a source that was not registered yet was nothing.
    if (about == nullptr || about->registered_at > mark.entry) continue;
    report.epoch = beat.epoch;
    report.last = beat.last_sequence;
    report.connected = beat.connected;
    take(Touch(std::move(about), size), report);
  }
}

void FactState::FoldBuild(SourceState& source, const Mark& mark, const frame::Value& payload) {
  const std::string_view build = payload["build_id"].AsString().value_or("");
  if (build.empty() || mark.at() <= source.build_said) return;
  source.build_said = mark.at();
  if (source.build == build) return;
  if (!source.build.empty()) ++build_changes;
  source.build = build;
}

std::uint32_t FactState::PlaceOf(const chain::Statement& statement) {
  scratch_.assign(statement.router).append("/").append(statement.vrf);
  return places.Intern(scratch_);
}

void FactState::FoldPeer(std::uint32_t source, const Mark& mark, const chain::Statement& statement,
                         const frame::Value& payload) {
  const auto address = IpAddress::Parse(statement.peer);
  if (!address.ok()) return;
  const std::uint32_t place = PlaceOf(statement);
  const std::uint32_t peer = addresses.Intern(*address);
  auto& rows = peers[PeerKey{place, peer}];
  auto row = std::find_if(rows.begin(), rows.end(), [&](const PeerRow& r) { return r.source == source; });
  if (row == rows.end()) {
    row = rows.insert(rows.end(), PeerRow{.source = source});
    sources[source].places[place].peers.push_back(peer);
  }
  const bool lost = statement.what == What::kPeerDown;
  const std::uint32_t said = lost ? kDown : states.Intern(statement.state);
  if (mark.Supersedes(row->said)) {
    row->said = mark;
    row->state = said;
    const auto as = payload["peer_as"].AsUnsigned();
    row->peer_as = as && *as <= 0xffff'ffff ? std::optional(static_cast<std::uint32_t>(*as)) : std::nullopt;
  }
  if (said != kEstablished && mark.Supersedes(row->down)) row->down = mark;
}

TableRow& FactState::Table(std::uint32_t source, std::uint32_t place, std::uint32_t peer, Rib rib) {
  const auto [it, added] = tables.try_emplace(TableKey{source, place, peer, rib});
  if (added) sources[source].places[place].tables[static_cast<std::size_t>(rib)].push_back(peer);
  return it->second;
}

void FactState::FoldTable(std::uint32_t source, const Mark& mark, const chain::Statement& statement,
                          const frame::Value& payload) {
  const auto address = IpAddress::Parse(statement.peer);
  const auto rib = RibFromName(statement.rib);
  if (!address.ok() || !rib) return;
  subjects.Insert(statement.subject);
  TableRow& row = Table(source, PlaceOf(statement), addresses.Intern(*address), *rib);
  // A statement cannot begin after its end.
  const std::uint64_t first = std::min(payload["first_sequence"].AsUnsigned().value_or(0), mark.sequence);
  Raise(row.begin, {mark.run, first});
  if (!mark.Supersedes(row.stated)) return;
  row.stated = mark;
  row.first = first;
  row.only = OnlyPrefixes(payload["prefixes"]);
}

void FactState::FoldSummary(std::uint32_t source, const Mark& mark, const chain::Statement& statement) {
  const auto address = IpAddress::Parse(statement.peer);
  const auto rib = RibFromName(statement.rib);
  if (!address.ok() || !rib) return;
  subjects.Insert(statement.subject);
  TableRow& row = Table(source, PlaceOf(statement), addresses.Intern(*address), *rib);
  if (!mark.Supersedes(row.summary)) return;
  row.summary = mark;
  row.summary_open = statement.open;
}

// Puts a row where its key belongs; true when no source had spoken of this path before.
bool FactState::PutRow(std::uint32_t place, const Prefix& prefix, const PathRow& row) {
  auto& rows = paths[PrefixKey{place, prefix}];
  const auto at = std::lower_bound(rows.begin(), rows.end(), row,
                                   [](const PathRow& a, const PathRow& b) { return a.Key() < b.Key(); });
  if (at != rows.end() && at->Key() == row.Key()) {
    if (row.Supersedes(*at)) *at = row;
    return false;
  }
  const bool known = std::any_of(rows.begin(), rows.end(), [&](const PathRow& r) {
    return r.rib == row.rib && r.peer == row.peer && r.path_id == row.path_id;
  });
  rows.insert(at, row);
  ++path_rows_;
  return !known;
}

void FactState::FoldPath(std::uint32_t source, const Mark& mark, const chain::Statement& statement,
                         const frame::Value& payload) {
  const auto address = IpAddress::Parse(statement.peer);
  const auto prefix = Prefix::Parse(statement.prefix);
  const auto rib = RibFromName(statement.rib);
  if (!address.ok() || !prefix.ok() || !rib) return;
  const std::uint32_t place = PlaceOf(statement);
  PathRow row;
  static_cast<Mark&>(row) = mark;
  row.source = source;
  row.peer = addresses.Intern(*address);
  row.path_id = static_cast<std::uint32_t>(statement.path_id);
  row.rib = *rib;
  row.present = statement.what == What::kPathPresent;
  row.slot = row.present ? 1 : 0;
  if (!address->is_unspecified()) row.learnt_from = row.peer;  // a Loc-RIB does not say from whom (RFC 9069)
  if (row.present) {
    const auto path = payload["as_path"].AsString();
    const auto origin_as = path ? OriginOf(*path, payload["local_as"]) : std::nullopt;
    row.has_origin = origin_as.has_value();
    row.origin_as = origin_as.value_or(0);
    if (const auto next_hop = AddressIn(payload["nexthop"])) row.next_hop = addresses.Intern(*next_hop);
  }
  TableRow& table = Table(source, place, row.peer, *rib);
  if (mark.Supersedes(table.spoken)) table.spoken = mark;
  if (PutRow(place, *prefix, row)) subjects.Insert(statement.subject);
}

void FactState::FoldBest(std::uint32_t source, const Mark& mark, const chain::Statement& statement,
                         const frame::Value& payload) {
  const auto prefix = Prefix::Parse(statement.prefix);
  if (!prefix.ok()) return;
  const std::uint32_t place = PlaceOf(statement);
  PathRow row;
  static_cast<Mark&>(row) = mark;
  row.source = source;
  row.rib = Rib::kBest;
  row.slot = EventOf(payload) == kBestEvent ? 0 : 1;
  row.present = statement.best_exists;
  if (row.present) {
    const frame::Value best = payload["new"];
    const auto path = best["as_path"].AsString();
    const auto origin_as = path ? OriginOf(*path, payload["local_as"]) : std::nullopt;
    row.has_origin = origin_as.has_value();
    row.origin_as = origin_as.value_or(0);
    if (const auto next_hop = AddressIn(best["nexthop"])) row.next_hop = addresses.Intern(*next_hop);
    if (const auto from = AddressIn(best["peer_addr"])) row.learnt_from = addresses.Intern(*from);
  }
  sources[source].places[place].best = true;
  if (PutRow(place, *prefix, row)) subjects.Insert(statement.subject);
}

void FactState::FoldEvent(std::uint32_t source, const Mark& mark, const chain::Statement& statement,
                          const frame::Value& payload) {
  if (statement.subject.empty()) return;
  const std::string_view event = EventOf(payload);
  const std::uint32_t name = event.empty() ? kNoIndex : events.Intern(event);
  auto it = by_subject.find(statement.subject);
  if (it == by_subject.end()) {
    it = by_subject.try_emplace(statement.subject).first;
    subjects.Insert(statement.subject);
  }
  auto& rows = it->second;
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const EventRow& r) { return r.source == source && r.event == name; });
  if (row == rows.end()) {
    rows.push_back({.source = source, .event = name, .said = mark});
    ++event_rows_;
  } else if (mark.Supersedes(row->said)) {
    row->said = mark;
  }
}

// Remembers what only a compromised key spoke of, so that "no evidence" and "evidence that cannot be trusted" differ.
void FactState::FoldCompromised(std::uint32_t source, const chain::Statement& statement) {
  auto& scopes = sources[source].compromised;
  const std::string place = statement.router + "/" + statement.vrf;
  switch (statement.what) {
    case What::kPeerState:
    case What::kPeerDown:
      scopes.insert(CompromisedScope("peer", place, statement.peer));
      break;
    case What::kPathPresent:
    case What::kPathAbsent:
      scopes.insert(CompromisedScope(statement.rib, place, statement.prefix));
      break;
    case What::kBestPath:
      scopes.insert(CompromisedScope("best", place, statement.prefix));
      break;
    case What::kTableComplete:
    case What::kTableSummary:
      scopes.insert(CompromisedScope("table", place, statement.rib));
      break;
    default:
      break;
  }
  if (!statement.subject.empty()) scopes.insert(CompromisedScope("subject", {}, statement.subject));
}

void FactState::Forget(std::uint32_t source) {
  SourceState& state = sources[source];
  state.unreadable = {};
  state.places.clear();
  state.compromised.clear();
  for (SourceState& about : sources) std::erase_if(about.beats, [&](const BeatRow& r) { return r.signer == source; });
  const auto is_theirs = [&](const auto& row) { return row.source == source; };
  // Keys stay where others may come back; a map's empty rows say nothing.
  for (auto& [key, rows] : peers) std::erase_if(rows, is_theirs);
  for (auto& [key, rows] : paths) path_rows_ -= std::erase_if(rows, is_theirs);
  for (auto& [subject, rows] : by_subject) event_rows_ -= std::erase_if(rows, is_theirs);
  absl::erase_if(tables, [&](const auto& table) { return table.first.source == source; });
}

}  // namespace virp::onode::facts
