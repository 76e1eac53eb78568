#include "services/keymgr/domain/rpki_record.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

constexpr std::uint64_t kFormat = 1;
constexpr std::array<std::string_view, 6> kStates{"ISSUED", "PUBLISHED", "REVOKING", "REVOKED", "EXPIRED", "REPLACED"};
constexpr std::array<std::string_view, 6> kAuthorityStates{"CURRENT",  "STAGING", "REISSUING",
                                                           "RETIRING", "RETIRED", "SUPERSEDED"};

absl::Status Wrong(std::string_view member) {
  return InvalidArgument("{} is missing or not what it should be", member);
}

absl::StatusOr<std::string> Text(frame::Value body, std::string_view member) {
  const auto text = body[member].AsString();
  if (!text.has_value()) return Wrong(member);
  return std::string(*text);
}

absl::StatusOr<std::string> Bytes(frame::Value body, std::string_view member) {
  ASSIGN_OR_RETURN(const std::string text, Text(body, member));
  auto bytes = Base64Decode(text);
  if (!bytes.ok()) return Wrong(member);
  return bytes;
}

template <typename T>
absl::StatusOr<T> Number(frame::Value body, std::string_view member) {
  const auto number = body[member].AsUnsigned();
  if (!number.has_value() || *number > std::numeric_limits<T>::max()) return Wrong(member);
  return static_cast<T>(*number);
}

// A member that earlier versions did not write.
template <typename T>
absl::StatusOr<T> NumberOr(frame::Value body, std::string_view member, T otherwise) {
  return body[member].AsUnsigned().has_value() || body[member].AsString().has_value() ? Number<T>(body, member)
                                                                                      : otherwise;
}

absl::Status CheckFormat(frame::Value body) {
  ASSIGN_OR_RETURN(const auto format, Number<std::uint64_t>(body, "format"));
  return format == kFormat ? absl::OkStatus() : InvalidArgument("written by a later version of the key manager");
}

}  // namespace

std::string_view CertificateStateName(CertificateState state) {
  return kStates[static_cast<std::size_t>(state) - 1];
}

std::string_view AuthorityStateName(AuthorityState state) {
  return kAuthorityStates[static_cast<std::size_t>(state) - 1];
}

Row AuthorityRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = id;
  row.state = AuthorityStateName(state);
  if (published_until != 0 && revoked == 0) row.due = published_until;
  frame::JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("certificate", Base64Encode(certificate));
  json.Field("base_uri", std::string_view(base_uri)).Field("key_version", key_version).Field("number", number);
  json.Field("published_number", published_number).Field("published_at_ns", published_at);
  json.Field("published_until_ns", published_until).Field("since_ns", since).Field("revoked_ns", revoked);
  row.body = json.Field("waiting", waiting).Field("last_version", last_version).EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> AuthorityRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
  RETURN_IF_ERROR(CheckFormat(body));
  auto out = std::make_shared<AuthorityRecord>();
  out->id = row.id;
  ASSIGN_OR_RETURN(out->certificate, Bytes(body, "certificate"));
  ASSIGN_OR_RETURN(out->base_uri, Text(body, "base_uri"));
  ASSIGN_OR_RETURN(out->key_version, Number<std::uint32_t>(body, "key_version"));
  ASSIGN_OR_RETURN(out->number, Number<std::uint64_t>(body, "number"));
  ASSIGN_OR_RETURN(out->published_number, Number<std::uint64_t>(body, "published_number"));
  ASSIGN_OR_RETURN(out->published_at, Number<std::uint64_t>(body, "published_at_ns"));
  ASSIGN_OR_RETURN(out->published_until, Number<std::uint64_t>(body, "published_until_ns"));
  ASSIGN_OR_RETURN(out->since, NumberOr<std::uint64_t>(body, "since_ns", 0));
  ASSIGN_OR_RETURN(out->revoked, NumberOr<std::uint64_t>(body, "revoked_ns", 0));
  ASSIGN_OR_RETURN(out->last_version, NumberOr<std::uint32_t>(body, "last_version", 0));
  out->waiting = body["waiting"].AsBool().value_or(false);
  const auto state = std::find(kAuthorityStates.begin(), kAuthorityStates.end(), row.state);
  if (state == kAuthorityStates.end() && !row.state.empty()) return Wrong("state");  // earlier versions wrote none
  if (!row.state.empty()) out->state = static_cast<AuthorityState>(state - kAuthorityStates.begin() + 1);
  return std::shared_ptr<Record>(std::move(out));
}

Row RouterCertificateRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = id;
  row.parent = router;
  row.state = CertificateStateName(state);
  if (state == CertificateState::kIssued || state == CertificateState::kPublished) row.due = not_after;
  frame::JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("asn", asn).Field("bgp_id", bgp_id);
  json.Field("certificate", Base64Encode(certificate)).Field("serial", HexEncode(serial));
  json.Field("not_after_ns", not_after).Field("revoked_ns", revoked);
  row.body = json.Field("issuer_version", issuer_version).EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> RouterCertificateRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
  RETURN_IF_ERROR(CheckFormat(body));
  auto out = std::make_shared<RouterCertificateRecord>();
  out->id = row.id;
  out->router = row.parent;
  std::size_t state = 0;
  while (state < kStates.size() && kStates[state] != row.state) ++state;
  if (state == kStates.size()) return Wrong("state");
  out->state = static_cast<CertificateState>(state + 1);
  ASSIGN_OR_RETURN(out->asn, Number<std::uint32_t>(body, "asn"));
  ASSIGN_OR_RETURN(out->bgp_id, Number<std::uint32_t>(body, "bgp_id"));
  ASSIGN_OR_RETURN(out->certificate, Bytes(body, "certificate"));
  ASSIGN_OR_RETURN(const std::string serial, Text(body, "serial"));
  ASSIGN_OR_RETURN(out->serial, HexDecode(serial));
  ASSIGN_OR_RETURN(out->not_after, Number<std::uint64_t>(body, "not_after_ns"));
  ASSIGN_OR_RETURN(out->revoked, Number<std::uint64_t>(body, "revoked_ns"));
  ASSIGN_OR_RETURN(out->issuer_version, NumberOr<std::uint32_t>(body, "issuer_version", 1));
  const bool says_revoked = out->state == CertificateState::kRevoking || out->state == CertificateState::kRevoked;
  if (says_revoked != out->IsRevoked()) return Wrong("revoked_ns");
  return std::shared_ptr<Record>(std::move(out));
}

}  // namespace virp::keymgr
