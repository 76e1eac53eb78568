#include "services/keymgr/domain/transfer_keys.h"

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/cms.h"
#include "lib/frame/payload.h"
#include "lib/rpki/key_package.h"
#include "services/keymgr/domain/row_reader.h"

namespace virp::keymgr {
namespace {

constexpr std::uint64_t kFormat = 1;
constexpr UnixNanos kNanos = 1'000'000'000;

UnixNanos Nanos(std::chrono::hours hours) {
  return static_cast<UnixNanos>(std::chrono::nanoseconds(hours).count());
}

}  // namespace

Row TransferKeyRecord::ToRow() const {
  Row row;
  row.kind = kKind;
  row.id = id;
  if (not_after != 0) row.due = not_after;
  frame::JsonWriter json;
  json.BeginObject().Field("format", kFormat).Field("key_version", key_version);
  json.Field("certificate", Base64Encode(certificate)).Field("not_after_ns", not_after);
  row.body = json.EndObject().Take();
  return row;
}

absl::StatusOr<std::shared_ptr<Record>> TransferKeyRecord::FromRow(const Row& row) {
  frame::PayloadReader payloads(kMaxBody);
  ASSIGN_OR_RETURN(const frame::Value body, payloads.Read(row.body));
  RowReader reader(body);
  reader.Format(kFormat);
  auto out = std::make_shared<TransferKeyRecord>();
  out->id = row.id;
  out->key_version = reader.Number<std::uint32_t>("key_version");
  out->certificate = reader.Bytes("certificate");
  out->not_after = reader.Number<UnixNanos>("not_after_ns");
  RETURN_IF_ERROR(reader.status());
  return std::shared_ptr<Record>(std::move(out));
}

TransferKeys::TransferKeys(Ledger& ledger, const Custodies& custodies, const RpkiAuthority& authority,
                           const Clock& clock, std::chrono::hours life, std::string self)
    : ledger_(ledger),
      custodies_(custodies),
      authority_(authority),
      clock_(clock),
      life_(life),
      self_(std::move(self)) {}

absl::Status TransferKeys::Replace(const TransferKeyRecord* old, std::string_view why) {
  auto record = std::make_shared<TransferKeyRecord>();
  record->key_version = old == nullptr ? 1 : old->key_version + 1;
  record->not_after = clock_.NowNanos() / kNanos * kNanos + Nanos(life_);
  Custody& custody = custodies_.For(KeyKind::kTransfer);
  ASSIGN_OR_RETURN(const SealedKey key, custody.Generate(record->identity(), ExportPolicy::kNever));
  const auto certificate = authority_.CertifyTransferKey(key.public_half, life_);
  absl::Status done = certificate.status();
  const auto gone = old == nullptr ? nullptr : ledger_.snapshot()->FindKey(old->identity());
  if (done.ok()) {
    record->certificate = *certificate;
    Call call;
    call.actor = self_;
    call.method = "schedule/transfer-key";
    call.reason = why;
    done = ledger_
               .Commit(call,
                       [&](const Snapshot& now, Changes& changes) -> absl::Status {
                         const auto newest = now.Find<TransferKeyRecord>(record->id);
                         if (newest != nullptr && newest->key_version >= record->key_version)
                           return Aborted("the transfer key was replaced meanwhile: try again");
                         if (gone != nullptr) changes.DropKey(old->identity());
                         changes.PutKey(key);
                         changes.Put(std::make_shared<TransferKeyRecord>(*record));
                         AuditRecord audit;
                         audit.event = "transfer_key_created";
                         audit.keys = {key.identity};
                         changes.Audit(std::move(audit));
                         return absl::OkStatus();
                       })
               .status();
  }
  if (!done.ok()) {
    if (done.code() != absl::StatusCode::kUnavailable) custody.Destroy(key).IgnoreError();
    return done;
  }
  if (gone != nullptr) {
    if (const auto of = custodies_.Of(*gone); of.ok()) (*of)->Destroy(*gone).IgnoreError();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const TransferKeyRecord>> TransferKeys::Current() {
  const MutexLock lock(making_);
  auto found = ledger_.snapshot()->Find<TransferKeyRecord>("transfer");
  // A package may lie about for some time before it is opened. One of an authority's old key is good no more.
  if (found != nullptr && found->not_after > clock_.NowNanos() + Nanos(life_) / 4 &&
      authority_.IsOurs(found->certificate)) {
    return found;
  }
  RETURN_IF_ERROR(
      Replace(found.get(), found == nullptr ? "key packages are to be signed" : "its certificate ends soon"));
  found = ledger_.snapshot()->Find<TransferKeyRecord>("transfer");
  if (found == nullptr) return Aborted("the manager is not active any more");
  return found;
}

absl::Status TransferKeys::Prepare(std::string_view recipient) {
  if (!recipient.empty()) {
    const auto tried = cms::Encrypt("nothing", recipient);
    if (!tried.ok()) return InvalidField("recipient", Message(tried.status()));
  }
  ASSIGN_OR_RETURN(auto record, Current());
  const absl::Status works = Try(*record);
  if (GetReason(works) != "KEY_DAMAGED") return works;
  // It signs nothing more, and what it signed needs it no longer.
  {
    const MutexLock lock(making_);
    const auto newest = ledger_.snapshot()->Find<TransferKeyRecord>(record->id);
    if (newest != nullptr && newest->key_version == record->key_version)
      RETURN_IF_ERROR(Replace(newest.get(), "it is damaged or gone"));
  }
  ASSIGN_OR_RETURN(record, Current());
  return Try(*record);
}

absl::StatusOr<std::shared_ptr<const SealedKey>> TransferKeys::KeyOf(const TransferKeyRecord& record) const {
  auto key = ledger_.snapshot()->FindKey(record.identity());
  if (key == nullptr)
    return WithReason(DataLoss("{} is not in the ledger", ToString(record.identity())), "KEY_DAMAGED");
  return key;
}

absl::Status TransferKeys::Try(const TransferKeyRecord& record) const {
  ASSIGN_OR_RETURN(const auto key, KeyOf(record));
  ASSIGN_OR_RETURN(Custody* const custody, custodies_.Of(*key));
  return custody->Sign(*key, "virp: can packages be signed?").status();
}

absl::StatusOr<crypto::Secret> TransferKeys::Pack(const crypto::Secret& scalar, std::string_view point,
                                                  std::string_view recipient) {
  ASSIGN_OR_RETURN(const auto record, Current());
  ASSIGN_OR_RETURN(const auto key, KeyOf(*record));
  ASSIGN_OR_RETURN(Custody* const custody, custodies_.Of(*key));
  ASSIGN_OR_RETURN(const crypto::Secret pkcs8, rpki::EncodePkcs8(scalar.view(), point));
  ASSIGN_OR_RETURN(const std::string identifier, rpki::KeyIdentifier(key->public_half));
  const std::vector<std::string> authorities = authority_.AuthoritiesBelow();
  cms::Signing signing;
  signing.certificates.emplace_back(record->certificate);
  for (const std::string& authority : authorities) signing.certificates.emplace_back(authority);
  signing.key_identifier = identifier;
  signing.algorithm = cms::kRsaEncryption;
  signing.time = x509::Time(std::chrono::seconds(clock_.NowNanos() / kNanos));
  signing.signer = [custody, &key](std::string_view message) { return custody->Sign(*key, message); };
  ASSIGN_OR_RETURN(crypto::Secret package, rpki::SignKeyPackage(pkcs8.view(), signing));
  if (recipient.empty()) return package;
  ASSIGN_OR_RETURN(const std::string encrypted, cms::Encrypt(package.view(), recipient));
  return crypto::Secret(std::string_view(encrypted));
}

}  // namespace virp::keymgr
