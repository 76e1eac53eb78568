// What this O-Node's chains know of the keys that the key manager told: reported to it, so that a version is activated
// when its frames will be accepted, and revoked when the chain has marked it.
#pragma once

#include <vector>

#include "lib/keys/key_client.h"
#include "services/onode/domain/node.h"

namespace virp::onode {

// Committed versions of the sources in `managed`. Of a source that several chains have, what all of them know.
// Thread-safe.
std::vector<keys::KnownVersion> KnownKeys(const Node& node, const keys::ManagedKeys& managed);

}  // namespace virp::onode
