// One private key, sealed for the database (docs/formats/envelope.md): under a data-encryption key of its own, which is
// wrapped under the key-encryption key. What the key is, its export policy and its public half are associated data: an
// envelope opens in its own record only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"
#include "services/keymgr/custody/software/dek_wrapper.h"
#include "services/keymgr/domain/custody.h"

namespace virp::keymgr {

// Fills blob and kek_version of a key whose other fields are set. FailedPrecondition SEALED without a KEK.
absl::Status SealInto(SealedKey& key, const crypto::Secret& secret, const DekWrapper& keks);

// FailedPrecondition SEALED when its KEK is not known; DataLoss with reason KEY_DAMAGED when it is no envelope, or none
// of this identity, policy and public half.
absl::StatusOr<crypto::Secret> OpenEnvelope(const SealedKey& key, const DekWrapper& keks);

// Wraps the data-encryption key anew, under the current version; the rest of the envelope stays as it is.
absl::Status RewrapEnvelope(SealedKey& key, const DekWrapper& keks);

}  // namespace virp::keymgr
