#include "services/onode/domain/claim.h"

#include <algorithm>
#include <cmath>

#include "lib/base/ip.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/chain/subject.h"

namespace virp::onode {
namespace {

constexpr std::size_t kMaxConditions = 16;
constexpr std::size_t kMaxNamedSources = 64;
constexpr std::size_t kMaxText = 1024;
constexpr std::size_t kMaxVrf = 64;
constexpr std::size_t kMaxState = 64;
constexpr std::size_t kMaxEvent = 128;
constexpr std::uint32_t kMaxMinSources = 1000;
// Longer than any use, and far from overflowing nanoseconds.
constexpr std::chrono::nanoseconds kMaxDuration = std::chrono::hours(24 * 365 * 10);

bool IsPlain(std::string_view text, std::size_t limit) {
  return !text.empty() && text.size() <= limit && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

absl::Status CheckRouterAndVrf(std::string_view router, std::string_view vrf) {
  RETURN_IF_ERROR(Annotate(CheckSourceName(router), "router"));
  if (!IsPlain(vrf, kMaxVrf) || vrf.find('/') != std::string_view::npos) {
    return InvalidArgument("vrf: \"{}\" is not a VRF name; without VRFs it is \"default\"", vrf);
  }
  return absl::OkStatus();
}

absl::Status CheckAddress(std::string_view field, std::string_view text) {
  return Annotate(IpAddress::ParseCanonical(text).status(), field);
}

absl::Status Check(const PeerClaim& claim) {
  RETURN_IF_ERROR(CheckRouterAndVrf(claim.router, claim.vrf));
  RETURN_IF_ERROR(CheckAddress("peer", claim.peer));
  if (!IsPlain(claim.state, kMaxState)) return InvalidArgument("state: 1 to {} printable characters", kMaxState);
  return absl::OkStatus();
}

absl::Status Check(const RouteClaim& claim) {
  RETURN_IF_ERROR(CheckRouterAndVrf(claim.router, claim.vrf));
  if (claim.rib != "best" && !chain::IsRibName(claim.rib)) {
    return InvalidArgument("rib: \"{}\" is not adj-in-pre, adj-in-post, loc, adj-out-pre, adj-out-post or best",
                           claim.rib);
  }
  RETURN_IF_ERROR(Annotate(Prefix::ParseCanonical(claim.prefix).status(), "prefix"));
  if (claim.next_hop) RETURN_IF_ERROR(CheckAddress("next hop", *claim.next_hop));
  if (claim.peer) RETURN_IF_ERROR(CheckAddress("peer", *claim.peer));
  return absl::OkStatus();
}

bool IsOrdering(FieldCondition::Op op) {
  using Op = FieldCondition::Op;
  return op == Op::kLt || op == Op::kLe || op == Op::kGt || op == Op::kGe;
}

absl::Status Check(const FieldCondition& condition) {
  if (!IsPlain(condition.path, kMaxText)) return InvalidArgument("path: 1 to {} printable characters", kMaxText);
  if (condition.op > FieldCondition::Op::kExists) return InvalidArgument("operator: unknown");
  const bool is_bool = std::holds_alternative<bool>(condition.value);
  if (condition.op == FieldCondition::Op::kExists && !is_bool) {
    return InvalidArgument("value: EXISTS takes true or false");
  }
  if (IsOrdering(condition.op) && (is_bool || std::holds_alternative<std::string>(condition.value))) {
    return InvalidArgument("value: LT, LE, GT and GE compare numbers");
  }
  if (const double* number = std::get_if<double>(&condition.value); number != nullptr && !std::isfinite(*number)) {
    return InvalidArgument("value: not a finite number");
  }
  return absl::OkStatus();
}

absl::Status Check(const FieldClaim& claim) {
  if (!IsPlain(claim.subject, kMaxText) || claim.subject.find('/') == std::string::npos) {
    return InvalidArgument("subject: \"{}\" is not DOMAIN/... of at most {} characters", claim.subject, kMaxText);
  }
  if (!claim.event.empty() && !IsPlain(claim.event, kMaxEvent)) {
    return InvalidArgument("event: at most {} printable characters", kMaxEvent);
  }
  if (claim.conditions.size() > kMaxConditions) {
    return InvalidArgument("conditions: {} of them; at most {}", claim.conditions.size(), kMaxConditions);
  }
  for (std::size_t i = 0; i < claim.conditions.size(); ++i) {
    RETURN_IF_ERROR(Annotate(Check(claim.conditions[i]), fmt::format("conditions[{}]", i)));
  }
  return absl::OkStatus();
}

absl::Status CheckSources(std::string_view field, const std::vector<std::string>& names) {
  if (names.size() > kMaxNamedSources) {
    return InvalidArgument("{}: {} of them; at most {}", field, names.size(), kMaxNamedSources);
  }
  for (const std::string& name : names) RETURN_IF_ERROR(Annotate(CheckOrigin(name), field));
  return absl::OkStatus();
}

absl::Status CheckAcceptance(const Acceptance& accept) {
  const auto in_range = [](std::chrono::nanoseconds d) { return d.count() > 0 && d <= kMaxDuration; };
  if (!in_range(accept.max_age)) return InvalidArgument("max age: more than 0 and at most ten years");
  if (accept.max_event_age && !in_range(*accept.max_event_age)) {
    return InvalidArgument("max event age: more than 0 and at most ten years");
  }
  if (accept.worst_tier >= frame::Tier::kBlack) {
    return InvalidArgument("worst tier: GREEN, YELLOW or RED; BLACK is never accepted");
  }
  if (accept.min_sources == 0 || accept.min_sources > kMaxMinSources) {
    return InvalidArgument("min sources: 1 to {}", kMaxMinSources);
  }
  if (accept.independence > Independence::kRouter) return InvalidArgument("independence: SIGNER, COLLECTOR or ROUTER");
  if (accept.level > ChainLevel::kWitnessed) return InvalidArgument("level: COMMITTED, CHECKPOINTED or WITNESSED");
  RETURN_IF_ERROR(CheckSources("require sources", accept.require_sources));
  RETURN_IF_ERROR(CheckSources("exclude sources", accept.exclude_sources));
  for (const std::string& name : accept.require_sources) {
    if (std::find(accept.exclude_sources.begin(), accept.exclude_sources.end(), name) != accept.exclude_sources.end()) {
      return InvalidArgument("exclude sources: {} is required as well", name);
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kChainFrozen:
      return "CHAIN_FROZEN";
    case Verdict::kNoEvidence:
      return "NO_EVIDENCE";
    case Verdict::kChannelCompromised:
      return "CHANNEL_COMPROMISED";
    case Verdict::kSourceSilent:
      return "SOURCE_SILENT";
    case Verdict::kStale:
      return "STALE";
    case Verdict::kConflict:
      return "CONFLICT";
    case Verdict::kIncomplete:
      return "INCOMPLETE";
    case Verdict::kInsufficient:
      return "INSUFFICIENT";
    case Verdict::kRefuted:
      return "REFUTED";
    case Verdict::kConfirmed:
      return "CONFIRMED";
  }
  return "?";
}

std::string_view OriginStrengthName(OriginStrength strength) {
  switch (strength) {
    case OriginStrength::kCollectorAsserted:
      return "COLLECTOR_ASSERTED";
    case OriginStrength::kSharedKey:
      return "SHARED_KEY";
    case OriginStrength::kSourceSigned:
      return "SOURCE_SIGNED";
  }
  return "?";
}

absl::Status CheckClaim(const Claim& claim, const Acceptance& acceptance) {
  RETURN_IF_ERROR(Annotate(std::visit([](const auto& c) { return Check(c); }, claim), "claim"));
  return Annotate(CheckAcceptance(acceptance), "acceptance");
}

}  // namespace virp::onode
