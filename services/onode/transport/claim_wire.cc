#include "services/onode/transport/claim_wire.h"

#include <algorithm>

#include "lib/base/error_info.h"
#include "lib/base/ip.h"
#include "lib/base/status.h"
#include "lib/service/wire.h"
#include "services/onode/transport/wire.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::verify::v1;

absl::StatusOr<std::string> AddressOf(const std::string& text, const std::string& field) {
  const auto address = IpAddress::Parse(text);
  if (!address.ok()) return InvalidField(field, Message(address.status()));
  return address->ToString();
}

absl::StatusOr<Claim> PeerClaimOf(const pb::PeerClaim& message, const std::string& field) {
  PeerClaim claim;
  claim.router = message.router();
  if (!message.vrf().empty()) claim.vrf = message.vrf();
  ASSIGN_OR_RETURN(claim.peer, AddressOf(message.peer_address(), field + ".peer_address"));
  if (message.peer_as() != 0) claim.peer_as = message.peer_as();
  if (!message.state().empty()) claim.state = message.state();
  claim.negate = message.negate();
  return claim;
}

absl::StatusOr<Claim> RouteClaimOf(const pb::RouteClaim& message, const std::string& field) {
  RouteClaim claim;
  claim.router = message.router();
  if (!message.vrf().empty()) claim.vrf = message.vrf();
  if (!message.rib().empty()) claim.rib = message.rib();
  const auto prefix = Prefix::Parse(message.prefix());
  if (!prefix.ok()) return InvalidField(field + ".prefix", Message(prefix.status()));
  claim.prefix = prefix->ToString();
  claim.exists = !message.absent();
  if (message.origin_as() != 0) claim.origin_as = message.origin_as();
  if (!message.next_hop().empty()) {
    ASSIGN_OR_RETURN(claim.next_hop, AddressOf(message.next_hop(), field + ".next_hop"));
  }
  if (!message.peer_address().empty()) {
    ASSIGN_OR_RETURN(claim.peer, AddressOf(message.peer_address(), field + ".peer_address"));
  }
  return claim;
}

absl::StatusOr<Claim> FieldClaimOf(const pb::FieldClaim& message, const std::string& field) {
  FieldClaim claim;
  claim.subject = message.subject();
  claim.event = message.event();
  for (const pb::FieldCondition& from : message.conditions()) {
    FieldCondition& to = claim.conditions.emplace_back();
    to.path = from.path();
    if (from.operator_() < pb::FieldCondition::OPERATOR_EQ || from.operator_() > pb::FieldCondition::OPERATOR_EXISTS) {
      return InvalidField(fmt::format("{}.conditions[{}].operator", field, claim.conditions.size() - 1),
                          "is not given");
    }
    to.op = static_cast<FieldCondition::Op>(from.operator_() - pb::FieldCondition::OPERATOR_EQ);
    switch (from.value_case()) {
      case pb::FieldCondition::kStringValue:
        to.value = from.string_value();
        break;
      case pb::FieldCondition::kNumberValue:
        to.value = from.number_value();
        break;
      case pb::FieldCondition::kIntegerValue:
        to.value = std::int64_t{from.integer_value()};
        break;
      case pb::FieldCondition::kBoolValue:
        to.value = from.bool_value();
        break;
      case pb::FieldCondition::VALUE_NOT_SET:
        if (to.op != FieldCondition::Op::kExists) {
          return InvalidField(fmt::format("{}.conditions[{}].value", field, claim.conditions.size() - 1),
                              "is not given");
        }
        to.value = true;
        break;
    }
  }
  return claim;
}

absl::StatusOr<Claim> FormOf(const pb::Claim& message, const std::string& field) {
  switch (message.claim_case()) {
    case pb::Claim::kPeer:
      return PeerClaimOf(message.peer(), field + ".peer");
    case pb::Claim::kRoute:
      return RouteClaimOf(message.route(), field + ".route");
    case pb::Claim::kField:
      return FieldClaimOf(message.field(), field + ".field");
    case pb::Claim::CLAIM_NOT_SET:
      break;
  }
  return InvalidField(field, "says nothing: set peer, route or field");
}

