#include "lib/crypto/cms.h"

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/rpki/key_package.h"
#include "tests/testutil/rpki_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::cms {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testutil::StatusIs;

constexpr std::string_view kType("\x2a\x03\x04", 3);

class CmsTest : public testing::Test {
 protected:
  std::string Signed(std::string_view content) {
    return *Sign(kType, content,
                 {.certificates = {lab_.ca},
                  .key_identifier = lab_.ca_issuer.key_identifier,
                  .algorithm = kRsaEncryption,
                  .time = lab_.now,
                  .signer = lab_.ca_issuer.signer});
  }
  testutil::RpkiLab lab_;
};

TEST_F(CmsTest, ContentComesBackVerified) {
  for (const std::size_t size : {0u, 1u, 100u, 200u, 70'000u}) {
    const std::string content(size, 'c');
    const std::string der = Signed(content);
    ASSERT_OK_AND_ASSIGN(const SignedData data, Parse(der));
    EXPECT_EQ(data.version, 3u);
    EXPECT_EQ(data.content_type, kType);
    EXPECT_EQ(data.content, content);
    EXPECT_THAT(data.certificates, ElementsAre(lab_.ca));
    ASSERT_OK_AND_ASSIGN(const x509::Certificate signer, VerifySigner(data));
    EXPECT_EQ(signer.der, lab_.ca);
  }
}

TEST_F(CmsTest, SecretContentIsTheSameMessage) {
  const Signing signing{.certificates = {lab_.ca},
                        .key_identifier = lab_.ca_issuer.key_identifier,
                        .algorithm = kRsaEncryption,
                        .time = lab_.now,
                        .signer = lab_.ca_issuer.signer};
  ASSERT_OK_AND_ASSIGN(const crypto::Secret secret, SignSecret(kType, "content", signing));
  EXPECT_EQ(secret.view(), Signed("content"));
}

TEST_F(CmsTest, NoByteMayChange) {
  const std::string der = Signed("content");
  int refused = 0;
  for (std::size_t at = 0; at < der.size(); ++at) {
    std::string changed = der;
    changed[at] = static_cast<char>(changed[at] ^ 0x01);
    const auto data = Parse(changed);
    if (!data.ok() || !VerifySigner(*data).ok()) ++refused;
  }
  // What is not under the signature and is not looked at: digest algorithms of the outside, versions, the certificate.
  const std::size_t unsigned_bytes = lab_.ca.size() + 64;
  EXPECT_GT(static_cast<std::size_t>(refused), der.size() - unsigned_bytes);
  const std::size_t content = der.find("content");
  for (std::size_t at = content; at < content + 7; ++at) {
    std::string changed = der;
    changed[at] = 'X';
    ASSERT_OK_AND_ASSIGN(const SignedData data, Parse(changed));
    EXPECT_THAT(VerifySigner(data), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not what was signed")));
  }
}

TEST_F(CmsTest, ASignerWithoutCertificateIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string der, Sign(kType, "x",
                                                   {.certificates = {lab_.ta},
                                                    .key_identifier = lab_.ca_issuer.key_identifier,
                                                    .algorithm = kRsaEncryption,
                                                    .time = lab_.now,
                                                    .signer = lab_.ca_issuer.signer}));
  ASSERT_OK_AND_ASSIGN(const SignedData data, Parse(der));
  EXPECT_THAT(VerifySigner(data), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no certificate within")));
}

TEST_F(CmsTest, CertsOnlyComesBack) {
  const std::string der = CertsOnly({lab_.ca, lab_.ta});
  ASSERT_OK_AND_ASSIGN(const auto certificates, ParseCertsOnly(der));
  EXPECT_THAT(certificates, testing::UnorderedElementsAre(lab_.ca, lab_.ta));
  EXPECT_FALSE(ParseCertsOnly(CertsOnly({})).ok());
  EXPECT_FALSE(ParseCertsOnly(Signed("x")).ok());
  EXPECT_FALSE(ParseCertsOnly(der + "x").ok());
  for (std::size_t size = 0; size < der.size(); size += 7) {
    EXPECT_FALSE(ParseCertsOnly(std::string_view(der).substr(0, size)).ok()) << size;
  }
}

TEST_F(CmsTest, CertsOnlyInBerIsReadToo) {
  // The same with indefinite lengths outside, as Java libraries write it.
  const std::string empty_set = der::Tlv(der::kSet, "");
  const std::string end(2, '\0');
  const std::string data = der::Sequence({der::Tlv(der::kOid, *HexDecode("2a864886f70d010701"))});
  const std::string ber = "\x30\x80" + der::Tlv(der::kOid, *HexDecode("2a864886f70d010702")) + "\xa0\x80" + "\x30\x80" +
                          der::Integer(1) + empty_set + data + "\xa0\x80" + lab_.ca + end + empty_set + end + end + end;
  ASSERT_OK_AND_ASSIGN(const auto certificates, ParseCertsOnly(ber));
  EXPECT_THAT(certificates, ElementsAre(lab_.ca));
  EXPECT_FALSE(ParseCertsOnly(ber + "x").ok());
}

TEST_F(CmsTest, EncryptsForOneRecipient) {
  const auto holder = [&](char first) {
    crypto::Secret scalar(std::string(crypto::kP256ScalarSize, first));
    const auto key = *crypto::P256PrivateKey::FromScalar(scalar.view());
    return std::pair(lab_.Router(64496, key.public_key()), *rpki::EncodePkcs8(scalar.view(), key.public_key().point()));
  };
  const auto [certificate, key] = holder('\x01');
  ASSERT_OK_AND_ASSIGN(const std::string enveloped, Encrypt("secret content", certificate));
  EXPECT_EQ(enveloped.find("secret content"), std::string::npos);
  ASSERT_OK_AND_ASSIGN(const crypto::Secret back, Decrypt(enveloped, certificate, key.view()));
  EXPECT_EQ(back.view(), "secret content");
  const auto [other, other_key] = holder('\x02');
  EXPECT_FALSE(Decrypt(enveloped, other, other_key.view()).ok());
  std::string changed = enveloped;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  EXPECT_FALSE(Decrypt(changed, certificate, key.view()).ok());
  EXPECT_FALSE(Decrypt("", certificate, key.view()).ok());
  EXPECT_FALSE(Encrypt("x", "no certificate").ok());
}

TEST_F(CmsTest, ARecipientsKeyIsAsStrongAsWhatItProtects) {
  EXPECT_FALSE(Encrypt("x", lab_.ca).ok()) << "RSA of 2,048 bits";
}

}  // namespace
}  // namespace virp::cms
