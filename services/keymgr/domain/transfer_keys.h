// The key that signs key packages on their way to routers (RFC 8635 section 6.2.1), apart from the authority's own: an
// end entity below it, replaced well before its certificate ends.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/domain/custody.h"
#include "services/keymgr/domain/ledger.h"
#include "services/keymgr/domain/rpki_authority.h"

namespace virp::keymgr {

struct TransferKeyRecord final : Record {
  static constexpr std::string_view kKind = "transfer_key";

  std::string id = "transfer";
  std::uint32_t key_version = 0;
  std::string certificate;  // DER; empty when the key of this version is lost: the next package makes another
  UnixNanos not_after = 0;

  KeyIdentity identity() const { return {KeyKind::kTransfer, id, key_version, Algorithm::kRsa2048}; }
  Row ToRow() const override;
  static absl::StatusOr<std::shared_ptr<Record>> FromRow(const Row& row);
};

// Thread-safe. All that it is given outlives it. Errors: those of Ledger::Commit, of the custody and of
// RpkiAuthority::CertifyTransferKey.
class TransferKeys {
 public:
  TransferKeys(Ledger& ledger, const Custodies& custodies, const RpkiAuthority& authority, const Clock& clock,
               std::chrono::hours life, std::string self);

  // Whether a package can be signed now; makes or replaces the key when it has to, and when it is KEY_DAMAGED. Ask
  // before a key leaves that leaves once. InvalidArgument with field `recipient` for a certificate that nothing can be
  // encrypted for; empty: none.
  absl::Status Prepare(std::string_view recipient);
  // The private key (scalar) with its public half in a signed package, encrypted for `recipient` unless that is empty.
  absl::StatusOr<crypto::Secret> Pack(const crypto::Secret& scalar, std::string_view point, std::string_view recipient);

 private:
  absl::StatusOr<std::shared_ptr<const TransferKeyRecord>> Current();
  absl::Status Replace(const TransferKeyRecord* old, std::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(making_);
  // The key of the record; DataLoss with reason KEY_DAMAGED.
  absl::StatusOr<std::shared_ptr<const SealedKey>> KeyOf(const TransferKeyRecord& record) const;
  absl::Status Try(const TransferKeyRecord& record) const;

  Ledger& ledger_;
  const Custodies& custodies_;
  const RpkiAuthority& authority_;
  const Clock& clock_;
  const std::chrono::hours life_;
  const std::string self_;
  Mutex making_;  // one at a time
};

}  // namespace virp::keymgr
