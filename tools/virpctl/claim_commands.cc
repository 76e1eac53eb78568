// Questions to VerifyService.
#include <algorithm>
#include <memory>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/chain/claim_bundle.h"
#include "lib/frame/frame.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/memory.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::verify::v1;
using Service = pb::VerifyService;

absl::Status FillAcceptance(const ClaimOptions& claim, pb::Acceptance& acceptance) {
  if (!claim.max_age.empty()) {
    const auto age = ParseDuration(claim.max_age);
    if (!age.ok()) return Annotate(age.status(), "--max-age");
    acceptance.mutable_max_age()->set_seconds(age->count() / 1'000'000'000);
    acceptance.mutable_max_age()->set_nanos(static_cast<std::int32_t>(age->count() % 1'000'000'000));
  }
  acceptance.set_min_sources(claim.min_sources);
  if (claim.level == "committed") {
    acceptance.set_chain_level(pb::CHAIN_LEVEL_COMMITTED);
  } else if (claim.level == "checkpointed") {
    acceptance.set_chain_level(pb::CHAIN_LEVEL_CHECKPOINTED);
  } else if (claim.level == "witnessed") {
    acceptance.set_chain_level(pb::CHAIN_LEVEL_WITNESSED);
  } else if (!claim.level.empty()) {
    return InvalidArgument("--level: '{}' is none of committed, checkpointed, witnessed", claim.level);
  }
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

absl::StatusOr<Exit> Ask(const Options& options, const ClaimOptions& claim, pb::VerifyClaimRequest request) {
  request.set_origin(options.connection.origin);
  RETURN_IF_ERROR(FillAcceptance(claim, *request.mutable_acceptance()));
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::VerifyClaimResponse response;
  RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::VerifyClaim, request, response));
  ASSIGN_OR_RETURN(const Memory memory, Memory::Open(options, channel));
  const auto& proofs = response.answer().proofs();
  RETURN_IF_ERROR(memory.SeeProofs(response.answer().origin(), {proofs.begin(), proofs.end()}));
  if (!claim.save.empty()) {
    RETURN_IF_ERROR(Save(response, claim.save));
  }
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response));
  } else {
    PrintAnswer(response.answer());
    if (!claim.save.empty()) Print(fmt::format("saved in {}\n", claim.save));
  }
  switch (response.answer().verdict()) {
    case pb::VERDICT_CONFIRMED:
      return Exit::kYes;
    case pb::VERDICT_REFUTED:
      return Exit::kNo;
    default:
      return Exit::kCannotSay;
  }
}

absl::StatusOr<pb::Tier> TierOf(const std::string& text) {
  if (text.empty()) return pb::TIER_UNSPECIFIED;
  if (text == "green") return pb::TIER_GREEN;
  if (text == "yellow") return pb::TIER_YELLOW;
  if (text == "red") return pb::TIER_RED;
  if (text == "black") return pb::TIER_BLACK;
  return InvalidArgument("--tier: '{}' is none of green, yellow, red, black", text);
}

}  // namespace

absl::StatusOr<Exit> ClaimPeer(const Options& options, const ClaimOptions& claim) {
  pb::VerifyClaimRequest request;
  pb::PeerClaim& peer = *request.mutable_claim()->mutable_peer();
  peer.set_router(claim.router);
  peer.set_vrf(claim.vrf);
  peer.set_peer_address(claim.peer);
  peer.set_peer_as(claim.as);
  peer.set_state(claim.state);
  peer.set_negate(claim.negate);
  return Ask(options, claim, std::move(request));
}

absl::StatusOr<Exit> ClaimRoute(const Options& options, const ClaimOptions& claim) {
  pb::VerifyClaimRequest request;
  pb::RouteClaim& route = *request.mutable_claim()->mutable_route();
  route.set_router(claim.router);
  route.set_vrf(claim.vrf);
  route.set_rib(claim.rib);
  route.set_prefix(claim.prefix);
  route.set_absent(claim.negate);
  route.set_origin_as(claim.as);
  route.set_next_hop(claim.next_hop);
  route.set_peer_address(claim.peer);
  return Ask(options, claim, std::move(request));
}

absl::StatusOr<Exit> ObservationsList(const Options& options, const ObservationOptions& filter) {
  pb::ListObservationsRequest request;
  request.set_origin(options.connection.origin);
  request.mutable_filter()->set_source(filter.source);
  request.mutable_filter()->set_subject(filter.subject);
  for (const std::uint32_t type : filter.types) request.mutable_filter()->add_types(type);
  ASSIGN_OR_RETURN(const pb::Tier tier, TierOf(filter.tier));
  request.mutable_filter()->set_at_least_tier(tier);
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::ListObservationsResponse all;
  do {
    const std::uint32_t left = filter.limit - static_cast<std::uint32_t>(all.observations_size());
    request.set_page_size(static_cast<std::int32_t>(std::min(left, 1'000U)));
    pb::ListObservationsResponse page;
    RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::ListObservations, request, page));
    for (auto& entry : *page.mutable_observations()) {
      if (static_cast<std::uint32_t>(all.observations_size()) < filter.limit)
        *all.add_observations() = std::move(entry);
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && static_cast<std::uint32_t>(all.observations_size()) < filter.limit);
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"ENTRY", "OBSERVED", "SOURCE", "TIER", "TYPE", "SUBJECT", "PAYLOAD"});
  for (const auto& entry : all.observations()) {
    const std::string_view type = frame::TypeName(static_cast<frame::Type>(entry.type()));
    table.Add({fmt::format("{}", entry.sequence()), TimeText(entry.observed_at()), entry.source(),
               std::string(frame::TierName(static_cast<frame::Tier>(entry.tier()))),
               type.empty() ? fmt::format("{}", entry.type()) : std::string(type), entry.subject(),
               Printable(entry.payload(), 120)});
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> SubjectsList(const Options& options, const std::string& prefix, std::uint32_t limit) {
  pb::ListSubjectsRequest request;
  request.set_origin(options.connection.origin);
  request.set_prefix(prefix);
  request.set_page_size(static_cast<std::int32_t>(std::min(limit, 1'000U)));
  ASSIGN_OR_RETURN(const auto channel, Connect(options.connection));
  const auto stub = Service::NewStub(channel);
  pb::ListSubjectsResponse response;
  RETURN_IF_ERROR(Call(options.connection, *stub, &Service::Stub::ListSubjects, request, response));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(response));
    return Exit::kYes;
  }
  Table table({"SUBJECT", "NEWEST ENTRY", "SOURCES"});
  for (const pb::Subject& subject : response.subjects()) {
    std::string sources;
    for (const auto& state : subject.sources()) {
      sources += fmt::format("{}{}={}", sources.empty() ? "" : " ", state.source(), state.state());
    }
    table.Add({subject.subject(), fmt::format("{}", subject.newest_entry()), sources});
  }
  Print(table.ToString());
  return Exit::kYes;
}

}  // namespace virp::virpctl
