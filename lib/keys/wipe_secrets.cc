#include "lib/keys/wipe_secrets.h"

#include "lib/crypto/secret.h"
#include "virp/keymgr/v1/observation_key.pb.h"

namespace virp::keys {

void WipeSecrets(keymgr::v1::SourceKeys& message) {
  for (keymgr::v1::KeyMaterial& version : *message.mutable_versions())
    crypto::Wipe(version.mutable_secret()->data(), version.secret().size());
}

}  // namespace virp::keys
