#include "lib/crypto/p256.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/crypto/sha1.h"
#include "lib/crypto/sha256.h"
#include "lib/crypto/test_vectors.h"
#include "tests/testutil/status_matchers.h"

namespace virp::crypto {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;

const nlohmann::json& Keys() {
  static const nlohmann::json* const keys = [] {
    std::ifstream in(VIRP_SOURCE_DIR "/tests/data/vectors/rfc8608.json");
    return new nlohmann::json(nlohmann::json::parse(in).at("keys"));
  }();
  return *keys;
}

TEST(P256, TheKeysOfRfc8608) {
  for (const auto& key : Keys()) {
    ASSERT_OK_AND_ASSIGN(const auto ours, P256PrivateKey::FromScalar(Unhex(key.at("private_key"))));
    EXPECT_EQ(HexEncode(ours.public_key().point()), HexEncode(Unhex(key.at("public_point"))));
    EXPECT_EQ(HexEncode(ours.public_key().spki()), HexEncode(Unhex(key.at("spki_der"))));
    const auto ski = Sha1(ours.public_key().point());
    EXPECT_EQ(HexEncode({ski.data(), ski.size()}), HexEncode(Unhex(key.at("ski"))));
    ASSERT_OK_AND_ASSIGN(const auto read, P256PublicKey::FromSpki(Unhex(key.at("spki_der"))));
    const Hash digest = Sha256("message");
    EXPECT_TRUE(read.VerifyDigest(digest, ours.SignDigest(digest)));
  }
}

TEST(P256, ScalarsOutsideOfTheOrderAreRefused) {
  const std::string order = HexDecode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").value();
  std::string below = order;
  below.back() = static_cast<char>(below.back() - 1);
  EXPECT_OK(P256PrivateKey::FromScalar(below).status());
  EXPECT_OK(P256PrivateKey::FromScalar(std::string(31, '\0') + '\x01').status());
  for (const std::string& bad : {order, std::string(32, '\xff'), std::string(32, '\0'), std::string(31, 'x'),
                                 std::string(33, 'x'), std::string()}) {
    EXPECT_THAT(P256PrivateKey::FromScalar(bad).status(), StatusIs(StatusCode::kInvalidArgument)) << HexEncode(bad);
  }
}

TEST(P256, OtherPointsAndFormsAreRefused) {
  const auto key = P256PrivateKey::Generate();
  const std::string point(key.public_key().point());
  std::string off_curve = point;
  off_curve.back() = static_cast<char>(off_curve.back() ^ 1);
  EXPECT_THAT(P256PublicKey::FromPoint(off_curve).status(),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("not a point of the curve")));
  const std::string compressed = std::string(1, (point.back() & 1) != 0 ? '\x03' : '\x02') + point.substr(1, 32);
  std::string hybrid = point;
  hybrid[0] = (point.back() & 1) != 0 ? '\x07' : '\x06';
  for (const std::string& bad :
       {compressed, hybrid, std::string(1, '\0'), std::string(), point + 'x', '\x04' + std::string(64, '\0')}) {
    EXPECT_THAT(P256PublicKey::FromPoint(bad).status(), StatusIs(StatusCode::kInvalidArgument)) << HexEncode(bad);
  }
  // Every byte before the point is fixed.
  for (std::size_t at = 0; at < kP256SpkiSize - kP256PointSize; ++at) {
    std::string spki(key.public_key().spki());
    spki[at] = static_cast<char>(spki[at] ^ 1);
    EXPECT_THAT(P256PublicKey::FromSpki(spki).status(), StatusIs(StatusCode::kInvalidArgument)) << at;
  }
}

TEST(P256, OnlyTheWholeSignatureInItsShortestFormVerifies) {
  const auto key = P256PrivateKey::Generate();
  const Hash digest = Sha256("message");
  const std::string signature = key.SignDigest(digest);
  ASSERT_LE(signature.size(), kP256MaxSignatureSize);
  EXPECT_TRUE(key.public_key().VerifyDigest(digest, signature));
  EXPECT_FALSE(key.public_key().VerifyDigest(Sha256("massage"), signature));
  EXPECT_FALSE(P256PrivateKey::Generate().public_key().VerifyDigest(digest, signature));
  EXPECT_FALSE(key.public_key().VerifyDigest(digest, signature + '\0'));
  EXPECT_FALSE(key.public_key().VerifyDigest(digest, ""));
  for (std::size_t at = 0; at < signature.size(); ++at) {
    std::string changed = signature;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(key.public_key().VerifyDigest(digest, changed)) << at;
    EXPECT_FALSE(key.public_key().VerifyDigest(digest, std::string_view(signature).substr(0, at))) << at;
  }
  // The same numbers with a length that DER would have written shorter (BER).
  std::string ber = signature;
  ber.insert(1, 1, '\x81');
  EXPECT_FALSE(key.public_key().VerifyDigest(digest, ber));
  // r = s = 0.
  EXPECT_FALSE(key.public_key().VerifyDigest(digest, HexDecode("3006020100020100").value()));
}

}  // namespace
}  // namespace virp::crypto
