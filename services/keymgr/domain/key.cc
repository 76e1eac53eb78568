#include "services/keymgr/domain/key.h"

#include <fmt/format.h>

#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/names.h"
#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

template <typename T>
using Names = std::pair<T, std::string_view>;

constexpr Names<KeyKind> kKinds[] = {
    {KeyKind::kObservation, "observation"}, {KeyKind::kRouter, "router"},           {KeyKind::kTcpAo, "tcp_ao"},
    {KeyKind::kIssuer, "issuer"},           {KeyKind::kPublication, "publication"}, {KeyKind::kTransfer, "transfer"}};
constexpr Names<Algorithm> kAlgorithms[] = {{Algorithm::kHmacSha256, "HMAC-SHA256"},
                                            {Algorithm::kEd25519, "Ed25519"},
                                            {Algorithm::kEcdsaP256, "ECDSA-P256-SHA256"},
                                            {Algorithm::kRsa2048, "RSA-2048-SHA256"},
                                            {Algorithm::kOctets, "OCTETS"}};
constexpr Names<KeyState> kStates[] = {
    {KeyState::kPreActivation, "PRE_ACTIVATION"}, {KeyState::kActive, "ACTIVE"},
    {KeyState::kSuspended, "SUSPENDED"},          {KeyState::kDeactivated, "DEACTIVATED"},
    {KeyState::kCompromised, "COMPROMISED"},      {KeyState::kDestroyed, "DESTROYED"}};
constexpr Names<ExportPolicy> kPolicies[] = {{ExportPolicy::kNever, "NEVER"},
                                             {ExportPolicy::kOnce, "ONCE"},
                                             {ExportPolicy::kEscrowOnly, "ESCROW_ONLY"},
                                             {ExportPolicy::kShared, "SHARED"}};

template <typename T, std::size_t N>
std::string_view NameIn(const Names<T> (&names)[N], T value) {
  for (const auto& [candidate, name] : names) {
    if (candidate == value) return name;
  }
  return "unknown";
}

template <typename T, std::size_t N>
std::optional<T> ValueIn(const Names<T> (&names)[N], std::string_view name) {
  for (const auto& [value, candidate] : names) {
    if (candidate == name) return value;
  }
  return std::nullopt;
}

bool IsAlgorithmOf(KeyKind kind, Algorithm algorithm) {
  switch (kind) {
    case KeyKind::kObservation:
      return algorithm == Algorithm::kHmacSha256 || algorithm == Algorithm::kEd25519;
    case KeyKind::kRouter:
      return algorithm == Algorithm::kEcdsaP256;
    case KeyKind::kTcpAo:
      return algorithm == Algorithm::kOctets;
    case KeyKind::kIssuer:
    case KeyKind::kPublication:
      return algorithm == Algorithm::kRsa2048;
    case KeyKind::kTransfer:
      return algorithm == Algorithm::kRsa2048 || algorithm == Algorithm::kEcdsaP256;
  }
  return false;
}

}  // namespace

std::string_view KeyKindName(KeyKind kind) {
  return NameIn(kKinds, kind);
}
std::string_view AlgorithmName(Algorithm algorithm) {
  return NameIn(kAlgorithms, algorithm);
}
std::string_view KeyStateName(KeyState state) {
  return NameIn(kStates, state);
}
std::string_view ExportPolicyName(ExportPolicy policy) {
  return NameIn(kPolicies, policy);
}
std::optional<KeyKind> KeyKindFromName(std::string_view name) {
  return ValueIn(kKinds, name);
}
std::optional<Algorithm> AlgorithmFromName(std::string_view name) {
  return ValueIn(kAlgorithms, name);
}
std::optional<ExportPolicy> ExportPolicyFromName(std::string_view name) {
  return ValueIn(kPolicies, name);
}

absl::Status CheckKeyId(std::string_view id) {
  return WithCode(Annotate(CheckOrigin(id), "key id"), absl::StatusCode::kInvalidArgument);
}

absl::Status CheckIdentity(const KeyIdentity& identity) {
  RETURN_IF_ERROR(CheckKeyId(identity.id));
  if (identity.version == 0) return InvalidArgument("key {}: versions begin with 1", identity.id);
  if (!IsAlgorithmOf(identity.kind, identity.algorithm)) {
    return InvalidArgument("key {}: {} is no algorithm of {} keys", identity.id, AlgorithmName(identity.algorithm),
                           KeyKindName(identity.kind));
  }
  return absl::OkStatus();
}

absl::Status CheckExportPolicy(const KeyIdentity& identity, ExportPolicy policy) {
  const bool own = identity.kind == KeyKind::kIssuer || identity.kind == KeyKind::kPublication ||
                   identity.kind == KeyKind::kTransfer;
  const bool fits =
      policy == ExportPolicy::kNever || (!own && (policy == ExportPolicy::kShared) == IsSymmetric(identity.algorithm));
  if (fits && NameIn(kPolicies, policy) != "unknown") return absl::OkStatus();
  return InvalidArgument("{}: export policy {} does not fit {} of kind {}", ToString(identity),
                         ExportPolicyName(policy), AlgorithmName(identity.algorithm), KeyKindName(identity.kind));
}

std::string ToString(const KeyIdentity& identity) {
  return fmt::format("{} key {} version {}", KeyKindName(identity.kind), identity.id, identity.version);
}

std::string AssociatedData(const KeyIdentity& identity) {
  std::string out = "virp key/1\n";
  out.push_back(static_cast<char>(identity.kind));
  out.push_back(static_cast<char>(identity.algorithm));
  AppendBe(out, identity.version);
  out.append(identity.id);
  return out;
}

bool CanMove(KeyState from, KeyState to) {
  switch (from) {
    case KeyState::kPreActivation:
      return to == KeyState::kActive || to == KeyState::kCompromised || to == KeyState::kDestroyed;
    case KeyState::kActive:
      return to == KeyState::kSuspended || to == KeyState::kDeactivated || to == KeyState::kCompromised ||
             to == KeyState::kDestroyed;
    case KeyState::kSuspended:
      return to == KeyState::kActive || to == KeyState::kDeactivated || to == KeyState::kCompromised ||
             to == KeyState::kDestroyed;
    case KeyState::kDeactivated:
      return to == KeyState::kCompromised || to == KeyState::kDestroyed;
    case KeyState::kCompromised:
      return to == KeyState::kDestroyed;
    case KeyState::kDestroyed:
      return to == KeyState::kCompromised;
  }
  return false;
}

}  // namespace virp::keymgr
