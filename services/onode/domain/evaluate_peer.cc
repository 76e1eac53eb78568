// What a source says to peer claims and field claims.
#include <cmath>
#include <compare>

#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "services/onode/domain/evaluate_source.h"

namespace virp::onode::facts {
namespace {

using Says = SourceOpinion::Says;
using frame::Value;

// What a state says to "the peer is in state `asked`": type 2 says only that the peer is not Established any more.
std::optional<bool> Matches(std::string_view state, std::string_view asked) {
  if (asked == "down") return state != "Established";
  if (state != "down" || asked == "Established") return state == asked;
  return std::nullopt;
}

std::string PlaceText(std::string_view router, std::string_view vrf) {
  return std::string(router).append("/").append(vrf);
}

template <typename T>
std::optional<std::partial_ordering> CompareTo(const Value& value, const T& wanted);

template <>
std::optional<std::partial_ordering> CompareTo(const Value& value, const std::string& wanted) {
  const auto text = value.AsString();
  return text ? std::optional<std::partial_ordering>(*text <=> std::string_view(wanted)) : std::nullopt;
}

template <>
std::optional<std::partial_ordering> CompareTo(const Value& value, const bool& wanted) {
  const auto flag = value.AsBool();
  return flag ? std::optional<std::partial_ordering>(*flag <=> wanted) : std::nullopt;
}

// A double against an integer, without rounding the integer.
template <typename Integer>
std::partial_ordering CompareMixed(double left, Integer right) {
  // 2^63 and 2^64 are doubles; what lies outside differs for sure, what lies inside converts exactly.
  constexpr double kBeyond = std::is_signed_v<Integer> ? 0x1p63 : 0x1p64;
  constexpr double kLowest = std::is_signed_v<Integer> ? -0x1p63 : 0.0;
  if (left >= kBeyond) return std::partial_ordering::greater;
  if (left < kLowest) return std::partial_ordering::less;
  const double whole = std::trunc(left);
  if (const auto order = static_cast<Integer>(whole) <=> right; order != 0) return order;
  return left <=> whole;
}

std::partial_ordering Reverse(std::partial_ordering order) {
  return 0 <=> order;
}

std::optional<std::partial_ordering> CompareUnsigned(const Value& value, std::uint64_t wanted) {
  if (const auto number = value.AsUnsigned()) return *number <=> wanted;
  if (value.AsInteger()) return std::partial_ordering::less;  // a negative one
  if (const auto number = value.AsDouble()) return CompareMixed(*number, wanted);
  return std::nullopt;
}

template <>
std::optional<std::partial_ordering> CompareTo(const Value& value, const std::uint64_t& wanted) {
  return CompareUnsigned(value, wanted);
}

template <>
std::optional<std::partial_ordering> CompareTo(const Value& value, const std::int64_t& wanted) {
  if (wanted >= 0) return CompareUnsigned(value, static_cast<std::uint64_t>(wanted));
  if (const auto number = value.AsInteger()) return *number <=> wanted;
  if (value.AsUnsigned()) return std::partial_ordering::greater;
  if (const auto number = value.AsDouble()) return CompareMixed(*number, wanted);
  return std::nullopt;
}

template <>
std::optional<std::partial_ordering> CompareTo(const Value& value, const double& wanted) {
  if (const auto number = value.AsUnsigned()) return Reverse(CompareMixed(wanted, *number));
  if (const auto number = value.AsInteger()) return Reverse(CompareMixed(wanted, *number));
  if (const auto number = value.AsDouble()) return *number <=> wanted;
  return std::nullopt;
}

// A value that is not there, or is of another kind than the asker's, fulfils nothing, NEQ included.
bool Fulfils(const Value& payload, const FieldCondition& condition) {
  using Op = FieldCondition::Op;
  const Value value = payload.Path(condition.path);
  if (condition.op == Op::kExists) return value.present() == std::get<bool>(condition.value);
  const auto order = std::visit([&](const auto& wanted) { return CompareTo(value, wanted); }, condition.value);
  if (!order) return false;
  switch (condition.op) {
    case Op::kEq:
      return *order == 0;
    case Op::kNeq:
      return *order != 0;
    case Op::kLt:
      return *order < 0;
    case Op::kLe:
      return *order <= 0;
    case Op::kGt:
      return *order > 0;
    case Op::kGe:
      return *order >= 0;
    case Op::kExists:
      break;
  }
  return false;
}

}  // namespace

Opinion PeerOpinion(const SourceView& view, const PeerClaim& claim) {
  const FactState& state = view.state();
  Opinion out;
  out.left_out = kLeftOutNothing;
  const std::string place = PlaceText(claim.router, claim.vrf);
  const auto address = IpAddress::Parse(claim.peer);
  const PeerRow* row =
      !address.ok() ? nullptr : state.FindPeer(view.index(), state.places.Find(place), state.addresses.Find(*address));
  if (row == nullptr || !row->said.held()) {
    if (view.self().compromised.contains(CompromisedScope("peer", place, claim.peer)))
      out.left_out = kLeftOutKeyCompromised;
    return out;
  }
  const auto matches = Matches(state.states.At(row->state), claim.state);
  if (!matches || (claim.peer_as && !row->peer_as)) {
    out.left_out = kLeftOutAttributeUnknown;
    return out;
  }
  const bool same_peer = !claim.peer_as || *row->peer_as == *claim.peer_as;
  out.says = same_peer && *matches != claim.negate ? Says::kAgrees : Says::kDissents;
  out.left_out = {};
  out.bases = {row->said};
  view.AddDoubt(row->said, kPeerDoubts, out);
  return out;
}

namespace {

// The newest statement of one source about a subject, under one event name or any, and the table that it belongs to.
struct Event {
  Mark said;
  const TableRow* table = nullptr;
};

Event NewestEvent(const SourceView& view, const FieldClaim& claim) {
  const FactState& state = view.state();
  Event out;
  Mark& newest = out.said;
  const auto take = [&](const Mark& mark) {
    if (mark.held() && mark.Supersedes(newest)) newest = mark;
  };
  const auto asked = [&](std::string_view event) { return claim.event.empty() || claim.event == event; };
  if (const auto* rows = state.FindEvents(claim.subject); rows != nullptr) {
    for (const EventRow& row : *rows) {
      if (row.source != view.index()) continue;
      if (claim.event.empty() || (row.event != kNoIndex && state.events.At(row.event) == claim.event)) take(row.said);
    }
  }
  // Paths, best paths and tables are not held by text.
  const auto parts = ParseSubject(claim.subject);
  if (!parts) return out;
  const std::uint32_t place = state.places.Find(PlaceText(parts->router, parts->vrf));
  if (parts->form == SubjectParts::Form::kTable) {
    const auto peer = IpAddress::ParseCanonical(parts->peer);
    out.table = peer.ok() ? state.FindTable(view.index(), place, state.addresses.Find(*peer), parts->rib) : nullptr;
    if (out.table != nullptr && asked("table_complete")) take(out.table->stated);
    if (out.table != nullptr && asked("routes_summarised")) take(out.table->summary);
    return out;
  }
  const auto prefix = Prefix::ParseCanonical(parts->prefix);
  if (!prefix.ok()) return out;
  if (parts->form == SubjectParts::Form::kBest) {
    for (const PathRow& row : state.FindPaths(view.index(), place, *prefix)) {
      if (row.rib == Rib::kBest && row.slot == 0 && asked("bestpath_change")) take(row);
    }
  } else if (parts->form == SubjectParts::Form::kPath) {
    const auto peer = IpAddress::ParseCanonical(parts->peer);
    const std::uint32_t index = peer.ok() ? state.addresses.Find(*peer) : kNoIndex;
    if (index == kNoIndex) return out;
    out.table = state.FindTable(view.index(), place, index, parts->rib);
    for (const PathRow& row : state.FindPaths(view.index(), place, *prefix)) {
      if (row.rib != parts->rib || row.peer != index || row.path_id != parts->path_id) continue;
      if (asked(row.present ? "route_announce" : "route_withdraw")) take(row);
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<Opinion> FieldOpinion(const SourceView& view, const FieldClaim& claim,
                                     const FactBook::EntryReader& read) {
  Opinion out;
  out.left_out = kLeftOutNothing;
  const auto [newest, table] = NewestEvent(view, claim);
  if (!newest.held()) {
    if (view.self().compromised.contains(CompromisedScope("subject", {}, claim.subject)))
      out.left_out = kLeftOutKeyCompromised;
    return out;
  }
  ASSIGN_OR_RETURN(const std::string bytes, read(newest.entry));
  const auto entry = chain::DecodeEntry(bytes);
  if (!entry.ok()) return DataLoss("entry {}: {}", newest.entry, Message(entry.status()));
  const chain::EntryHeader& header = entry->header;
  if (header.sequence != newest.entry || header.source != view.self().short_id ||
      header.source_sequence != newest.sequence) {
    return DataLoss("entry {} is not the one that was folded: it is number {} of source {:016x}", newest.entry,
                    header.source_sequence, header.source);
  }
  const auto frame = frame::Decode(entry->frame, header.spelling);
  if (!frame.ok()) return DataLoss("entry {}: {}", newest.entry, Message(frame.status()));
  frame::PayloadReader reader;
  const auto payload = reader.Read(frame->payload);
  if (!payload.ok()) return DataLoss("entry {}: {}", newest.entry, Message(payload.status()));

  out.says = Says::kAgrees;
  for (const FieldCondition& condition : claim.conditions) {
    if (!Fulfils(*payload, condition)) out.says = Says::kDissents;
  }
  out.left_out = {};
  out.bases = {newest};
  view.AddDoubt(newest, GroupBit(newest.group), out);
  if (out.doubt.empty() && table != nullptr && table->Summarised(newest)) out.doubt = kDoubtSummarised;
  return out;
}

}  // namespace virp::onode::facts
