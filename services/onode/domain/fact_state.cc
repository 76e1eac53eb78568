// Look-ups, and which sources cover what. The fold itself is in fact_fold.cc.
#include "services/onode/domain/fact_state.h"

#include <algorithm>
#include <charconv>

#include "lib/base/bytes.h"

namespace virp::onode::facts {
namespace {

constexpr std::string_view kRibNames[] = {"adj-in-pre", "adj-in-post", "loc", "adj-out-pre", "adj-out-post"};

// Takes the part up to the next slash.
std::string_view TakePart(std::string_view& rest) {
  const std::string_view part = rest.substr(0, rest.find('/'));
  rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  return part;
}

// "ADDRESS/LENGTH" at the front of rest, which then begins after it.
std::string_view TakePrefix(std::string_view& rest) {
  const std::string_view whole = rest;
  TakePart(rest);
  const std::string_view length = TakePart(rest);
  return length.empty() ? std::string_view()
                        : whole.substr(0, static_cast<std::size_t>(length.data() + length.size() - whole.data()));
}

void Erase(std::vector<std::uint32_t>& from, std::uint32_t value) {
  std::erase(from, value);
}

}  // namespace

Group GroupOf(frame::Type type) {
  switch (type) {
    case frame::Type::kPeerStatusChanged:
    case frame::Type::kPeerBackwardTransition:
      return Group::kPeer;
    case frame::Type::kBgpProcess:
      return Group::kPath;
    case frame::Type::kBgpRouteUpdate:
      return Group::kBest;
    default:
      return Group::kOther;
  }
}

std::optional<Rib> RibFromName(std::string_view name) {
  for (std::size_t i = 0; i < kRibs; ++i) {
    if (kRibNames[i] == name) return static_cast<Rib>(i);
  }
  return name == "best" ? std::optional(Rib::kBest) : std::nullopt;
}

std::string_view RibName(Rib rib) {
  return rib == Rib::kBest ? "best" : kRibNames[static_cast<std::size_t>(rib)];
}

std::uint32_t Names::Intern(std::string_view text) {
  if (const auto it = index_.find(text); it != index_.end()) return it->second;
  const auto index = static_cast<std::uint32_t>(texts_.size());
  texts_.emplace_back(text);
  index_.emplace(texts_.back(), index);
  return index;
}

std::uint32_t Names::Find(std::string_view text) const {
  const auto it = index_.find(text);
  return it == index_.end() ? kNoIndex : it->second;
}

std::uint32_t Addresses::Intern(const IpAddress& address) {
  const auto [it, added] = index_.try_emplace(address, static_cast<std::uint32_t>(addresses_.size()));
  if (added) addresses_.push_back(address);
  return it->second;
}

std::uint32_t Addresses::Find(const IpAddress& address) const {
  const auto it = index_.find(address);
  return it == index_.end() ? kNoIndex : it->second;
}

FactState::FactState(std::string chain_origin) : origin(std::move(chain_origin)) {
  states.Intern("Established");
  states.Intern("down");
}

std::uint64_t CompromisedScope(std::string_view kind, std::string_view place, std::string_view what) {
  std::string text;
  text.append(kind).append("\n").append(place).append("\n").append(what);
  return chain::SubjectIdOf(text);
}

bool KeyCounts(const chain::Source& source, std::uint32_t version, UnixNanos received) {
  const auto key = source.keys.find(version);
  return key == source.keys.end() || !key->second.compromised_since || received < *key->second.compromised_since;
}

UnixNanos ReceiptOf(const chain::EntryHeader& header) {
  constexpr std::uint64_t kLimit = ~std::uint64_t{0} / 1000;
  return std::min(header.received_us, kLimit) * 1000;
}

std::optional<std::uint32_t> RunOf(const chain::Channel& channel, std::uint64_t epoch) {
  const auto& opened = *channel.opened;
  const auto it = std::find(opened.rbegin(), opened.rend(), epoch);  // nearly always the last one
  return it == opened.rend() ? std::nullopt : std::optional(static_cast<std::uint32_t>(opened.rend() - it - 1));
}

std::uint32_t FactState::SourceIndex(std::uint64_t short_id) const {
  const auto it = by_short_id.find(short_id);
  return it == by_short_id.end() ? kNoIndex : it->second;
}

const PeerRow* FactState::FindPeer(std::uint32_t source, std::uint32_t place, std::uint32_t peer) const {
  const auto it = peers.find(PeerKey{place, peer});
  if (it == peers.end()) return nullptr;
  const auto row =
      std::find_if(it->second.begin(), it->second.end(), [&](const PeerRow& r) { return r.source == source; });
  return row == it->second.end() ? nullptr : &*row;
}

const TableRow* FactState::FindTable(std::uint32_t source, std::uint32_t place, std::uint32_t peer, Rib rib) const {
  const auto it = tables.find(TableKey{source, place, peer, rib});
  return it == tables.end() ? nullptr : &it->second;
}

const std::vector<PathRow>* FactState::FindPaths(std::uint32_t place, const Prefix& prefix) const {
  const auto it = paths.find(PrefixKey{place, prefix});
  return it == paths.end() ? nullptr : &it->second;
}

std::span<const PathRow> FactState::FindPaths(std::uint32_t source, std::uint32_t place, const Prefix& prefix) const {
  const std::vector<PathRow>* rows = FindPaths(place, prefix);
  if (rows == nullptr) return {};
  const auto first =
      std::partition_point(rows->begin(), rows->end(), [&](const PathRow& r) { return r.source < source; });
  const auto last = std::partition_point(first, rows->end(), [&](const PathRow& r) { return r.source == source; });
  return {first, last};
}

const std::vector<EventRow>* FactState::FindEvents(std::string_view subject) const {
  const auto it = by_subject.find(subject);
  return it == by_subject.end() ? nullptr : &it->second;
}

const SourcePlace* FactState::FindPlace(std::uint32_t source, std::uint32_t place) const {
  const auto it = sources[source].places.find(place);
  return it == sources[source].places.end() ? nullptr : &it->second;
}

// Registers which routers and domains a source covers, when its registration is new or has changed.
void FactState::Cover(std::uint32_t index, const chain::Registration* before, const chain::Registration& after) {
  const auto domain_of = [](std::string_view prefix) { return prefix.substr(0, prefix.find('/')); };
  if (before != nullptr) {
    for (const auto& router : before->routers) Erase(by_router[router.name], index);
    for (const auto& prefix : before->subject_prefixes) Erase(by_domain[std::string(domain_of(prefix))], index);
  }
  for (const auto& router : after.routers) by_router[router.name].push_back(index);
  for (const auto& prefix : after.subject_prefixes) {
    auto& covered = by_domain[std::string(domain_of(prefix))];
    if (std::find(covered.begin(), covered.end(), index) == covered.end()) covered.push_back(index);
  }
}

std::size_t FactState::MemoryBytes() const {
  // Slots of the hash maps at their mean load, and what hangs on them.
  constexpr double kLoad = 1.5;
  const auto slots = [](const auto& map) {
    return static_cast<std::size_t>(static_cast<double>(map.size() * (sizeof(*map.begin()) + 1)) * kLoad);
  };
  std::size_t bytes = sizeof(*this) + subjects.MemoryBytes();
  bytes += slots(peers) + slots(tables) + slots(paths) + slots(by_subject) + slots(by_short_id);
  bytes += peers.size() * sizeof(PeerRow) + path_rows_ * sizeof(PathRow) + event_rows_ * sizeof(EventRow);
  bytes += by_subject.size() * 80 + addresses.size() * 48 + sources.size() * (sizeof(SourceState) + 512);
  bytes += (places.size() + states.size() + events.size()) * 96;
  return bytes;
}

std::optional<SubjectParts> ParseSubject(std::string_view subject) {
  using Form = SubjectParts::Form;
  SubjectParts out;
  std::string_view rest = subject;
  out.domain = TakePart(rest);
  if (out.domain.empty() || rest.empty()) return std::nullopt;
  if (out.domain == "source") {
    out.form = Form::kSource;
    out.source = rest;
    return out;
  }
  if (out.domain != "bgp") return out;

  out.router = TakePart(rest);
  out.vrf = TakePart(rest);
  const std::string_view what = TakePart(rest);
  if (out.router.empty() || out.vrf.empty() || rest.empty()) return std::nullopt;
  if (what == "best") {
    out.form = Form::kBest;
    out.rib = Rib::kBest;
    out.prefix = TakePrefix(rest);
    return out.prefix.empty() || !rest.empty() ? std::nullopt : std::optional(out);
  }
  out.peer = TakePart(rest);
  if (what == "peer") {
    out.form = Form::kPeer;
    return rest.empty() ? std::optional(out) : std::nullopt;
  }
  const auto rib = RibFromName(what);
  if (!rib) return std::nullopt;
  out.rib = *rib;
  out.form = Form::kTable;
  if (rest.empty()) return out;
  out.form = Form::kPath;
  out.prefix = TakePrefix(rest);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), out.path_id);
  if (out.prefix.empty() || error != std::errc() || end != rest.data() + rest.size()) return std::nullopt;
  return out;
}

}  // namespace virp::onode::facts
