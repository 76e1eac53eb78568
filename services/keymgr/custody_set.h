// The custodies and the source of key-encryption keys that the options name.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "lib/pkcs11/token.h"
#include "services/keymgr/config.h"
#include "services/keymgr/custody/software/dek_wrapper.h"
#include "services/keymgr/custody/software/software_custody.h"
#include "services/keymgr/custody/token/token_custody.h"
#include "services/keymgr/domain/custody.h"

namespace virp::keymgr {

// Members are made in the order in which they stand on each other.
struct CustodySet {
  std::shared_ptr<pkcs11::Token> on_module;  // one for all: a module is restarted by its only user. Null without one
  std::unique_ptr<DekWrapper> keks;
  std::unique_ptr<SoftwareCustody> software;
  std::unique_ptr<TokenCustody> token;  // null without a token
  Custodies all;
};

// A token that is not there yet is no error: it is looked for when it is needed. FailedPrecondition for a module that
// is none.
absl::StatusOr<std::unique_ptr<CustodySet>> MakeCustodies(const Config& config);

// Makes the next version of the key-encryption key on the token; its number. RotateKek, or the first start, uses it.
absl::StatusOr<std::uint32_t> MakeKekOnToken(const Config& config);

}  // namespace virp::keymgr
