// What each primitive must refuse: tests/data/vectors/negatives.json, made by make_negatives.py beside it.
#include <gtest/gtest.h>

#include "lib/crypto/aead.h"
#include "lib/crypto/ed25519.h"
#include "lib/crypto/key_wrap.h"
#include "lib/crypto/mac.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/tcpao_prf.h"
#include "lib/crypto/test_vectors.h"

namespace virp::crypto {
namespace {

std::string Comment(const nlohmann::json& test) {
  return test.at("comment").get<std::string>();
}

TEST(Negatives, EcdsaP256) {
  for (const auto& test : ReadNegatives("ecdsa_p256", 200)) {
    const auto key = P256PublicKey::FromPoint(Unhex(test.at("key")));
    ASSERT_TRUE(key.ok());
    EXPECT_EQ(key->VerifyDigest(*HashFromBytes(Unhex(test.at("digest"))), Unhex(test.at("signature"))),
              test.at("valid").get<bool>())
        << Comment(test);
  }
}

TEST(Negatives, P256Points) {
  // SEQUENCE { SEQUENCE { id-ecPublicKey, secp256r1 }, BIT STRING } of a point of 65 bytes.
  const std::string prefix = HexDecode("3059301306072a8648ce3d020106082a8648ce3d030107034200").value();
  for (const auto& test : ReadNegatives("p256_points", 18)) {
    const std::string point = Unhex(test.at("point"));
    EXPECT_EQ(P256PublicKey::FromPoint(point).ok(), test.at("valid").get<bool>()) << Comment(test);
    EXPECT_EQ(P256PublicKey::FromSpki(prefix + point).ok(), test.at("valid").get<bool>()) << Comment(test);
  }
}

TEST(Negatives, Ed25519) {
  for (const auto& test : ReadNegatives("ed25519", 180)) {
    const auto key = Ed25519PublicKey::FromBytes(Unhex(test.at("key")));
    EXPECT_EQ(key.ok(), test.at("key_valid").get<bool>()) << Comment(test);
    if (!key.ok()) continue;
    EXPECT_EQ(key->Verify(Unhex(test.at("message")), Unhex(test.at("signature"))), test.at("valid").get<bool>())
        << Comment(test);
  }
}

TEST(Negatives, AesGcm) {
  for (const auto& test : ReadNegatives("aes_gcm", 220)) {
    const Secret key(Unhex(test.at("key")));
    const auto opened = AeadOpen(key, Unhex(test.at("nonce")), Unhex(test.at("aad")), Unhex(test.at("sealed")));
    ASSERT_EQ(opened.ok(), test.at("valid").get<bool>()) << Comment(test);
    if (opened.ok()) EXPECT_EQ(opened->view(), Unhex(test.at("text"))) << Comment(test);
  }
}

TEST(Negatives, AesKeyWrap) {
  for (const auto& test : ReadNegatives("aes_wrap", 180)) {
    const Secret kek(Unhex(test.at("kek")));
    const auto unwrap = test.at("form") == "KWP" ? UnwrapKeyPadded : UnwrapKey;
    const auto key = unwrap(kek, Unhex(test.at("wrapped")));
    ASSERT_EQ(key.ok(), test.at("valid").get<bool>()) << test.at("form") << ": " << Comment(test);
    if (key.ok()) EXPECT_EQ(key->view(), Unhex(test.at("key"))) << Comment(test);
  }
}

TEST(Negatives, HmacSha256) {
  for (const auto& test : ReadNegatives("hmac_sha256", 400)) {
    const HmacKey key(Unhex(test.at("key")));
    EXPECT_EQ(key.Verify(Unhex(test.at("message")), Unhex(test.at("tag"))), test.at("valid").get<bool>())
        << Comment(test);
  }
}

// These only compute; who verifies with them compares (lib/tcpao).
TEST(Negatives, MacsOfTcpAo) {
  for (const auto& test : ReadNegatives("tcpao", 40)) {
    const std::string message = Unhex(test.at("message"));
    EXPECT_EQ(Aes128Cmac(Unhex(test.at("cmac_key")), message), Unhex(test.at("cmac"))) << message.size();
    EXPECT_EQ(HmacSha1(Unhex(test.at("sha1_key")), message), Unhex(test.at("sha1"))) << message.size();
  }
}

}  // namespace
}  // namespace virp::crypto
