#include "services/keymgr/domain/observation_keys.h"

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/ed25519.h"
#include "lib/frame/key_statements.h"
#include "lib/frame/payload.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kSecretSize = 32;
constexpr std::size_t kReportedAtOnce = 32;  // versions in one audit record

const std::string& StatementOf(const ObservationVersion& version) {
  return version.algorithm == Algorithm::kEd25519 ? version.public_half : version.commitment;
}

std::string FieldsOf(const ObservationVersion& version) {
  frame::JsonWriter json;
  json.BeginObject().Field("state", ObservationStateName(version.state));
  json.Field(version.algorithm == Algorithm::kEd25519 ? "public_key" : "commitment", HexEncode(StatementOf(version)));
  if (!version.wanted_by.empty()) json.Field("wanted_by", version.wanted_by);
  if (!version.approved_by.empty()) json.Field("approved_by", version.approved_by);
  if (!version.succession.empty()) json.Field("succession", HexEncode(version.succession));
  if (version.sign_until) json.Field("sign_until_ns", *version.sign_until);
  if (version.accept_until) json.Field("accept_until_ns", *version.accept_until);
  if (version.compromised_since) json.Field("compromised_since_ns", *version.compromised_since);
  return json.EndObject().Take();
}

void WriteList(frame::JsonWriter& json, std::string_view name, const std::vector<std::string>& list) {
  json.Key(name).BeginArray();
  for (const std::string& one : list) json.String(one);
  json.EndArray();
}

// Whole, so that the record alone says who held what (TakeOverObservationKeys).
std::string HoldersOf(std::optional<ConsumerForm> form, const std::vector<std::string>& signers,
                      const std::vector<std::string>& carriers) {
  frame::JsonWriter json;
  json.BeginObject();
  if (form) json.Field("form", ConsumerFormName(*form));
  WriteList(json, "signers", signers);
  WriteList(json, "carriers", carriers);
  return json.EndObject().Take();
}

bool EndsLine(char c) {
  return c == '\n' || c == '\r';
}

}  // namespace

ObservationKeys::ObservationKeys(Ledger& ledger, const Custodies& custodies, std::function<absl::Status()> serving,
                                 std::vector<std::string> own)
    : ledger_(ledger), custodies_(custodies), serving_(std::move(serving)), own_(std::move(own)), secrets_(custodies) {
  ledger_.Subscribe([this](const Committed& committed) { OnCommitted(committed); });
}

absl::Status ObservationKeys::NotKnown(std::string_view source) {
  return NotFound("source {} has no keys here; create it first", source);
}

// ---- changes ----

absl::StatusOr<Done> ObservationKeys::DoneOf(const Receipt& receipt, std::string_view source) const {
  Done done;
  done.key = ledger_.snapshot()->Find<ObservationKey>(source);
  if (done.key == nullptr) return NotKnown(source);
  done.record = receipt.record;
  for (const char digit : receipt.answer) done.version = done.version * 10 + static_cast<std::uint32_t>(digit - '0');
  return done;
}

