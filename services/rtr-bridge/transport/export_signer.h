// What exports are signed with: a key file, or the key of a source. Thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/frame/key.h"
#include "services/rtr-bridge/domain/exports.h"

namespace virp::rtr_bridge {

// A private key as vrp::SigningKey reads it, in a file that only its owner may read. Errors of OpenSecretFile and
// vrp::SigningKey::FromPem, with the path.
absl::StatusOr<SignDocument> SignWithFile(const std::string& path);

// The newest version of the source's that signs now, and is of Ed25519: whatever key directory or key manager have by
// then. What it gives fails with FailedPrecondition while there is none. `keys` and `clock` outlive it.
SignDocument SignAs(std::string source, const frame::KeyProvider& keys, const Clock& clock);

}  // namespace virp::rtr_bridge
