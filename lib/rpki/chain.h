// An authority of our own with the trust anchor above it, taken apart and checked once, for those who check thousands
// of certificates below it. Immutable and thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/crypto/rsa.h"
#include "lib/rpki/check.h"

namespace virp::rpki {

class Chain {
 public:
  // DER of both. Everything that CheckPath asks of them but whether their dates hold: that, Check asks each time.
  // InvalidArgument as AsStatus.
  static absl::StatusOr<std::shared_ptr<const Chain>> Make(std::string issuer, std::string trust_anchor);
  Chain(const Chain&) = delete;  // what was parsed borrows from the bytes here
  Chain& operator=(const Chain&) = delete;

  // Says of what the issuer made what CheckPath(router, {issuer}, trust_anchor, {}, expected) does, in an eighth of its
  // time; refuses what anybody else made.
  Refusals Check(std::string_view router, const RouterExpectation& expected) const;

  const std::string& issuer() const { return issuer_der_; }
  const std::string& trust_anchor() const { return anchor_der_; }

 private:
  Chain(std::string issuer, std::string trust_anchor)
      : issuer_der_(std::move(issuer)), anchor_der_(std::move(trust_anchor)) {}

  const std::string issuer_der_, anchor_der_;
  x509::Certificate issuer_, anchor_;
  std::unique_ptr<const crypto::RsaPublicKey> key_;  // of the issuer
  AsResources held_;
};

}  // namespace virp::rpki