absl::StatusOr<std::chrono::nanoseconds> DurationOf(const google::protobuf::Duration& duration,
                                                    const std::string& field) {
  constexpr std::int64_t kMaxSeconds = 4'000'000'000;  // what nanoseconds can hold; CheckAcceptance allows less
  if (duration.seconds() < 0 || duration.seconds() > kMaxSeconds || duration.nanos() < 0 ||
      duration.nanos() >= 1'000'000'000)
    return InvalidField(field, "more than 0 and at most ten years");
  return std::chrono::seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

google::protobuf::Duration MessageOfDuration(std::chrono::nanoseconds duration) {
  google::protobuf::Duration message;
  message.set_seconds(duration.count() / 1'000'000'000);
  message.set_nanos(static_cast<std::int32_t>(duration.count() % 1'000'000'000));
  return message;
}

struct ConditionValue {
  pb::FieldCondition& to;
  void operator()(const std::string& value) const { to.set_string_value(value); }
  void operator()(double value) const { to.set_number_value(value); }
  void operator()(std::int64_t value) const { to.set_integer_value(value); }
  void operator()(std::uint64_t value) const { to.set_number_value(static_cast<double>(value)); }
  void operator()(bool value) const { to.set_bool_value(value); }
};

struct ClaimMessage {
  pb::Claim& out;
  void operator()(const PeerClaim& claim) const {
    pb::PeerClaim& to = *out.mutable_peer();
    to.set_router(claim.router);
    to.set_vrf(claim.vrf);
    to.set_peer_address(claim.peer);
    to.set_peer_as(claim.peer_as.value_or(0));
    to.set_state(claim.state);
    to.set_negate(claim.negate);
  }
  void operator()(const RouteClaim& claim) const {
    pb::RouteClaim& to = *out.mutable_route();
    to.set_router(claim.router);
    to.set_vrf(claim.vrf);
    to.set_rib(claim.rib);
    to.set_prefix(claim.prefix);
    to.set_absent(!claim.exists);
    to.set_origin_as(claim.origin_as.value_or(0));
    to.set_next_hop(claim.next_hop.value_or(""));
    to.set_peer_address(claim.peer.value_or(""));
  }
  void operator()(const FieldClaim& claim) const {
    pb::FieldClaim& to = *out.mutable_field();
    to.set_subject(claim.subject);
    to.set_event(claim.event);
    for (const FieldCondition& from : claim.conditions) {
      pb::FieldCondition& condition = *to.add_conditions();
      condition.set_path(from.path);
      condition.set_operator_(
          static_cast<pb::FieldCondition::Operator>(static_cast<int>(from.op) + pb::FieldCondition::OPERATOR_EQ));
      std::visit(ConditionValue{condition}, from.value);
    }
  }
};

// 0: not there, which is not 1970.
template <typename Message>
void SetTime(UnixNanos nanos, Message& to, google::protobuf::Timestamp* (Message::*field)()) {
  if (nanos != 0) *(to.*field)() = service::TimestampOf(nanos);
}

pb::SourceOpinion MessageOfOpinion(const SourceOpinion& from) {
  pb::SourceOpinion to;
  to.set_source(from.source);
  to.set_says(static_cast<pb::SourceOpinion::Says>(from.says));
  to.set_counted(from.counted);
  to.set_left_out(std::string(from.left_out));
  to.set_doubt(std::string(from.doubt));
  if (from.entry != chain::kNone) to.add_entries(from.entry);
  if (from.beat_entry) to.add_entries(*from.beat_entry);
  for (const std::uint64_t entry : from.also) to.add_entries(entry);
  to.set_tier(static_cast<pb::Tier>(static_cast<int>(from.tier) + 1));
  to.set_origin_strength(static_cast<pb::OriginStrength>(from.strength));
  to.set_channel_state(std::string(chain::ChannelStateName(from.channel)));
  SetTime(from.observed_at, to, &pb::SourceOpinion::mutable_observed_at);
  SetTime(from.received_at, to, &pb::SourceOpinion::mutable_received_at);
  SetTime(from.confirmed_at, to, &pb::SourceOpinion::mutable_confirmed_at);
  for (const chain::MissingRange& range : from.missing) to.add_missing(fmt::format("{}-{}", range.from, range.to));
  to.set_path_liveness_only(from.path_liveness_only);
  return to;
}

}  // namespace

absl::StatusOr<Claim> ClaimOf(const pb::Claim& message, const std::string& field) {
  ASSIGN_OR_RETURN(Claim claim, FormOf(message, field));
  RETURN_IF_ERROR(CheckClaim(claim, field));
  return claim;
}

absl::StatusOr<Acceptance> AcceptanceOf(const pb::Acceptance& message) {
  Acceptance acceptance;
  if (message.has_max_age()) {
    ASSIGN_OR_RETURN(acceptance.max_age, DurationOf(message.max_age(), "acceptance.max_age"));
  }
  if (message.has_max_event_age()) {
    ASSIGN_OR_RETURN(acceptance.max_event_age, DurationOf(message.max_event_age(), "acceptance.max_event_age"));
  }
  if (message.worst_tier() != pb::TIER_UNSPECIFIED) {
    if (!pb::Tier_IsValid(message.worst_tier()))
      return InvalidField("acceptance.worst_tier", "is not GREEN, YELLOW or RED");
    acceptance.worst_tier = static_cast<frame::Tier>(message.worst_tier() - 1);
  }
  if (message.min_sources() != 0) acceptance.min_sources = message.min_sources();
  if (message.independence() != pb::INDEPENDENCE_UNSPECIFIED) {
    if (!pb::Independence_IsValid(message.independence()))
      return InvalidField("acceptance.independence", "is not SIGNER, COLLECTOR or ROUTER");
    acceptance.independence = static_cast<Independence>(message.independence() - 1);
  }
  acceptance.require_sources.assign(message.require_sources().begin(), message.require_sources().end());
  acceptance.exclude_sources.assign(message.exclude_sources().begin(), message.exclude_sources().end());
  acceptance.max_dissent = message.max_dissent();
  if (message.chain_level() != pb::CHAIN_LEVEL_UNSPECIFIED) {
    if (!pb::ChainLevel_IsValid(message.chain_level()))
      return InvalidField("acceptance.chain_level", "is not COMMITTED, CHECKPOINTED or WITNESSED");
    acceptance.level = static_cast<ChainLevel>(message.chain_level() - 1);
  }
  acceptance.accept_alarmed = !message.refuse_alarmed();
  RETURN_IF_ERROR(CheckAcceptance(acceptance));
  return acceptance;
}

pb::Claim MessageOf(const Claim& claim) {
  pb::Claim message;
  std::visit(ClaimMessage{message}, claim);
  return message;
}

pb::Acceptance MessageOf(const Acceptance& from) {
  pb::Acceptance to;
  *to.mutable_max_age() = MessageOfDuration(from.max_age);
  if (from.max_event_age) *to.mutable_max_event_age() = MessageOfDuration(*from.max_event_age);
  to.set_worst_tier(static_cast<pb::Tier>(static_cast<int>(from.worst_tier) + 1));
  to.set_min_sources(from.min_sources);
  to.set_independence(static_cast<pb::Independence>(static_cast<int>(from.independence) + 1));
  for (const std::string& source : from.require_sources) to.add_require_sources(source);
  for (const std::string& source : from.exclude_sources) to.add_exclude_sources(source);
  to.set_max_dissent(from.max_dissent);
  to.set_chain_level(static_cast<pb::ChainLevel>(static_cast<int>(from.level) + 1));
  to.set_refuse_alarmed(!from.accept_alarmed);
  return to;
}

pb::ClaimAnswer MessageOf(const Answer& from) {
  pb::ClaimAnswer to;
  to.set_verdict(static_cast<pb::Verdict>(from.verdict));
  to.set_reason(from.reason);
  to.set_explanation(from.explanation);
  to.set_chain_size(from.chain_size);
  SetTime(from.evaluated_at, to, &pb::ClaimAnswer::mutable_evaluated_at);
  SetTime(from.observed_at, to, &pb::ClaimAnswer::mutable_observed_at);
  SetTime(from.received_at, to, &pb::ClaimAnswer::mutable_received_at);
  SetTime(from.confirmed_at, to, &pb::ClaimAnswer::mutable_confirmed_at);
  SetTime(from.valid_until, to, &pb::ClaimAnswer::mutable_valid_until);
  for (const SourceOpinion& opinion : from.opinions) *to.add_opinions() = MessageOfOpinion(opinion);
  to.set_origin_strength(static_cast<pb::OriginStrength>(from.origin_strength));
  to.set_latest_proven(false);
  return to;
}

std::vector<std::uint64_t> EntriesOf(const Answer& answer) {
  std::vector<std::uint64_t> entries;
  const auto add = [&](std::uint64_t entry) {
    if (entry != chain::kNone && std::find(entries.begin(), entries.end(), entry) == entries.end())
      entries.push_back(entry);
  };
  for (const SourceOpinion& opinion : answer.opinions) {
    if (!opinion.counted) continue;
    add(opinion.entry);
    if (opinion.beat_entry) add(*opinion.beat_entry);
    for (const std::uint64_t entry : opinion.also) add(entry);
  }
  return entries;
}

}  // namespace virp::onode
