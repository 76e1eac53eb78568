#include "services/keymgr/domain/router_escrow.h"

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"
#include "lib/rpki/key_package.h"
#include "services/keymgr/domain/release.h"
#include "services/keymgr/domain/router_keys.h"
#include "services/keymgr/domain/row_reader.h"

namespace virp::keymgr {
namespace {

constexpr std::uint64_t kFormat = 1;
constexpr UnixNanos kDay = UnixNanos{86'400} * 1'000'000'000;

absl::Status NotRequested(std::string_view slot, std::uint32_t version) {
  return WithReason(
      FailedPrecondition("nobody asks for version {} of {}, or it was asked for too long ago", version, slot),
      "NOT_REQUESTED");
}

std::string HashOf(std::string_view bytes) {
  return std::string(View(crypto::Sha256(bytes)));
}

absl::Status CheckState(const RouterSlotRecord& slot, std::uint32_t version) {
  const RollKey* const key = slot.roll.Find(version);
  if (key == nullptr) return NotFound("{} has no version {}", slot.id(), version);
  if (!key->compromised && key->state <= RouterKeyState::kActive) return absl::OkStatus();
  return WithReason(FailedPrecondition("version {} of {} is {}: nobody is to sign with it any more", version, slot.id(),
                                       key->compromised ? "compromised" : RouterKeyStateName(key->state)),
                    "ROUTER_KEY_STATE");
}

AuditRecord EscrowAudit(std::string_view event, const EscrowReleaseRecord& release) {
  AuditRecord audit;
  audit.event = event;
  audit.tier = frame::Tier::kYellow;
  audit.keys = {{KeyKind::kRouter, release.slot, release.version, Algorithm::kEcdsaP256}};
  frame::JsonWriter json;
  json.BeginObject().Field("replacement", std::string_view(release.agent));
  if (!release.recipient.empty()) json.Field("recipient_sha256", HexEncode(HashOf(release.recipient)));
  audit.fields = json.Field("requested_by", std::string_view(release.requested_by)).EndObject().Take();
  return audit;
}

}  // namespace

std::string_view EscrowStateName(EscrowState state) {
  switch (state) {
    case EscrowState::kRequested:
      return "REQUESTED";
    case EscrowState::kApproved:
      return "APPROVED";
    case EscrowState::kReleased:
      return "RELEASED";
  }
  return "unknown";
}

std::string EscrowReleaseRecord::IdOf(std::string_view slot, std::uint32_t version) {
  return fmt::format("{}/{}", slot, version);
}

std::string EscrowReleaseRecord::Digest() const {
  return HashOf(fmt::format("virp escrow release/1\n{}\n{}\n{}\n{}\n{}\n", slot, version, agent,
                            HexEncode(HashOf(recipient)), requested_by));
}

Row EscrowReleaseRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = IdOf(slot, version);
  row.parent = slot;
  row.state = EscrowStateName(state);
  frame::JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("version", version).Field("agent", std::string_view(agent));
  json.Field("recipient", Base64Encode(recipient)).Field("requested_by", std::string_view(requested_by));
  json.Field("approved_by", std::string_view(approved_by)).Field("until_ns", until);
  row.body = json.EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> EscrowReleaseRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
  RowReader reader(body);
  reader.Format(kFormat);
  auto out = std::make_shared<EscrowReleaseRecord>();
  out->slot = row.parent;
  out->version = reader.Number<std::uint32_t>("version");
  out->state = reader.KnownText("state", row.state, EscrowStateName, EscrowState::kReleased);
  out->agent = reader.Text("agent");
  out->recipient = reader.Bytes("recipient");
  out->requested_by = reader.Text("requested_by");
  out->approved_by = reader.Text("approved_by");
  out->until = reader.Number<UnixNanos>("until_ns");
  RETURN_IF_ERROR(reader.status());
  return std::shared_ptr<Record>(std::move(out));
}

absl::StatusOr<RouterKeys::SlotPtr> RouterKeys::Deposit(const Call& call, const RouterCaller& caller,
                                                        std::string_view slot, std::uint32_t version,
                                                        const crypto::Secret& pkcs8) {
  ASSIGN_OR_RETURN(const SlotPtr seen, AllowedSlot(caller, slot));
  const RouterVersion* const found = seen->Find(version);
  if (found == nullptr) return NotFound("{} has no version {}", slot, version);
  const auto scalar = rpki::DecodePkcs8(pkcs8.view());
  if (!scalar.ok()) return InvalidField("private_key", Message(scalar.status()));
  ASSIGN_OR_RETURN(const auto key, crypto::P256PrivateKey::FromScalar(scalar->view()));
  if (key.public_key().spki() != found->spki) {
    return WithReason(InvalidField("private_key", fmt::format("is not the key of version {} of {}", version, slot)),
                      "KEY_DIFFERS");
  }
  Custody& custody = custodies_.For(KeyKind::kRouter);
  ASSIGN_OR_RETURN(const SealedKey sealed, custody.Import(seen->identity(version), ExportPolicy::kEscrowOnly, *scalar));
  auto done =
      Change(call, slot,
             {.event = "router_key_deposited",
              .version = version,
              .step = [&](const Snapshot& now, RouterSlotRecord& record, Changes& changes) -> absl::Status {
                RouterVersion* const of = record.Find(version);
                const RollKey* const state = record.roll.Find(version);
                if (of == nullptr || state == nullptr) return NotFound("{} has no version {}", slot, version);
                if (now.FindKey(sealed.identity) != nullptr)
                  return AlreadyExists("the private key of version {} of {} is here", version, slot);
                if (state->state >= RouterKeyState::kRevoked || state->compromised)
                  return WithReason(FailedPrecondition("version {} of {} is over", version, slot), "ROUTER_KEY_STATE");
                of->escrowed = true;
                changes.PutKey(sealed);
                return absl::OkStatus();
              }});
  if (done.status().code() != absl::StatusCode::kUnavailable) {
    const auto kept = ledger_.snapshot()->FindKey(sealed.identity);
    if (kept == nullptr || kept->blob != sealed.blob) custody.Destroy(sealed).IgnoreError();
  }
  return done;
}

absl::StatusOr<RouterKeys::EscrowPtr> RouterKeys::RequestRelease(const Call& call, std::string_view slot,
                                                                 std::uint32_t version, std::string_view agent,
                                                                 std::string_view recipient) {
  RETURN_IF_ERROR(transfer_.Prepare(recipient));
  const auto edit = [&](const Snapshot& now, Changes& changes) -> absl::Status {
    ASSIGN_OR_RETURN(const SlotPtr seen, RouterBook::Slot(now, slot));
    ASSIGN_OR_RETURN(const RouterPtr router, RouterBook::Router(now, seen->router));
    const auto key = now.FindKey(seen->identity(version));
    if (key == nullptr || key->policy != ExportPolicy::kEscrowOnly)
      return WithReason(PermissionDenied("version {} of {} is not in escrow", version, slot), "NOT_EXPORTABLE");
    RETURN_IF_ERROR(CheckState(*seen, version));
    RouterSpec spec = router->spec;
    spec.agent = agent;
    spec.material.clear();
    RETURN_IF_ERROR(CheckRouter(spec));
    RETURN_IF_ERROR(RouterBook::CheckAgent(now, spec));
    auto release = std::make_shared<EscrowReleaseRecord>();
    release->slot = slot;
    release->version = version;
    release->agent = agent;
    release->recipient = recipient;
    release->requested_by = call.actor;
    release->until = changes.now() + kDay;
    changes.Audit(EscrowAudit("router_key_release_requested", *release));
    changes.Put(std::move(release));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ledger_.Commit(call, edit).status());
  return ReleaseOf(slot, version);
}

RouterKeys::EscrowPtr RouterKeys::ReleaseOf(std::string_view slot, std::uint32_t version) const {
  auto found = ledger_.snapshot()->Find<EscrowReleaseRecord>(EscrowReleaseRecord::IdOf(slot, version));
  const bool waits = found != nullptr && found->state != EscrowState::kReleased && found->until > clock_.NowNanos();
  return waits ? found : nullptr;
}

absl::Status RouterKeys::ApproveRelease(const Call& call, std::string_view slot, std::uint32_t version,
                                        std::string_view expected) {
  if (expected.empty()) return InvalidField("expected", "is missing: the digest of the request that is approved");
  const auto edit = [&](const Snapshot& now, Changes& changes) -> absl::Status {
    const auto found = now.Find<EscrowReleaseRecord>(EscrowReleaseRecord::IdOf(slot, version));
    if (found == nullptr || found->state != EscrowState::kRequested || found->until <= changes.now())
      return NotRequested(slot, version);
    if (found->Digest() != expected) {
      return WithReason(FailedPrecondition("{} asks for version {} of {} for another replacement or recipient than was "
                                           "looked at: look again",
                                           found->requested_by, version, slot),
                        "ANOTHER_REQUEST");
    }
    if (found->requested_by == call.actor)
      return WithReason(PermissionDenied("{} asks for it: somebody else approves", call.actor), "SAME_PERSON");
    auto release = std::make_shared<EscrowReleaseRecord>(*found);
    release->state = EscrowState::kApproved;
    release->approved_by = call.actor;
    changes.Audit(EscrowAudit("router_key_release_approved", *release));
    changes.Put(std::move(release));
    return absl::OkStatus();
  };
  return ledger_.Commit(call, edit).status();
}

absl::StatusOr<crypto::Secret> RouterKeys::TakeRelease(const Call& call, std::string_view slot, std::uint32_t version) {
  const auto now = ledger_.snapshot();
  ASSIGN_OR_RETURN(const SlotPtr seen, RouterBook::Slot(*now, slot));
  const std::string id = EscrowReleaseRecord::IdOf(slot, version);
  const auto asked = now->Find<EscrowReleaseRecord>(id);
  const auto key = now->FindKey(seen->identity(version));
  if (asked == nullptr || key == nullptr) return NotRequested(slot, version);
  RETURN_IF_ERROR(transfer_.Prepare(asked->recipient));
  RouterBook::Change change{
      .event = "router_key_released_from_escrow", .version = version, .tier = frame::Tier::kYellow};
  change.step = [&](const Snapshot& state, RouterSlotRecord& record, Changes& changes) -> absl::Status {
    const auto found = state.Find<EscrowReleaseRecord>(id);
    if (found == nullptr || found->state == EscrowState::kReleased || found->until <= changes.now())
      return NotRequested(slot, version);
    if (found->state != EscrowState::kApproved)
      return WithReason(FailedPrecondition("nobody has approved that version {} of {} leaves", version, slot),
                        "NOT_APPROVED");
    if (found->requested_by != call.actor)
      return WithReason(PermissionDenied("{} asked for it and takes it", found->requested_by), "SAME_PERSON");
    if (found->Digest() != asked->Digest()) return Aborted("it was asked for anew meanwhile: try again");
    RETURN_IF_ERROR(CheckState(record, version));
    auto release = std::make_shared<EscrowReleaseRecord>(*found);
    release->state = EscrowState::kReleased;
    changes.Put(std::move(release));
    // The new hardware takes the router's place, and has to say that it holds the key.
    ASSIGN_OR_RETURN(const RouterPtr router, RouterBook::Router(state, record.router));
    auto replaced = std::make_shared<RouterRecord>(*router);
    replaced->spec.agent = found->agent;
    replaced->spec.material.clear();
    RETURN_IF_ERROR(RouterBook::CheckAgent(state, replaced->spec));
    changes.Put(std::move(replaced));
    RouterVersion* const of = record.Find(version);
    if (of == nullptr) return NotRequested(slot, version);
    of->released = true;
    of->report.reset();
    return absl::OkStatus();
  };
  Release release{
      .key = seen->identity(version), .to = ReleaseTo::kEscrow, .audit = EscrowAudit(change.event, *asked), .also = {}};
  release.also = [&](const Snapshot& state, Changes& changes) { return book_.Apply(state, changes, slot, change); };
  ASSIGN_OR_RETURN(const Released released, ReleaseKey(ledger_, custodies_, call, release));
  if (released.receipt.replayed) return NotRequested(slot, version);
  return transfer_.Pack(released.secret, key->public_half, asked->recipient);
}

}  // namespace virp::keymgr
