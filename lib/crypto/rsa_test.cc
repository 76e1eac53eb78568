#include "lib/crypto/rsa.h"

#include <gtest/gtest.h>

#include "tests/testutil/status_matchers.h"

namespace virp::crypto {
namespace {

using testutil::StatusIs;

const RsaPrivateKey& Key() {
  static const RsaPrivateKey& key = *new RsaPrivateKey(RsaPrivateKey::Generate());
  return key;
}

TEST(Rsa, SignsAndVerifies) {
  const std::string signature = Key().Sign("message");
  EXPECT_EQ(signature.size(), kRsaSignatureSize);
  EXPECT_TRUE(Key().public_key().Verify("message", signature));
  EXPECT_FALSE(Key().public_key().Verify("messagf", signature));
  for (const std::size_t at : {std::size_t{0}, signature.size() - 1}) {
    std::string changed = signature;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(Key().public_key().Verify("message", changed));
  }
  EXPECT_FALSE(Key().public_key().Verify("message", signature + '\0'));
  EXPECT_FALSE(Key().public_key().Verify("message", ""));
}

TEST(Rsa, PrivateKeysComeBackFromPkcs8) {
  const Secret der = Key().Pkcs8();
  ASSERT_OK_AND_ASSIGN(const RsaPrivateKey back, RsaPrivateKey::FromPkcs8(der.view()));
  EXPECT_EQ(back.public_key().spki(), Key().public_key().spki());
  EXPECT_TRUE(Key().public_key().Verify("x", back.Sign("x")));
  EXPECT_THAT(RsaPrivateKey::FromPkcs8(der.view().substr(1)), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(RsaPrivateKey::FromPkcs8(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Rsa, TakesNoOtherSizeOrExponent) {
  const std::string& spki = Key().public_key().spki();
  ASSERT_EQ(spki.size(), kRsaSpkiSize);
  EXPECT_OK(RsaPublicKey::FromSpki(spki));
  std::string other_exponent = spki;
  other_exponent.back() = 3;
  std::string shorter_modulus = spki;
  shorter_modulus[33] = static_cast<char>(shorter_modulus[33] & 0x7f);
  std::string even_modulus = spki;
  even_modulus[spki.size() - 6] = static_cast<char>(even_modulus[spki.size() - 6] & 0xfe);
  for (const std::string& wrong : {other_exponent, shorter_modulus, even_modulus, spki + "x", std::string()}) {
    EXPECT_THAT(RsaPublicKey::FromSpki(wrong), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace virp::crypto
