// What a source says to peer claims and field claims.
#include <algorithm>
#include <sstream>

#include "nlohmann/json.hpp"
#include "tests/testutil/naive_world.h"

namespace virp::testutil {

using nlohmann::json;

namespace {

bool Fulfils(const json& payload, const onode::FieldCondition& condition) {
  using Op = onode::FieldCondition::Op;
  const json* at = &payload;
  std::istringstream parts(condition.path);
  for (std::string part; at != nullptr && std::getline(parts, part, '.');) {
    if (at->is_object() && at->contains(part)) {
      at = &(*at)[part];
    } else if (at->is_array() && !part.empty() && part.find_first_not_of("0123456789") == std::string::npos &&
               std::stoull(part) < at->size()) {
      at = &(*at)[std::stoull(part)];
    } else {
      at = nullptr;
    }
  }
  if (condition.op == Op::kExists) return (at != nullptr) == std::get<bool>(condition.value);
  if (at == nullptr) return false;
  int order = 0;
  if (const auto* text = std::get_if<std::string>(&condition.value)) {
    if (!at->is_string()) return false;
    order = at->get<std::string>().compare(*text);
  } else if (const auto* flag = std::get_if<bool>(&condition.value)) {
    if (!at->is_boolean()) return false;
    order = at->get<bool>() == *flag ? 0 : 1;
  } else {
    // An x87 long double holds every 64-bit integer and every double.
    if (!at->is_number()) return false;
    const auto left = at->is_number_unsigned()  ? static_cast<long double>(at->get<std::uint64_t>())
                      : at->is_number_integer() ? static_cast<long double>(at->get<std::int64_t>())
                                                : static_cast<long double>(at->get<double>());
    long double right = 0;
    if (const auto* n = std::get_if<std::uint64_t>(&condition.value)) right = static_cast<long double>(*n);
    if (const auto* n = std::get_if<std::int64_t>(&condition.value)) right = static_cast<long double>(*n);
    if (const auto* n = std::get_if<double>(&condition.value)) right = static_cast<long double>(*n);
    order = left < right ? -1 : left > right ? 1 : 0;
  }
  switch (condition.op) {
    case Op::kEq:
      return order == 0;
    case Op::kNeq:
      return order != 0;
    case Op::kLt:
      return order < 0;
    case Op::kLe:
      return order <= 0;
    case Op::kGt:
      return order > 0;
    case Op::kGe:
      return order >= 0;
    case Op::kExists:
      break;
  }
  return false;
}

}  // namespace

NaiveWorld::Question::Answer NaiveWorld::Question::Ask(const onode::PeerClaim& claim) const {
  const auto about = [&](const NaiveEntry& e) {
    return (e.statement.what == What::kPeerState || e.statement.what == What::kPeerDown) &&
           e.statement.router == claim.router && e.statement.vrf == claim.vrf && e.statement.peer == claim.peer;
  };
  Answer out;
  const NaiveEntry* fact = Newest(s, SaidAs(about));
  if (fact == nullptr) {
    if (CompromisedSaid(about)) out.left_out = "KEY_COMPROMISED";
    return out;
  }
  const std::string state = fact->statement.what == What::kPeerDown ? "down" : fact->statement.state;
  const bool cannot_tell = state == "down" && claim.state != "down" && claim.state != "Established";
  if (cannot_tell || (claim.peer_as && !fact->peer_as)) {
    out.left_out = "ATTRIBUTE_UNKNOWN";
    return out;
  }
  const bool is = claim.state == "down" ? state != "Established" : state == claim.state;
  const bool other_as = claim.peer_as && *fact->peer_as != *claim.peer_as;
  out.says = !other_as && is != claim.negate ? Says::kAgrees : Says::kDissents;
  out.bases = {fact};
  out.in_doubt = Doubt(*fact, {1, 2});
  return out;
}

NaiveWorld::Question::Answer NaiveWorld::Question::Ask(const onode::FieldClaim& claim) const {
  const auto about = [&](const NaiveEntry& e) { return e.statement.subject == claim.subject; };
  Answer out;
  const NaiveEntry* fact = Newest(
      s, SaidAs([&](const NaiveEntry& e) { return about(e) && (claim.event.empty() || e.event == claim.event); }));
  if (fact == nullptr) {
    if (CompromisedSaid(about)) out.left_out = "KEY_COMPROMISED";
    return out;
  }
  const json payload = json::parse(fact->payload);
  const bool all = std::all_of(claim.conditions.begin(), claim.conditions.end(),
                               [&](const auto& condition) { return Fulfils(payload, condition); });
  out.says = all ? Says::kAgrees : Says::kDissents;
  out.bases = {fact};
  const int type = static_cast<int>(fact->type);
  Types types = {type};
  if (type == 1 || type == 2) types = {1, 2};
  if (type > 4) {
    for (int other = 5; other < 256; ++other) types.insert(other);
  }
  out.in_doubt = Doubt(*fact, types) || FoldedSince(*fact);
  return out;
}

// The newest summary of the table that a path or a table's statement belongs to is newer and still open.
bool NaiveWorld::Question::FoldedSince(const NaiveEntry& fact) const {
  if (fact.type != frame::Type::kBgpProcess) return false;
  const NaiveEntry* summary =
      Newest(s, SaidAs([&](const NaiveEntry& e) {
               return e.statement.what == What::kTableSummary && e.statement.router == fact.statement.router &&
                      e.statement.vrf == fact.statement.vrf && e.statement.rib == fact.statement.rib &&
                      e.statement.peer == fact.statement.peer;
             }));
  return summary != nullptr && summary->statement.open && Newer(s, *summary, fact);
}

}  // namespace virp::testutil
