#include "lib/crypto/ed25519.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "lib/crypto/test_vectors.h"

namespace virp::crypto {
namespace {

TEST(Ed25519, Rfc8032Section71) {
  for (const auto& test : ReadPrimitives("ed25519_rfc8032_7_1")) {
    const auto key = Ed25519PrivateKey::FromSeed(Unhex(test.at("secret")));
    ASSERT_TRUE(key.ok());
    const std::string message = Unhex(test.at("message"));
    EXPECT_EQ(key->public_key().bytes(), Unhex(test.at("public")));
    EXPECT_EQ(key->Sign(message), Unhex(test.at("signature")));
    const auto public_key = Ed25519PublicKey::FromBytes(Unhex(test.at("public")));
    ASSERT_TRUE(public_key.ok());
    EXPECT_TRUE(public_key->Verify(message, Unhex(test.at("signature"))));
    EXPECT_FALSE(public_key->Verify(message + "x", Unhex(test.at("signature"))));
  }
}

TEST(Ed25519, RefusesEveryChangedByteAndOtherLengths) {
  const Ed25519PrivateKey key = Ed25519PrivateKey::Generate();
  const Ed25519PublicKey& half = key.public_key();
  std::string signature = key.Sign("message");
  ASSERT_TRUE(half.Verify("message", signature));
  for (char& c : signature) {
    c = static_cast<char>(c ^ 1);
    EXPECT_FALSE(half.Verify("message", signature));
    c = static_cast<char>(c ^ 1);
  }
  EXPECT_FALSE(half.Verify("message", signature.substr(1)));
  EXPECT_FALSE(half.Verify("message", signature + '\0'));
  EXPECT_FALSE(half.Verify("message", ""));
}

// S plus the group order verifies the same equation; RFC 8032 section 5.1.7 has it refused.
TEST(Ed25519, RefusesTheMalleableSignature) {
  const std::string order = HexDecode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").value();
  const Ed25519PrivateKey key = Ed25519PrivateKey::Generate();
  std::string signature = key.Sign("message");
  int carry = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    carry += static_cast<unsigned char>(signature[32 + i]) + static_cast<unsigned char>(order[i]);
    signature[32 + i] = static_cast<char>(carry & 0xff);
    carry >>= 8;
  }
  ASSERT_EQ(carry, 0);
  EXPECT_FALSE(key.public_key().Verify("message", signature));
}

TEST(Ed25519, GeneratedKeysDiffer) {
  EXPECT_NE(Ed25519PrivateKey::Generate().public_key().bytes(), Ed25519PrivateKey::Generate().public_key().bytes());
}

TEST(Ed25519, RefusesKeysOfOtherLengths) {
  EXPECT_FALSE(Ed25519PrivateKey::FromSeed(std::string(31, 'x')).ok());
  EXPECT_FALSE(Ed25519PrivateKey::FromSeed(std::string(33, 'x')).ok());
  EXPECT_FALSE(Ed25519PublicKey::FromBytes("").ok());
  EXPECT_FALSE(Ed25519PublicKey::FromBytes(std::string(33, 'x')).ok());
}

TEST(Ed25519, RefusesPublicKeysOfSmallOrderAndNotCanonicalOnes) {
  for (const std::string_view bad : {
           "0000000000000000000000000000000000000000000000000000000000000000",
           "0000000000000000000000000000000000000000000000000000000000000080",
           "0100000000000000000000000000000000000000000000000000000000000000",
           "0100000000000000000000000000000000000000000000000000000000000080",
           "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
           "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
           "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
           "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
           "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
       }) {
    EXPECT_FALSE(Ed25519PublicKey::FromBytes(HexDecode(bad).value()).ok()) << bad;
  }
}

TEST(Ed25519, AValueThatIsNoPointVerifiesNothing) {
  // y = 2: (y^2 - 1) / (d y^2 + 1) has no square root.
  std::string bytes(32, '\0');
  bytes[0] = 2;
  const auto key = Ed25519PublicKey::FromBytes(bytes);
  ASSERT_TRUE(key.ok());
  EXPECT_FALSE(key->Verify("message", Ed25519PrivateKey::Generate().Sign("message")));
}

TEST(Ed25519, ThreadsShareAKey) {
  const Ed25519PrivateKey key = Ed25519PrivateKey::Generate();
  const std::string want = key.Sign("message");
  std::vector<std::jthread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) {
        ASSERT_EQ(key.Sign("message"), want);
        ASSERT_TRUE(key.public_key().Verify("message", want));
      }
    });
  }
}

}  // namespace
}  // namespace virp::crypto
