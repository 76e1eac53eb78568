#include "services/keymgr/domain/rpki_takeover.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "services/keymgr/domain/rpki_names.h"
#include "services/keymgr/domain/rpki_record.h"

namespace virp::keymgr {

absl::Status TakeOverRpki(const std::vector<ChainRecord>& missing, const Snapshot& now, Changes& changes) {
  std::uint32_t given = 0, issued = 0;  // versions of the issuing authority's key
  for (const ChainRecord& record : missing) {
    if (!record.event.starts_with("rpki_authority_")) continue;
    for (const KeyIdentity& key : record.keys) {
      if (key.kind != KeyKind::kIssuer || key.id != kIssuerId) continue;
      given = std::max(given, key.version);
      if (record.event == "rpki_authority_switched") issued = std::max(issued, key.version);
    }
  }
  const auto before = now.Find<AuthorityRecord>(kIssuerId);
  if (before == nullptr || given == 0) return absl::OkStatus();
  auto issuer = std::make_shared<AuthorityRecord>(*before);
  issuer->last_version = std::max(issuer->last_version, given);
  if (issued > issuer->key_version) {
    issuer->state = AuthorityState::kSuperseded;
    issuer->since = issuer->revoked = changes.now();
    issuer->waiting = true;
    if (const auto next = now.Find<AuthorityRecord>(kNewIssuerId); next != nullptr) {
      auto known = std::make_shared<AuthorityRecord>(*next);
      known->since = changes.now();
      if (known->key_version == issued) {
        known->state = AuthorityState::kReissuing;
      } else {  // it was current, and was revoked as well
        known->id = OldIssuerId(known->key_version);
        known->state = AuthorityState::kRetiring;
        known->revoked = changes.now();
        changes.Erase<AuthorityRecord>(kNewIssuerId);
      }
      known->waiting = true;
      changes.Put(std::move(known));
    }
  }
  changes.Put(std::move(issuer));
  return absl::OkStatus();
}

}  // namespace virp::keymgr
