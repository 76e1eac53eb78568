// Key-encryption keys on a PKCS #11 token: what the envelopes of software custody are closed with, when the keys
// themselves are to be used in this process and their KEK is to be nowhere but on the token. Each version is an AES-256
// key that wraps and unwraps and does nothing else, found by the owner and its number.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/pkcs11/token.h"
#include "services/keymgr/custody/software/dek_wrapper.h"

namespace virp::keymgr {

class TokenKeks final : public DekWrapper {
 public:
  // Outlived by `token`. `owner` as of TokenCustody.
  TokenKeks(pkcs11::Token& token, std::string_view owner);

  // Makes the next version on the token, the first is 1, and loads it. It is used once Use says so.
  absl::StatusOr<std::uint32_t> Make();

  // Asks the token which versions are there. FailedPrecondition with reason SEALED when it does not let us in,
  // Unavailable when it is not there.
  absl::Status Load() override;
  void Forget() override;
  std::vector<KekFacts> Known() const override;
  absl::Status Use(std::uint32_t version) override;
  std::uint32_t current() const override;

  absl::StatusOr<Wrapped> Wrap(const crypto::Secret& dek) const override;
  absl::StatusOr<crypto::Secret> Unwrap(std::uint32_t version, std::string_view wrapped) const override;

 private:
  std::string IdOf(std::uint32_t version) const;
  absl::StatusOr<std::string> CheckOf(std::uint32_t version) const;

  pkcs11::Token& token_;
  const std::string owner_;
  const std::string prefix_;
  mutable Mutex mutex_;
  std::map<std::uint32_t, std::string> checks_ ABSL_GUARDED_BY(mutex_);
  std::uint32_t current_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace virp::keymgr
