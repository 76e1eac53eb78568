#include "lib/crypto/x509.h"

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/crypto/p256.h"
#include "tests/testutil/rpki_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::x509 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testutil::StatusIs;

TEST(X509, EveryTruncationAndEveryByteMoreIsRefused) {
  const testutil::RpkiLab lab;
  const std::string& der = lab.ca;
  EXPECT_OK(ParseCertificate(der));
  for (std::size_t size = 0; size < der.size(); ++size) {
    EXPECT_FALSE(ParseCertificate(std::string_view(der).substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(ParseCertificate(der + '\0').ok());
}

TEST(X509, LimitsComeBeforeWork) {
  const std::string large = der::Tlv(der::kSequence, std::string(kMaxCertificate, '\0'));
  EXPECT_THAT(ParseCertificate(large), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most")));
  std::string parts;
  for (std::size_t i = 0; i <= kMaxNameParts; ++i) {
    parts += der::Tlv(der::kSet, der::Sequence({der::Tlv(der::kOid, "\x55\x04\x03"), der::Tlv(der::kUtf8String, "x")}));
  }
  EXPECT_THAT(ParseName(der::Sequence({parts})), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than")));
}

TEST(X509, CrlsComeBack) {
  const testutil::RpkiLab lab;
  ASSERT_OK_AND_ASSIGN(const std::string der, rpki::IssueCrl({.number = 7,
                                                              .this_update = lab.now,
                                                              .next_update = lab.now + std::chrono::hours(24),
                                                              .revoked = {{"\x05", lab.now}, {"\x81", lab.now}}},
                                                             lab.ca_issuer));
  ASSERT_OK_AND_ASSIGN(const RevocationList crl, ParseRevocationList(der));
  EXPECT_EQ(crl.version, 1u);
  EXPECT_EQ(crl.issuer, lab.ca_issuer.name);
  EXPECT_EQ(crl.this_update, lab.now);
  EXPECT_EQ(crl.next_update, lab.now + std::chrono::hours(24));
  ASSERT_EQ(crl.revoked.size(), 2u);
  EXPECT_EQ(crl.revoked[1].serial, "\x81");
  EXPECT_FALSE(crl.has_entry_extensions);
  EXPECT_EQ(crl.extensions.size(), 2u);
  EXPECT_TRUE(testutil::RsaKeyForTests(1).public_key().Verify(crl.tbs, crl.signature));
  for (std::size_t size = 0; size < der.size(); ++size) {
    EXPECT_FALSE(ParseRevocationList(std::string_view(der).substr(0, size)).ok()) << size;
  }
}

TEST(X509, PemAndDer) {
  const std::string der = der::Sequence({der::Integer(5)});
  const std::string pem =
      PemBlock("CERTIFICATE", der) + "text between\n" + PemBlock("OTHER", "x") + PemBlock("CERTIFICATE", der + der);
  ASSERT_OK_AND_ASSIGN(const auto blocks, DerBlocks(pem, {"CERTIFICATE"}, 1000, 2));
  EXPECT_THAT(blocks, ElementsAre(der, der + der));
  ASSERT_OK_AND_ASSIGN(const auto raw, DerBlocks(der, {"CERTIFICATE"}, 1000, 1));
  EXPECT_THAT(raw, ElementsAre(der));
  EXPECT_THAT(DerBlocks(pem, {"CERTIFICATE"}, 1000, 1),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 1")));
  EXPECT_THAT(DerBlocks(pem, {"CERTIFICATE"}, 10, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 10")));
  EXPECT_THAT(DerBlocks("", {"CERTIFICATE"}, 10, 2), StatusIs(absl::StatusCode::kInvalidArgument));
  for (const std::string_view broken : {"-----BEGIN CERTIFICATE-----\nAAAA\n", "-----BEGIN CERTIFICATE",
                                        "-----BEGIN CERTIFICATE-----\nA*==\n-----END CERTIFICATE-----\n"}) {
    EXPECT_FALSE(DerBlocks(broken, {"CERTIFICATE"}, 1000, 2).ok()) << broken;
  }
}

}  // namespace
}  // namespace virp::x509
