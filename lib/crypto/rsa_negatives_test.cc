// PKCS #1 v1.5 signatures and keys that must be refused: as negatives_test.cc.
#include <gtest/gtest.h>

#include "lib/crypto/rsa.h"
#include "lib/crypto/test_vectors.h"

namespace virp::crypto {
namespace {

TEST(RsaNegatives, Signatures) {
  const auto group = ReadNegativesGroup("rsa_pkcs1");
  const auto key = RsaPublicKey::FromSpki(Unhex(group.at("spki")));
  ASSERT_TRUE(key.ok());
  for (const auto& test : CasesOf(group.at("signatures"), 70)) {
    EXPECT_EQ(key->Verify(Unhex(group.at("message")), Unhex(test.at("signature"))), test.at("valid").get<bool>())
        << test.at("comment");
  }
}

TEST(RsaNegatives, Keys) {
  for (const auto& test : CasesOf(ReadNegativesGroup("rsa_pkcs1").at("keys"), 18)) {
    const std::string spki = Unhex(test.at("spki"));
    EXPECT_EQ(RsaPublicKey::FromSpki(spki).ok(), test.at("valid").get<bool>()) << test.at("comment");
    EXPECT_EQ(RsaPublicKey::IsSpki(spki), test.at("valid").get<bool>()) << test.at("comment");
  }
}

}  // namespace
}  // namespace virp::crypto
