// What both ends of the key manager's streams do with a message that has secrets in it.
#pragma once

namespace virp::keymgr::v1 {
class SourceKeys;
}

namespace virp::keys {

// Overwrites the secrets of a message that was sent or taken.
void WipeSecrets(keymgr::v1::SourceKeys& message);

}  // namespace virp::keys
