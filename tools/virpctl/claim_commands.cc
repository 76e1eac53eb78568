// Claims: what is asked of VerifyService.
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <memory>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/chain/claim_bundle.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/condition.h"
#include "tools/virpctl/memory.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::verify::v1;
using Service = pb::VerifyService;

absl::Status SetDuration(const std::string& text, std::string_view option,
                         google::protobuf::Duration* (pb::Acceptance::*field)(), pb::Acceptance& acceptance) {
  if (text.empty()) return absl::OkStatus();
  const auto duration = ParseDuration(text);
  if (!duration.ok()) return Annotate(duration.status(), option);
  google::protobuf::Duration& out = *(acceptance.*field)();
  out.set_seconds(duration->count() / 1'000'000'000);
  out.set_nanos(static_cast<std::int32_t>(duration->count() % 1'000'000'000));
  return absl::OkStatus();
}

// The enumerator whose name is `prefix` and the text in capitals; the default for an empty text.
template <typename Enum>
absl::Status SetEnum(const std::string& text, std::string_view option, const std::string& prefix,
                     bool (*parse)(google::protobuf::ConstStringParam, Enum*), void (pb::Acceptance::*set)(Enum),
                     pb::Acceptance& acceptance) {
  if (text.empty()) return absl::OkStatus();
  std::string name = prefix;
  for (const char c : text) name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  Enum value{};
  if (!parse(name, &value)) return InvalidArgument("{}: there is no '{}'", option, text);
  (acceptance.*set)(value);
  return absl::OkStatus();
}

absl::Status FillAcceptance(const AcceptanceOptions& options, pb::Acceptance& out) {
  RETURN_IF_ERROR(SetDuration(options.max_age, "--max-age", &pb::Acceptance::mutable_max_age, out));
  RETURN_IF_ERROR(SetDuration(options.max_event_age, "--max-event-age", &pb::Acceptance::mutable_max_event_age, out));
  RETURN_IF_ERROR(
      SetEnum(options.worst_tier, "--worst-tier", "TIER_", &pb::Tier_Parse, &pb::Acceptance::set_worst_tier, out));
  RETURN_IF_ERROR(SetEnum(options.independence, "--independence", "INDEPENDENCE_", &pb::Independence_Parse,
                          &pb::Acceptance::set_independence, out));
  RETURN_IF_ERROR(
      SetEnum(options.level, "--level", "CHAIN_LEVEL_", &pb::ChainLevel_Parse, &pb::Acceptance::set_chain_level, out));
  out.set_min_sources(options.min_sources);
  out.set_max_dissent(options.max_dissent);
  out.set_refuse_alarmed(options.refuse_alarmed);
  for (const std::string& source : options.require) out.add_require_sources(source);
  for (const std::string& source : options.exclude) out.add_exclude_sources(source);
  return absl::OkStatus();
}

absl::Status Save(const pb::VerifyClaimResponse& response, const std::string& path) {
  chain::ClaimBundle bundle;
  for (const std::string& text : response.answer().proofs()) {
    ASSIGN_OR_RETURN(bundle.proofs.emplace_back(), chain::DecodeProof(text));
  }
  std::sort(bundle.proofs.begin(), bundle.proofs.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  const auto same = [](const auto& a, const auto& b) { return a.index == b.index; };
  bundle.proofs.erase(std::unique(bundle.proofs.begin(), bundle.proofs.end(), same), bundle.proofs.end());
  pb::VerifyClaimResponse without = response;
  without.mutable_answer()->clear_proofs();
  ASSIGN_OR_RETURN(bundle.claim_json, ToJson(without));
  std::string bytes;
  RETURN_IF_ERROR(chain::WriteClaimBundle(bundle, [&bytes](std::string_view part) {
    bytes += part;
    return absl::OkStatus();
  }));
  return ReplaceFile(path, bytes, 0644);
}

void PrintAnswer(const pb::ClaimAnswer& answer) {
  Print(fmt::format("{}{}{}\n", Short(pb::Verdict_Name(answer.verdict()), "VERDICT_"),
                    answer.reason().empty() ? "" : " ", answer.reason()));
  if (!answer.explanation().empty()) Print(Printable(answer.explanation()) + "\n");
  Table facts({"FACT", "VALUE"});
  facts.Add({"chain", fmt::format("{} at size {}", answer.origin(), answer.chain_size())});
  facts.Add({"level", Short(pb::ChainLevel_Name(answer.chain_level()), "CHAIN_LEVEL_")});
  facts.Add({"strength", Short(pb::OriginStrength_Name(answer.origin_strength()), "ORIGIN_STRENGTH_")});
  facts.Add({"evaluated for", TimeText(answer.evaluated_at())});
  if (answer.has_observed_at()) facts.Add({"observed", TimeText(answer.observed_at())});
  if (answer.has_received_at()) facts.Add({"received", TimeText(answer.received_at())});
  if (answer.has_confirmed_at()) facts.Add({"confirmed", TimeText(answer.confirmed_at())});
  if (answer.has_valid_until()) facts.Add({"valid until", TimeText(answer.valid_until())});
  facts.Add({"proofs", answer.proofs().empty() ? "none yet" : fmt::format("{}, verified", answer.proofs_size())});
  Print(facts.ToString());
  if (answer.opinions().empty()) return;
  Table opinions({"SOURCE", "SAYS", "COUNTED", "TIER", "CHANNEL", "OBSERVED", "ENTRIES", "NOTES"});
  for (const pb::SourceOpinion& opinion : answer.opinions()) {
    std::string notes = opinion.left_out();
    if (!opinion.doubt().empty()) notes += (notes.empty() ? "" : "; ") + opinion.doubt();
    opinions.Add({opinion.source(), Short(pb::SourceOpinion::Says_Name(opinion.says()), "SAYS_"),
                  opinion.counted() ? "yes" : "no", Short(pb::Tier_Name(opinion.tier()), "TIER_"),
                  opinion.channel_state(), TimeText(opinion.observed_at()),
                  fmt::format("{}", fmt::join(opinion.entries(), ",")), notes});
  }
  Print(opinions.ToString());
}

Exit ExitOf(pb::Verdict verdict) {
  if (verdict == pb::VERDICT_CONFIRMED) return Exit::kYes;
  return verdict == pb::VERDICT_REFUTED ? Exit::kNo : Exit::kCannotSay;
}

absl::StatusOr<Exit> AskClaim(const Options& options, const ClaimOptions& claim, const pb::Claim& question) {
  pb::VerifyClaimRequest request;
  request.set_origin(options.connection.origin);
  *request.mutable_claim() = question;
  RETURN_IF_ERROR(FillAcceptance(claim.acceptance, *request.mutable_acceptance()));
  request.set_at_least_size(claim.at_least_size);
  request.set_chain_size(claim.chain_size);
  if (!claim.at.empty() && !google::protobuf::util::TimeUtil::FromString(claim.at, request.mutable_evaluation_time())) {
    return InvalidArgument("--at: '{}' is no RFC 3339 time, such as 2026-01-31T09:00:00Z", claim.at);
  }
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::VerifyClaimResponse response;
  RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::VerifyClaim, request, response));
  ASSIGN_OR_RETURN(const Memory memory, Memory::Open(options, channel));
  const auto& proofs = response.answer().proofs();
  RETURN_IF_ERROR(memory.SeeProofs(response.answer().origin(), {proofs.begin(), proofs.end()}));
  if (!claim.save.empty()) RETURN_IF_ERROR(Save(response, claim.save));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response));
  } else {
    PrintAnswer(response.answer());
    if (!claim.save.empty()) Print(fmt::format("saved in {}\n", claim.save));
  }
  return claim.answer ? Exit::kYes : ExitOf(response.answer().verdict());
}

