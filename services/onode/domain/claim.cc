#include "services/onode/domain/claim.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "lib/base/error_info.h"
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

template <typename... Args>
absl::Status Refuse(const std::string& field, fmt::format_string<Args...> why, Args&&... args) {
  return InvalidField(field, fmt::format(why, std::forward<Args>(args)...));
}

// What a parser found is wrong with `field`.
absl::Status RefuseUnless(const std::string& field, const absl::Status& parsed) {
  return parsed.ok() ? parsed : InvalidField(field, Message(parsed));
}

absl::Status CheckRouterAndVrf(const std::string& field, std::string_view router, std::string_view vrf) {
  RETURN_IF_ERROR(RefuseUnless(field + ".router", CheckSourceName(router)));
  if (!IsPlain(vrf, kMaxVrf) || vrf.find('/') != std::string_view::npos) {
    return Refuse(field + ".vrf", "\"{}\" is not a VRF name; without VRFs it is \"default\"", vrf.substr(0, kMaxVrf));
  }
  return absl::OkStatus();
}

absl::Status CheckAddress(const std::string& field, std::string_view text) {
  return RefuseUnless(field, IpAddress::ParseCanonical(text).status());
}

absl::Status Check(const PeerClaim& claim, const std::string& field) {
  RETURN_IF_ERROR(CheckRouterAndVrf(field, claim.router, claim.vrf));
  RETURN_IF_ERROR(CheckAddress(field + ".peer_address", claim.peer));
  if (!IsPlain(claim.state, kMaxState)) return Refuse(field + ".state", "1 to {} printable characters", kMaxState);
  return absl::OkStatus();
}

absl::Status Check(const RouteClaim& claim, const std::string& field) {
  RETURN_IF_ERROR(CheckRouterAndVrf(field, claim.router, claim.vrf));
  if (claim.rib != "best" && !chain::IsRibName(claim.rib)) {
    return Refuse(field + ".rib", "\"{}\" is not adj-in-pre, adj-in-post, loc, adj-out-pre, adj-out-post or best",
                  claim.rib.substr(0, kMaxText));
  }
  RETURN_IF_ERROR(RefuseUnless(field + ".prefix", Prefix::ParseCanonical(claim.prefix).status()));
  if (claim.next_hop) RETURN_IF_ERROR(CheckAddress(field + ".next_hop", *claim.next_hop));
  if (claim.peer) RETURN_IF_ERROR(CheckAddress(field + ".peer_address", *claim.peer));
  return absl::OkStatus();
}

bool IsOrdering(FieldCondition::Op op) {
  using Op = FieldCondition::Op;
  return op == Op::kLt || op == Op::kLe || op == Op::kGt || op == Op::kGe;
}

absl::Status Check(const FieldCondition& condition, const std::string& field) {
  if (!IsPlain(condition.path, kMaxText)) return Refuse(field + ".path", "1 to {} printable characters", kMaxText);
  if (condition.op > FieldCondition::Op::kExists) return Refuse(field + ".operator", "unknown");
  const bool is_bool = std::holds_alternative<bool>(condition.value);
  if (condition.op == FieldCondition::Op::kExists && !is_bool) {
    return Refuse(field + ".value", "EXISTS takes true or false");
  }
  if (IsOrdering(condition.op) && (is_bool || std::holds_alternative<std::string>(condition.value))) {
    return Refuse(field + ".value", "LT, LE, GT and GE compare numbers");
  }
  if (const double* number = std::get_if<double>(&condition.value); number != nullptr && !std::isfinite(*number)) {
    return Refuse(field + ".value", "not a finite number");
  }
  return absl::OkStatus();
}

absl::Status Check(const FieldClaim& claim, const std::string& field) {
  if (!IsPlain(claim.subject, kMaxText) || claim.subject.find('/') == std::string::npos) {
    return Refuse(field + ".subject", "\"{}\" is not DOMAIN/... of at most {} characters",
                  claim.subject.substr(0, kMaxText), kMaxText);
  }
  if (!claim.event.empty() && !IsPlain(claim.event, kMaxEvent)) {
    return Refuse(field + ".event", "at most {} printable characters", kMaxEvent);
  }
  if (claim.conditions.size() > kMaxConditions) {
    return Refuse(field + ".conditions", "{} of them; at most {}", claim.conditions.size(), kMaxConditions);
  }
  for (std::size_t i = 0; i < claim.conditions.size(); ++i) {
    RETURN_IF_ERROR(Check(claim.conditions[i], fmt::format("{}.conditions[{}]", field, i)));
  }
  return absl::OkStatus();
}

std::string_view FormOf(const Claim& claim) {
  return std::array<std::string_view, 3>{"peer", "route", "field"}[claim.index()];
}

absl::Status CheckSources(const std::string& field, const std::vector<std::string>& names) {
  if (names.size() > kMaxNamedSources) return Refuse(field, "{} of them; at most {}", names.size(), kMaxNamedSources);
  for (std::size_t i = 0; i < names.size(); ++i) {
    RETURN_IF_ERROR(RefuseUnless(fmt::format("{}[{}]", field, i), CheckOrigin(names[i])));
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

absl::Status CheckClaim(const Claim& claim, const std::string& field) {
  const std::string form = fmt::format("{}.{}", field, FormOf(claim));
  return std::visit([&](const auto& c) { return Check(c, form); }, claim);
}

absl::Status CheckAcceptance(const Acceptance& accept) {
  const auto in_range = [](std::chrono::nanoseconds d) { return d.count() > 0 && d <= kMaxDuration; };
  if (!in_range(accept.max_age)) return Refuse("acceptance.max_age", "more than 0 and at most ten years");
  if (accept.max_event_age && !in_range(*accept.max_event_age)) {
    return Refuse("acceptance.max_event_age", "more than 0 and at most ten years");
  }
  if (accept.worst_tier >= frame::Tier::kBlack) {
    return Refuse("acceptance.worst_tier", "GREEN, YELLOW or RED; BLACK is never accepted");
  }
  if (accept.min_sources == 0 || accept.min_sources > kMaxMinSources) {
    return Refuse("acceptance.min_sources", "1 to {}", kMaxMinSources);
  }
  if (accept.independence > Independence::kRouter) {
    return Refuse("acceptance.independence", "SIGNER, COLLECTOR or ROUTER");
  }
  if (accept.level > ChainLevel::kWitnessed) {
    return Refuse("acceptance.chain_level", "COMMITTED, CHECKPOINTED or WITNESSED");
  }
  RETURN_IF_ERROR(CheckSources("acceptance.require_sources", accept.require_sources));
  RETURN_IF_ERROR(CheckSources("acceptance.exclude_sources", accept.exclude_sources));
  for (const std::string& name : accept.require_sources) {
    if (std::find(accept.exclude_sources.begin(), accept.exclude_sources.end(), name) != accept.exclude_sources.end()) {
      return Refuse("acceptance.exclude_sources", "{} is required as well", name);
    }
  }
  return absl::OkStatus();
}

}  // namespace virp::onode
