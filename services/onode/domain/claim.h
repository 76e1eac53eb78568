// Claims, what the asker accepts, and the answer (docs/claims.md is the manual of all verdicts). Plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "lib/chain/source_book.h"
#include "lib/frame/frame.h"

namespace virp::onode {

struct PeerClaim {     // "peer P of router R is (not) in state S"
  std::string router;  // registered router name
  std::string vrf = "default";
  std::string peer;                      // RFC 5952
  std::optional<std::uint32_t> peer_as;  // when given, the payload's peer_as must agree
  std::string state = "Established";     // as in the payload's new_state; "down": any state but Established
  bool negate = false;
};

struct RouteClaim {  // "router R has (no) route to prefix in this rib"
  std::string router;
  std::string vrf = "default";
  std::string rib = "adj-in-pre";  // or "best": type 4 and loc paths
  std::string prefix;              // canonical
  bool exists = true;
  std::optional<std::uint32_t> origin_as;  // last AS of the path
  std::optional<std::string> next_hop;
  std::optional<std::string> peer;  // learnt from; all peers when absent
};

struct FieldCondition {
  enum class Op : std::uint8_t { kEq, kNeq, kLt, kLe, kGt, kGe, kExists };
  std::string path;  // frame::Value::Path
  Op op = Op::kEq;
  std::variant<std::string, double, std::int64_t, std::uint64_t, bool> value;  // kExists: bool, whether it must exist
};

struct FieldClaim {                        // the newest observation of this subject and event fulfils all conditions
  std::string subject;                     // subject text (docs/formats/chain.md)
  std::string event;                       // payload key "event"; empty: any
  std::vector<FieldCondition> conditions;  // at most 16
};

using Claim = std::variant<PeerClaim, RouteClaim, FieldClaim>;

enum class Independence : std::uint8_t { kSigner, kCollector, kRouter };
enum class ChainLevel : std::uint8_t { kCommitted, kCheckpointed, kWitnessed };

struct Acceptance {
  std::chrono::nanoseconds max_age = std::chrono::seconds(30);
  std::optional<std::chrono::nanoseconds> max_event_age{};
  frame::Tier worst_tier = frame::Tier::kYellow;  // kBlack is refused
  std::uint32_t min_sources = 1;
  Independence independence = Independence::kSigner;
  std::vector<std::string> require_sources{}, exclude_sources{};
  std::uint32_t max_dissent = 0;
  ChainLevel level = ChainLevel::kCommitted;
  bool accept_alarmed = true;  // sources whose channel is ALARMED count
};

enum class Verdict : std::uint8_t {
  kChainFrozen = 1,
  kNoEvidence,
  kChannelCompromised,
  kSourceSilent,
  kStale,
  kConflict,
  kIncomplete,
  kInsufficient,
  kRefuted,
  kConfirmed,
};
std::string_view VerdictName(Verdict verdict);  // "CHAIN_FROZEN", ...

enum class OriginStrength : std::uint8_t { kCollectorAsserted = 1, kSharedKey = 2, kSourceSigned = 3 };

// Reasons of Answer::reason.
inline constexpr std::string_view kReasonSettling = "SETTLING";       // CONFLICT
inline constexpr std::string_view kReasonMinSources = "MIN_SOURCES";  // INSUFFICIENT, as the next three
inline constexpr std::string_view kReasonTier = "TIER";
inline constexpr std::string_view kReasonLevel = "LEVEL";
inline constexpr std::string_view kReasonRibNotMonitored = "RIB_NOT_MONITORED";

// Why a source was left out (SourceOpinion::left_out), the first that holds.
inline constexpr std::string_view kLeftOutExcluded = "EXCLUDED";  // the asker said so
inline constexpr std::string_view kLeftOutSuspended = "SUSPENDED";
inline constexpr std::string_view kLeftOutBlack = "BLACK";
inline constexpr std::string_view kLeftOutKeyCompromised =
    "KEY_COMPROMISED";  // all that it said was tagged by such a key
inline constexpr std::string_view kLeftOutRibNotMonitored =
    "RIB_NOT_MONITORED";  // reports the router, but not this table
inline constexpr std::string_view kLeftOutAttributeUnknown =
    "ATTRIBUTE_UNKNOWN";  // its paths do not say what the claim asks
inline constexpr std::string_view kLeftOutNothing = "NOTHING_SAID";
inline constexpr std::string_view kLeftOutAlarmed = "ALARMED";  // and the asker refuses that
inline constexpr std::string_view kLeftOutSilent = "SILENT";
inline constexpr std::string_view kLeftOutStale = "STALE";
inline constexpr std::string_view kLeftOutTier = "TIER";  // worse than the asker tolerates

// Why an opinion is in doubt (SourceOpinion::doubt), the first that holds.
inline constexpr std::string_view kDoubtEpochEnded = "EPOCH_ENDED";  // and the source has not restated it since
inline constexpr std::string_view kDoubtGap = "GAP";
inline constexpr std::string_view kDoubtLossRecord = "LOSS_RECORD";  // the source says itself that it lost frames
inline constexpr std::string_view kDoubtTail = "TAIL_NOT_ARRIVED";   // a beat states numbers that are not here yet
inline constexpr std::string_view kDoubtUnreadable = "UNREADABLE";   // a later frame is opaque or its key compromised
inline constexpr std::string_view kDoubtTableNotStated = "TABLE_NOT_STATED";
inline constexpr std::string_view kDoubtSummarised = "SUMMARISED";  // the collector folds changes of the table
inline constexpr std::string_view kDoubtPeerLeft = "PEER_LEFT";     // the best path's peer is not Established any more

// What one source says to the claim, and the entries that this rests on.
struct SourceOpinion {
  std::string source;
  enum class Says : std::uint8_t { kNothing, kAgrees, kDissents } says = Says::kNothing;
  bool counted = false;                     // false: left out, `left_out` says why
  std::string_view left_out;                // kLeftOut...; empty when counted
  std::string_view doubt;                   // kDoubt...; not empty: what it says may have changed unseen (INCOMPLETE)
  std::uint64_t entry = chain::kNone;       // chain sequence of the fact; kNone when it says nothing
  std::optional<std::uint64_t> beat_entry;  // covering beat
  std::vector<std::uint64_t>
      also;  // table_complete, peer state, beats: other entries that the opinion rests on, rising
  frame::Tier tier = frame::Tier::kGreen;
  OriginStrength strength = OriginStrength::kSharedKey;
  chain::ChannelState channel = chain::ChannelState::kOk;
  UnixNanos observed_at = 0;  // frame time of the fact
  UnixNanos received_at = 0;
  UnixNanos confirmed_at = 0;
  std::vector<chain::MissingRange>
      missing;  // what GAP, LOSS_RECORD or TAIL_NOT_ARRIVED mean, at most 16 (a tail has no gap entry: kNone)
  bool path_liveness_only = false;  // version 1 source: the beat is the collector's word about the path
};

struct Answer {
  Verdict verdict = Verdict::kNoEvidence;
  std::string reason;                   // SETTLING, MIN_SOURCES, TIER, LEVEL, RIB_NOT_MONITORED or empty
  std::string explanation;              // one sentence for a person
  std::vector<SourceOpinion> opinions;  // every source whose registration covers the subject
  std::uint64_t chain_size = 0;
  UnixNanos evaluated_at = 0;
  UnixNanos observed_at = 0, received_at = 0, confirmed_at = 0;  // of the newest fact that the verdict rests on
  UnixNanos valid_until = 0;  // last instant at which, without new entries, the verdict is still this one; 0: no end
  OriginStrength origin_strength = OriginStrength::kSharedKey;  // weakest among those that the verdict rests on
};

// InvalidField with the API's name of what is wrong (not canonical, unknown rib, BLACK tier, more than 16 conditions
// ...): below `field`, such as "claims[3].route.next_hop"; "acceptance.worst_tier".
absl::Status CheckClaim(const Claim& claim, const std::string& field = "claim");
absl::Status CheckAcceptance(const Acceptance& acceptance);

}  // namespace virp::onode