absl::StatusOr<Done> ObservationKeys::Change(const Call& call, std::string_view source, const Event& event,
                                             const Step& step, const SealedKey* made, bool drop) {
  const auto edit = [&](const Snapshot& now, Changes& changes) -> absl::Status {
    const auto before = now.Find<ObservationKey>(source);
    if (before == nullptr) return NotKnown(source);
    auto after = std::make_shared<ObservationKey>(*before);
    RETURN_IF_ERROR(step(*after, changes.now()));
    AuditRecord audit;
    audit.event = event.name;
    audit.source = source;
    audit.tier = event.tier;
    audit.fields = event.fields;
    if (const ObservationVersion* version = after->Find(event.version)) {
      audit.keys.push_back(version->identity(source));
      if (audit.fields.empty()) audit.fields = FieldsOf(*version);
      if (drop && now.FindKey(version->identity(source)) != nullptr) changes.DropKey(version->identity(source));
    }
    if (made != nullptr) changes.PutKey(*made);
    changes.Put(std::move(after));
    changes.Answer(fmt::format("{}", event.version));
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(const Receipt receipt, ledger_.Commit(call, edit));
  return DoneOf(receipt, source);
}

absl::StatusOr<Done> ObservationKeys::Create(const Call& call, const ObservationKey& key) {
  RETURN_IF_ERROR(CheckObservationKey(key));
  if (std::find(own_.begin(), own_.end(), key.source) != own_.end())
    return InvalidField("source", "is the key manager's or the chain's own, whose key is a file");
  const auto edit = [&](const Snapshot& now, Changes& changes) -> absl::Status {
    if (now.Find<ObservationKey>(key.source) != nullptr)
      return AlreadyExists("source {} has keys here already", key.source);
    auto made = std::make_shared<ObservationKey>();
    made->source = key.source;
    made->form = key.form;
    made->signers = key.signers;
    made->carriers = key.carriers;
    changes.Put(std::move(made));
    changes.Audit({.event = "observation_key_created",
                   .source = key.source,
                   .keys = {},
                   .fields = HoldersOf(key.form, key.signers, key.carriers)});
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(const Receipt receipt, ledger_.Commit(call, edit));
  return DoneOf(receipt, key.source);
}

absl::StatusOr<Done> ObservationKeys::Update(const Call& call, std::string_view source,
                                             std::vector<std::string> signers, std::vector<std::string> carriers,
                                             std::uint64_t revision) {
  const Event event{.name = "observation_key_updated", .fields = HoldersOf(std::nullopt, signers, carriers)};
  return Change(call, source, event, [&](ObservationKey& key, UnixNanos) -> absl::Status {
    if (revision != 0 && revision != key.revision)
      return WithReason(Aborted("source {} was changed meanwhile; read it again", source), "ETAG");
    key.signers = signers;
    key.carriers = carriers;
    return CheckObservationKey(key);
  });
}

absl::StatusOr<SealedKey> ObservationKeys::MakeSecret(const ObservationKey& key, std::uint32_t version) const {
  const KeyIdentity identity{KeyKind::kObservation, key.source, version, Algorithm::kHmacSha256};
  Custody& custody = custodies_.For(KeyKind::kObservation);
  if (key.form == ConsumerForm::kPlatform) return custody.Generate(identity, ExportPolicy::kShared);
  crypto::Secret secret = crypto::Secret::Random(kSecretSize);
  // There are loaders that cut line ends off a key, whatever it is: one in 128 would be another key for them.
  while (key.form == ConsumerForm::kRaw && EndsLine(secret.view().back())) secret = crypto::Secret::Random(kSecretSize);
  if (key.form == ConsumerForm::kHexText) {
    std::string text = HexEncode(secret.view());
    secret = crypto::Secret(std::string_view(text));
    crypto::Wipe(text.data(), text.size());
  }
  return custody.Import(identity, ExportPolicy::kShared, secret);
}

absl::StatusOr<std::string> ObservationKeys::TagOf(const Snapshot& now, const ObservationKey& key,
                                                   const ObservationVersion& version,
                                                   std::string_view statement) const {
  const Snapshot::KeyPtr sealed = now.FindKey(version.identity(key.source));
  if (sealed == nullptr) return FailedPrecondition("version {} of {} has no secret here", version.version, key.source);
  ASSIGN_OR_RETURN(Custody* const custody, custodies_.Of(*sealed));
  return custody->Sign(*sealed, statement);
}

absl::StatusOr<Done> ObservationKeys::Prepare(const Call& call, std::string_view source, std::uint32_t version,
                                              std::optional<Algorithm> algorithm) {
  RETURN_IF_ERROR(serving_());
  const auto now = ledger_.snapshot();
  const auto key = now->Find<ObservationKey>(source);
  if (key == nullptr) return NotKnown(source);
  if (version == 0) version = key->versions.empty() ? 1 : key->versions.back().version + 1;
  if (!algorithm) algorithm = key->versions.empty() ? Algorithm::kHmacSha256 : key->versions.back().algorithm;
  if (algorithm == Algorithm::kHmacSha256) return MakeHmac(call, *now, *key, version);
  frame::JsonWriter fields;
  fields.BeginObject().Field("key_version", version).EndObject();
  return Change(call, source, {.name = "observation_key_asked_for", .version = version, .fields = fields.Take()},
                [&](ObservationKey& current, UnixNanos) { return AskFor(current, version, call.actor); });
}

absl::StatusOr<Done> ObservationKeys::MakeHmac(const Call& call, const Snapshot& now, const ObservationKey& key,
                                               std::uint32_t version) {
  const std::string& source = key.source;
  NewVersion wanted;
  wanted.version = version;
  wanted.algorithm = Algorithm::kHmacSha256;
  wanted.made_by = call.actor;
  const ObservationVersion* const active = key.Active();
  const std::uint32_t vouching = active == nullptr ? 0 : active->version;
  ASSIGN_OR_RETURN(const SealedKey made, MakeSecret(key, wanted.version));
  Custody& custody = custodies_.For(KeyKind::kObservation);
  // The one form of a commitment is lib/frame's; the secret stays in custody.
  ASSIGN_OR_RETURN(wanted.commitment,
                   custody.Sign(made, fmt::format("virp key commitment/1\n{}\n{}\n", source, wanted.version)));
  if (active != nullptr && active->algorithm == Algorithm::kHmacSha256) {
    ASSIGN_OR_RETURN(
        wanted.succession,
        TagOf(now, key, *active,
              frame::SuccessionStatement(source, wanted.version, frame::Suite::kHmacSha256, wanted.commitment)));
  }
  auto done = Change(
      call, source, {.name = "observation_key_prepared", .version = wanted.version},
      [&](ObservationKey& current, UnixNanos time) -> absl::Status {
        const ObservationVersion* signs = current.Active();
        if ((signs == nullptr ? 0 : signs->version) != vouching)
          return WithReason(Aborted("another version of {} signs meanwhile; try again", source), "ETAG");
        return AddVersion(current, wanted, time);
      },
      &made);
  const bool kept = done.ok() && done->key->Find(wanted.version) != nullptr &&
                    done->key->Find(wanted.version)->commitment == wanted.commitment;
  if (!kept) custody.Destroy(made).IgnoreError();  // what stays behind on a token, Reconcile removes
  return done;
}

absl::StatusOr<Done> ObservationKeys::Register(const Call& call, std::string_view source, std::uint32_t version,
                                               std::string_view public_half, std::string_view possession,
                                               std::string_view succession) {
  RETURN_IF_ERROR(serving_());
  const auto now = ledger_.snapshot();
  const auto key = now->Find<ObservationKey>(source);
  if (key == nullptr) return NotKnown(source);
  const auto half = crypto::Ed25519PublicKey::FromBytes(public_half);
  if (!half.ok()) return InvalidField("public_key", Message(half.status()));
  if (!half->Verify(frame::PossessionStatement(source, version, public_half), possession))
    return InvalidField("possession", "is not by this key, or not for this source and version");
  const ObservationVersion* const active = key->Active();
  const std::uint32_t vouching = active == nullptr ? 0 : active->version;
  if (!succession.empty()) {
    if (active == nullptr) return InvalidField("succession", "no version of the source signs; have it approved");
    const std::string statement = frame::SuccessionStatement(source, version, frame::Suite::kEd25519, public_half);
    bool good = false;
    if (active->algorithm == Algorithm::kEd25519) {
      const auto before = crypto::Ed25519PublicKey::FromBytes(active->public_half);
      good = before.ok() && before->Verify(statement, succession);
    } else {
      ASSIGN_OR_RETURN(const std::string tag, TagOf(*now, *key, *active, statement));
      good = crypto::EqualConstantTime(tag, succession);
    }
    if (!good) return InvalidField("succession", fmt::format("is not by version {}, which signs now", active->version));
  }
  NewVersion wanted;
  wanted.version = version;
  wanted.algorithm = Algorithm::kEd25519;
  wanted.public_half = public_half;
  wanted.made_by = call.actor;
  wanted.succession = succession;
  return Change(call, source, {.name = "observation_key_registered", .version = version},
                [&](ObservationKey& current, UnixNanos time) -> absl::Status {
                  const ObservationVersion* signs = current.Active();
                  if (!succession.empty() && (signs == nullptr ? 0 : signs->version) != vouching)
                    return WithReason(Aborted("another version of {} signs meanwhile; try again", source), "ETAG");
                  return AddVersion(current, wanted, time);
                });
}

absl::StatusOr<Done> ObservationKeys::Approve(const Call& call, std::string_view source, std::uint32_t version,
                                              std::string_view expected) {
  return Change(call, source, {.name = "observation_key_approved", .version = version},
                [&](ObservationKey& key, UnixNanos) -> absl::Status {
                  const ObservationVersion* found = key.Find(version);
                  if (found != nullptr && !expected.empty() && StatementOf(*found) != expected)
                    return WithReason(
                        FailedPrecondition("version {} of {} is another key than expected", version, source),
                        "ANOTHER_KEY");
                  return keymgr::Approve(key, version, call.actor);
                });
}

absl::StatusOr<Done> ObservationKeys::Activate(const Call& call, std::string_view source, std::uint32_t version,
                                               const Activation& activation) {
  return Change(call, source, {.name = "observation_key_activated", .version = version},
                [&](ObservationKey& key, UnixNanos now) { return keymgr::Activate(key, version, activation, now); });
}

absl::StatusOr<Done> ObservationKeys::Taint(const Call& call, std::string_view source, std::uint32_t version,
                                            std::optional<UnixNanos> since, bool while_active) {
  return Change(call, source, {.name = "observation_key_tainted", .version = version, .tier = frame::Tier::kYellow},
                [&](ObservationKey& key, UnixNanos now) {
                  return keymgr::Taint(key, version, since.value_or(now), while_active, now);
                });
}

absl::StatusOr<Done> ObservationKeys::Revoke(const Call& call, std::string_view source, std::uint32_t version,
                                             bool unconfirmed) {
  Snapshot::KeyPtr sealed = ledger_.snapshot()->FindKey(KeyKind::kObservation, source, version);
  auto done = Change(
      call, source, {.name = "observation_key_revoked", .version = version},
      [&](ObservationKey& key, UnixNanos now) { return keymgr::Revoke(key, version, unconfirmed, now); }, nullptr,
      true);
  if (!done.ok()) return done;
  secrets_.Drop(source, version);
  if (sealed != nullptr) {
    const auto custody = custodies_.Of(*sealed);
    if (custody.ok()) (*custody)->Destroy(*sealed).IgnoreError();  // Reconcile removes what stays behind
  }
  return done;
}

absl::StatusOr<ObservationKeys::Exported> ObservationKeys::Export(const Call& call, std::string_view source,
                                                                  std::uint32_t version) {
  RETURN_IF_ERROR(serving_());
  ConsumerForm form = ConsumerForm::kPlatform;
  auto done = Change(call, source, {.name = "observation_key_exported", .version = version},
                     [&](ObservationKey& key, UnixNanos) -> absl::Status {
                       form = key.form;
                       if (form == ConsumerForm::kPlatform)
                         return WithReason(FailedPrecondition("the producer of {} is the platform's own: it gets its "
                                                              "keys by itself",
                                                              source),
                                           "NOT_FOREIGN");
                       ObservationVersion* const found = key.Find(version);
                       if (found == nullptr) return NotFound("{} has no version {}", source, version);
                       if (!IsServed(*found) || found->algorithm != Algorithm::kHmacSha256)
                         return WithReason(FailedPrecondition("version {} of {} is {} and has no secret to export",
                                                              version, source, ObservationStateName(found->state)),
                                           "KEY_ORDER");
                       auto& to = found->released_to;
                       if (std::find(to.begin(), to.end(), call.actor) == to.end() && to.size() < kMaxReleases)
                         to.push_back(call.actor);
                       return absl::OkStatus();
                     });
  RETURN_IF_ERROR(done.status());
  form = done->key->form;
  ASSIGN_OR_RETURN(const auto secret,
                   SecretOf({KeyKind::kObservation, std::string(source), version, Algorithm::kHmacSha256}));
  Exported out;
  out.record = done->record;
  const bool text = form == ConsumerForm::kHexText;
  out.file = crypto::Secret(secret->size() + (text ? 1 : 0));
  secret->view().copy(out.file.data(), secret->size());
  if (text) out.file.data()[secret->size()] = '\n';
  return out;
}

absl::StatusOr<std::uint32_t> ObservationKeys::Report(const Call& call, const std::vector<KnownInChain>& known) {
  RETURN_IF_ERROR(serving_());
  std::uint32_t noted = 0;
  const auto is_news = [&](const Snapshot& now, const KnownInChain& one) {
    const auto key = now.Find<ObservationKey>(one.source);
    const ObservationVersion* version = key == nullptr ? nullptr : key->Find(one.version);
    if (version == nullptr || !IsServed(*version) || StatementOf(*version) != one.statement) return false;
    return IsNews(*version, {call.actor, one.entry, 0, one.compromised});
  };
  std::vector<const KnownInChain*> news;
  const auto before = ledger_.snapshot();
  for (const KnownInChain& one : known) {
    if (is_news(*before, one)) news.push_back(&one);
  }
  for (std::size_t from = 0; from < news.size(); from += kReportedAtOnce) {
    const std::size_t to = std::min(news.size(), from + kReportedAtOnce);
    std::uint32_t here = 0;
    const auto edit = [&](const Snapshot& now, Changes& changes) -> absl::Status {
      AuditRecord audit;
      audit.event = "observation_keys_in_chain";
      std::map<std::string, std::shared_ptr<ObservationKey>> changed;
      here = 0;
      for (std::size_t i = from; i < to; ++i) {
        const KnownInChain& one = *news[i];
        if (!is_news(now, one)) continue;
        auto& key = changed[one.source];
        if (key == nullptr) key = std::make_shared<ObservationKey>(*now.Find<ObservationKey>(one.source));
        ASSIGN_OR_RETURN(const bool news_to_it,
                         NoteSighting(*key, one.version, {call.actor, one.entry, changes.now(), one.compromised}));
        if (!news_to_it) continue;
        audit.keys.push_back(key->Find(one.version)->identity(one.source));
        ++here;
      }
      for (auto& [source, key] : changed) changes.Put(std::move(key));
      changes.Audit(std::move(audit));
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(ledger_.Commit(call, edit).status());
    noted += here;
  }
  return noted;
}

}  // namespace virp::keymgr