pb::Claim PeerClaimOf(const ClaimOptions& options) {
  pb::Claim out;
  pb::PeerClaim& peer = *out.mutable_peer();
  peer.set_router(options.router);
  peer.set_vrf(options.vrf);
  peer.set_peer_address(options.peer);
  peer.set_peer_as(options.as);
  peer.set_state(options.state);
  peer.set_negate(options.negate);
  return out;
}

pb::Claim RouteClaimOf(const ClaimOptions& options) {
  pb::Claim out;
  pb::RouteClaim& route = *out.mutable_route();
  route.set_router(options.router);
  route.set_vrf(options.vrf);
  route.set_rib(options.rib);
  route.set_prefix(options.prefix);
  route.set_absent(options.negate);
  route.set_origin_as(options.as);
  route.set_next_hop(options.next_hop);
  route.set_peer_address(options.peer);
  return out;
}

absl::StatusOr<pb::Claim> FieldClaimOf(const ClaimOptions& options) {
  pb::Claim out;
  pb::FieldClaim& field = *out.mutable_field();
  field.set_subject(options.subject);
  field.set_event(options.event);
  for (const std::string& text : options.conditions) {
    ASSIGN_OR_RETURN(*field.add_conditions(), ParseCondition(text));
  }
  return out;
}

}  // namespace

absl::StatusOr<Exit> ClaimPeer(const Options& options, const ClaimOptions& claim) {
  return AskClaim(options, claim, PeerClaimOf(claim));
}

absl::StatusOr<Exit> ClaimRoute(const Options& options, const ClaimOptions& claim) {
  return AskClaim(options, claim, RouteClaimOf(claim));
}

absl::StatusOr<Exit> ClaimField(const Options& options, const ClaimOptions& claim) {
  ASSIGN_OR_RETURN(const pb::Claim field, FieldClaimOf(claim));
  return AskClaim(options, claim, field);
}

}  // namespace virp::virpctl
