#include "services/keymgr/transport/observation_wire.h"

#include <charconv>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/service/wire.h"

namespace virp::keymgr {
namespace {

v1::KeySuite SuiteOf(Algorithm algorithm) {
  return algorithm == Algorithm::kEd25519 ? v1::KEY_SUITE_ED25519 : v1::KEY_SUITE_HMAC_SHA256;
}

template <typename Set>
void SetTime(const std::optional<UnixNanos>& time, Set&& field) {
  if (time) *field() = service::TimestampOf(*time);
}

void ToMessage(const ObservationVersion& from, v1::ObservationKeyVersion& to) {
  to.set_version(from.version);
  to.set_suite(SuiteOf(from.algorithm));
  to.set_state(static_cast<v1::ObservationKeyState>(from.state));  // numbers are equal; observation_wire_test
  to.set_public_key(from.public_half);
  to.set_commitment(from.commitment);
  *to.mutable_accept_from() = service::TimestampOf(from.accept_from);
  SetTime(from.activated, [&] { return to.mutable_activated_at(); });
  SetTime(from.sign_until, [&] { return to.mutable_sign_until(); });
  SetTime(from.accept_until, [&] { return to.mutable_accept_until(); });
  SetTime(from.compromised_since, [&] { return to.mutable_compromised_since(); });
  SetTime(from.revoked, [&] { return to.mutable_revoked_at(); });
  to.set_made_by(from.made_by);
  to.set_wanted_by(from.wanted_by);
  to.set_approved_by(from.approved_by);
  to.set_succession(from.succession);
  for (const Sighting& seen : from.known_by) {
    auto& sighting = *to.add_known_by();
    sighting.set_identity(seen.identity);
    sighting.set_entry(seen.entry);
    *sighting.mutable_at() = service::TimestampOf(seen.at);
    sighting.set_compromised(seen.compromised);
  }
  for (const std::string& identity : from.released_to) to.add_released_to(identity);
}

}  // namespace

void ToMessage(const ObservationKey& key, v1::ObservationKey& to) {
  to.set_source(key.source);
  to.set_form(static_cast<v1::ConsumerForm>(key.form));
  for (const std::string& id : key.signers) to.add_signers(id);
  for (const std::string& id : key.carriers) to.add_carriers(id);
  for (const ObservationVersion& version : key.versions) ToMessage(version, *to.add_versions());
  to.set_wanted_version(key.wanted);
  to.set_etag(fmt::format("{}", key.revision));
}

absl::StatusOr<ObservationKey> FromMessage(const v1::ObservationKey& from) {
  ObservationKey key;
  key.source = from.source();
  switch (from.form()) {
    case v1::CONSUMER_FORM_UNSPECIFIED:
    case v1::CONSUMER_FORM_PLATFORM:
      key.form = ConsumerForm::kPlatform;
      break;
    case v1::CONSUMER_FORM_HEX_TEXT:
      key.form = ConsumerForm::kHexText;
      break;
    case v1::CONSUMER_FORM_RAW:
      key.form = ConsumerForm::kRaw;
      break;
    default:
      return InvalidField("key.form", "is none that this key manager knows");
  }
  key.signers.assign(from.signers().begin(), from.signers().end());
  key.carriers.assign(from.carriers().begin(), from.carriers().end());
  return key;
}

void ToMessage(const HeldKeys& keys, v1::SourceKeys& to) {
  to.set_source(keys.source);
  to.set_first_version(keys.first_version);
  to.set_activated(keys.activated);
  to.set_wanted_version(keys.wanted);
  if (keys.files_sign_until) to.set_files_sign_until_ns(*keys.files_sign_until);
  if (keys.files_accept_until) to.set_files_accept_until_ns(*keys.files_accept_until);
  for (const HeldVersion& from : keys.versions) {
    v1::KeyMaterial& version = *to.add_versions();
    version.set_version(from.version);
    version.set_suite(SuiteOf(from.algorithm));
    if (from.secret != nullptr) version.set_secret(from.secret->view().data(), from.secret->size());
    version.set_public_key(from.public_half);
    version.set_may_sign(from.may_sign);
    version.set_accept_from_ns(from.accept_from);
    if (from.accept_until) version.set_accept_until_ns(*from.accept_until);
    if (from.sign_until) version.set_sign_until_ns(*from.sign_until);
    if (from.compromised_since) version.set_compromised_since_ns(*from.compromised_since);
  }
}

absl::StatusOr<std::optional<Algorithm>> AlgorithmOf(v1::KeySuite suite, std::string_view field) {
  if (suite == v1::KEY_SUITE_UNSPECIFIED) return std::nullopt;
  if (suite == v1::KEY_SUITE_HMAC_SHA256) return Algorithm::kHmacSha256;
  if (suite == v1::KEY_SUITE_ED25519) return Algorithm::kEd25519;
  return InvalidField(field, "is none that this key manager knows");
}

absl::StatusOr<std::chrono::nanoseconds> DurationOf(const google::protobuf::Duration& from, std::string_view field) {
  constexpr std::int64_t kMostSeconds = 315'576'000'000;  // of protobuf: 10,000 years; ours fit 292
  const bool fits =
      from.seconds() >= 0 && from.nanos() >= 0 && from.nanos() < 1'000'000'000 && from.seconds() <= kMostSeconds / 100;
  if (!fits) return InvalidField(field, "wanted a duration that is not negative, of at most 100 years");
  return std::chrono::seconds(from.seconds()) + std::chrono::nanoseconds(from.nanos());
}

absl::StatusOr<std::uint64_t> RevisionOf(std::string_view etag) {
  if (etag.empty()) return 0;
  std::uint64_t revision = 0;
  const auto [end, error] = std::from_chars(etag.data(), etag.data() + etag.size(), revision);
  if (error != std::errc() || end != etag.data() + etag.size() || revision == 0)
    return InvalidField("etag", "is none of this key manager's");
  return revision;
}

}  // namespace virp::keymgr
