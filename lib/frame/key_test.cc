#include "lib/frame/key.h"

#include <gtest/gtest.h>

#include <string>

#include "lib/base/bytes.h"
#include "lib/crypto/mac.h"
#include "lib/frame/test_vectors.h"

namespace virp::frame {
namespace {

TEST(OKey, HmacSecretsHave16To256Bytes) {
  EXPECT_FALSE(OKey::Hmac(std::string(15, 'x')).ok());
  EXPECT_TRUE(OKey::Hmac(std::string(16, 'x')).ok());
  EXPECT_TRUE(OKey::Hmac(std::string(256, 'x')).ok());
  EXPECT_FALSE(OKey::Hmac(std::string(257, 'x')).ok());
}

TEST(OKey, HmacSignsAndVerifies) {
  const auto key = OKey::Hmac(std::string(32, 'k')).value();
  EXPECT_EQ(key->suite(), Suite::kHmacSha256);
  EXPECT_TRUE(key->can_sign());
  EXPECT_EQ(key->public_key(), "");
  const std::string tag = key->Sign("message").value();
  EXPECT_EQ(tag.size(), 32U);
  EXPECT_TRUE(key->Verify("message", tag));
  EXPECT_FALSE(key->Verify("massage", tag));
  EXPECT_FALSE(OKey::Hmac(std::string(32, 'l')).value()->Verify("message", tag));
}

TEST(OKey, CommitmentIsAnHmacOverNameAndVersion) {
  const std::string secret(32, 'k');
  const auto key = OKey::Hmac(secret).value();
  EXPECT_EQ(key->Commitment("edge-a.bgpd", 3),
            View(crypto::HmacKey(secret).Sign("virp key commitment/1\nedge-a.bgpd\n3\n")));
  EXPECT_NE(key->Commitment("edge-a.bgpd", 3), key->Commitment("edge-a.bgpd", 4));
  EXPECT_EQ(OKey::Ed25519FromSeed(secret).value()->Commitment("edge-a.bgpd", 3), "");
}

TEST(OKey, Ed25519HalvesFitEachOther) {
  const auto both = OKey::Ed25519FromSeed(std::string(32, 's')).value();
  const auto half = OKey::Ed25519FromPublic(both->public_key()).value();
  EXPECT_EQ(both->suite(), Suite::kEd25519);
  EXPECT_EQ(half->suite(), Suite::kEd25519);
  EXPECT_TRUE(both->can_sign());
  EXPECT_FALSE(half->can_sign());
  EXPECT_EQ(half->public_key(), both->public_key());
  const std::string tag = both->Sign("message").value();
  EXPECT_EQ(tag.size(), 64U);
  EXPECT_TRUE(half->Verify("message", tag));
  EXPECT_TRUE(both->Verify("message", tag));
  EXPECT_FALSE(half->Verify("massage", tag));
  EXPECT_EQ(half->Sign("message").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(OKey::Ed25519FromSeed("short").ok());
  EXPECT_FALSE(OKey::Ed25519FromPublic("short").ok());
}

TEST(OKey, TheVectorsPublicKey) {
  const auto json = ReadFrameVectors();
  for (const auto& vector : FrameVectors("valid")) {
    if (vector.json.value("suite", 1) != 2) continue;
    EXPECT_EQ(HexEncode(vector.key->public_key()), json.at("ed25519_public_hex").get<std::string>());
  }
}

TEST(KeyFile, TextIsStrippedRawIsNot) {
  const std::string hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
  EXPECT_EQ(HmacSecretFromFile(hex).value(), hex);
  EXPECT_EQ(HmacSecretFromFile(hex + "\n").value(), hex);
  EXPECT_EQ(HmacSecretFromFile(hex + "\r\n\r\n").value(), hex);
  const std::string raw = std::string(30, 'r') + "\r\n";
  EXPECT_EQ(HmacSecretFromFile(raw).value(), raw);
  EXPECT_EQ(HmacSecretFromFile(raw + "\n").value(), std::string(30, 'r'));
  EXPECT_EQ(HmacSecretFromFile(std::string(15, 'x') + "\n").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(HmacSecretFromFile("").ok());
  EXPECT_FALSE(HmacSecretFromFile("\n\n").ok());
  EXPECT_FALSE(HmacSecretFromFile(std::string(257, 'x')).ok());
  EXPECT_EQ(HmacSecretFromFile(" key with spaces ").value(), " key with spaces ");
}

TEST(EncodeSigned, SuiteOfHeaderAndKeyMustAgree) {
  Header header;
  header.spelling = Spelling::kV2;
  header.sequence = header.boot_epoch = 1;
  const auto hmac = OKey::Hmac(std::string(32, 'k')).value();
  const auto ed = OKey::Ed25519FromSeed(std::string(32, 'k')).value();
  const std::string bytes = EncodeSigned(header, "{}", *hmac).value();
  EXPECT_EQ(EncodeSigned(header, "{}", *ed).status().code(), absl::StatusCode::kInvalidArgument);
  header.suite = Suite::kEd25519;
  EXPECT_TRUE(EncodeSigned(header, "{}", *ed).ok());
  EXPECT_EQ(EncodeSigned(header, "{}", *OKey::Ed25519FromPublic(ed->public_key()).value()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const Frame frame = Decode(bytes, Spelling::kV2).value();
  EXPECT_TRUE(VerifyTag(frame, *hmac));
  EXPECT_FALSE(VerifyTag(frame, *ed));
}

}  // namespace
}  // namespace virp::frame
