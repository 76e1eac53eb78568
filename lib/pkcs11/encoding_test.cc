#include "lib/pkcs11/encoding.h"

#include <openssl/x509.h>

#include "lib/crypto/ed25519.h"
#include "lib/crypto/openssl_util.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "tests/testutil/status_matchers.h"

namespace virp::pkcs11 {
namespace {

using ::testing::HasSubstr;
using testutil::IsOkAndHolds;
using testutil::StatusIs;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

std::string Hex(std::string_view hex) {
  return HexDecode(hex).value();
}

TEST(EcdsaDer, ShortestFormOfBothNumbers) {
  const std::string one = std::string(31, '\0') + '\x01';
  EXPECT_THAT(EcdsaDer(one + one), IsOkAndHolds(Hex("3006020101020101")));
  const std::string high = "\x80" + std::string(31, '\x11');
  EXPECT_THAT(EcdsaDer(high + one), IsOkAndHolds(Hex("3026022100") + high + Hex("020101")));
  const std::string half = "\x7f" + std::string(16, '\x22');
  EXPECT_THAT(EcdsaDer(std::string(15, '\0') + half + high),
              IsOkAndHolds(Hex("30360211") + half + Hex("022100") + high));
}

TEST(EcdsaDer, RefusesWhatIsNoSignature) {
  const std::string one = std::string(31, '\0') + '\x01';
  EXPECT_THAT(EcdsaDer(""), StatusIs(kUnavailable, HasSubstr("0 bytes")));
  EXPECT_THAT(EcdsaDer(one), StatusIs(kUnavailable));
  EXPECT_THAT(EcdsaDer(one + one + "x"), StatusIs(kUnavailable));
  EXPECT_THAT(EcdsaDer(one + std::string(32, '\0')), StatusIs(kUnavailable, HasSubstr("zero")));
  EXPECT_THAT(EcdsaDer(std::string(32, '\0') + one), StatusIs(kUnavailable, HasSubstr("zero")));
}

TEST(PointFromAttribute, WithAndWithoutItsOctetString) {
  const std::string key(32, '\x04');  // begins as an OCTET STRING does
  EXPECT_THAT(PointFromAttribute(key, 32), IsOkAndHolds(key));
  EXPECT_THAT(PointFromAttribute("\x04\x20" + key, 32), IsOkAndHolds(key));
  EXPECT_THAT(PointFromAttribute("\x04\x21" + key, 32), StatusIs(kUnavailable));
  EXPECT_THAT(PointFromAttribute(key.substr(1), 32), StatusIs(kUnavailable));
  EXPECT_THAT(PointFromAttribute("", 32), StatusIs(kUnavailable));
  EXPECT_THAT(PointFromAttribute("\x02" + std::string(64, 'x'), 65), StatusIs(kUnavailable, HasSubstr("uncompressed")));
}

// OpenSSL reads what we write, and writes the same.
std::string Reread(const std::string& spki) {
  const auto* at = reinterpret_cast<const unsigned char*>(spki.data());
  const crypto::EvpPkeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  if (key == nullptr) return "unreadable: " + crypto::DrainOpenSslErrors();
  unsigned char* out = nullptr;
  const int size = i2d_PUBKEY(key.get(), &out);
  std::string again(reinterpret_cast<char*>(out), static_cast<std::size_t>(size));
  OPENSSL_free(out);
  return again;
}

TEST(Spki, IsWhatOpenSslWrites) {
  const auto ec = crypto::P256PrivateKey::Generate();
  EXPECT_EQ(P256Spki(ec.public_key().point()), ec.public_key().spki());
  EXPECT_THAT(P256PointFromSpki(ec.public_key().spki()), IsOkAndHolds(std::string(ec.public_key().point())));
  const auto ed = crypto::Ed25519PrivateKey::Generate();
  const std::string ed_spki = Ed25519Spki(ed.public_key().bytes());
  EXPECT_EQ(Reread(ed_spki), ed_spki);
  const crypto::EvpPkeyPtr rsa(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048}));
  BIGNUM* n = nullptr;
  ASSERT_EQ(EVP_PKEY_get_bn_param(rsa.get(), "n", &n), 1);
  std::string modulus(static_cast<std::size_t>(BN_num_bytes(n)), '\0');
  BN_bn2bin(n, reinterpret_cast<unsigned char*>(modulus.data()));
  BN_free(n);
  const std::string rsa_spki = RsaSpki(std::string(3, '\0') + modulus, Hex("00010001"));
  EXPECT_EQ(Reread(rsa_spki), rsa_spki);
  ASSERT_OK_AND_ASSIGN(const RsaNumbers numbers, RsaFromSpki(rsa_spki));
  EXPECT_EQ(numbers.modulus, modulus);
  EXPECT_EQ(numbers.exponent, Hex("010001"));
}

TEST(Spki, RefusesWhatItWouldNotWriteItself) {
  const std::string ec(crypto::P256PrivateKey::Generate().public_key().spki());
  const std::string rsa = RsaSpki("\x80" + std::string(255, 'm'), Hex("010001"));
  ASSERT_OK(RsaFromSpki(rsa));
  for (const std::string& spki : {ec, rsa}) {
    for (std::size_t size = 0; size < spki.size(); ++size) {
      EXPECT_THAT(P256PointFromSpki(spki.substr(0, size)), StatusIs(absl::StatusCode::kInvalidArgument));
      EXPECT_THAT(RsaFromSpki(spki.substr(0, size)), StatusIs(absl::StatusCode::kInvalidArgument));
    }
    EXPECT_THAT(P256PointFromSpki(spki + '\0'), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(RsaFromSpki(spki + '\0'), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(RsaFromSpki(ec), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(P256PointFromSpki(rsa), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(RsaFromSpki(RsaSpki("\x7f" + std::string(255, 'm'), Hex("03"))),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Sha256DigestInfo, IsThatOfRfc8017) {
  EXPECT_EQ(HexEncode(Sha256DigestInfo(crypto::Sha256(""))),
            "3031300d060960864801650304020105000420"
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

}  // namespace
}  // namespace virp::pkcs11
