#include "lib/rpki/key_package.h"

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/crypto/random.h"
#include "lib/rpki/import.h"
#include "tests/testutil/rpki_lab.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rpki {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using testutil::StatusIs;

class KeyPackageTest : public testing::Test {
 protected:
  KeyPackageTest()
      : scalar_("\x01" + crypto::RandomBytes(31)),
        key_(*crypto::P256PrivateKey::FromScalar(scalar_)),
        pkcs8_(*EncodePkcs8(scalar_, key_.public_key().point())),
        signer_(testutil::RsaKeyForTests(2)),
        certificate_(
            *IssueTransferCertificate({.serial = RandomSerial(),
                                       .validity = {lab_.now - std::chrono::hours(1), lab_.now + std::chrono::hours(9)},
                                       .spki = signer_.public_key().spki()},
                                      lab_.ca_issuer)),
        identifier_(*KeyIdentifier(signer_.public_key().spki())) {}

  crypto::Secret Package(const std::vector<std::string_view>& certificates) {
    return *SignKeyPackage(pkcs8_.view(), {.certificates = certificates,
                                           .key_identifier = identifier_,
                                           .algorithm = cms::kRsaEncryption,
                                           .time = lab_.now,
                                           .signer = testutil::SignerOf(signer_)});
  }

  testutil::RpkiLab lab_;
  std::string scalar_;
  crypto::P256PrivateKey key_;
  crypto::Secret pkcs8_;
  const crypto::RsaPrivateKey& signer_;
  std::string certificate_, identifier_;
};

TEST_F(KeyPackageTest, Pkcs8HasItsOneForm) {
  EXPECT_EQ(pkcs8_.size(), 138u);
  ASSERT_OK_AND_ASSIGN(const crypto::Secret back, DecodePkcs8(pkcs8_.view()));
  EXPECT_EQ(back.view(), scalar_);
  const auto other = crypto::P256PrivateKey::Generate();
  EXPECT_THAT(DecodePkcs8(EncodePkcs8(scalar_, other.public_key().point())->view()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another key's")));
  EXPECT_FALSE(DecodePkcs8(EncodePkcs8(std::string(32, '\0'), key_.public_key().point())->view()).ok());
  EXPECT_FALSE(EncodePkcs8("short", key_.public_key().point()).ok());
  EXPECT_FALSE(DecodePkcs8(testutil::RsaKeyForTests(0).Pkcs8().view()).ok());
  for (std::size_t size = 0; size < pkcs8_.size(); ++size)
    EXPECT_FALSE(DecodePkcs8(pkcs8_.view().substr(0, size)).ok());
}

TEST_F(KeyPackageTest, TravelsWithItsChain) {
  const crypto::Secret package = Package({certificate_, lab_.ca});
  ASSERT_OK_AND_ASSIGN(const KeyPackage opened, OpenKeyPackage(package.view(), lab_.ta, lab_.now));
  EXPECT_EQ(opened.pkcs8.view(), pkcs8_.view());
  EXPECT_THAT(opened.certificates, UnorderedElementsAre(certificate_, lab_.ca));
  EXPECT_TRUE(opened.path.empty()) << AsStatus(opened.path, "path");
}

TEST_F(KeyPackageTest, TellsWhatIsWrongWithTheSigner) {
  const auto reasons = [&](const crypto::Secret& package, std::string_view anchor, Time now) {
    std::vector<std::string_view> out;
    const auto opened = OpenKeyPackage(package.view(), anchor, now);
    EXPECT_OK(opened);
    if (!opened.ok()) return out;
    for (const Refusal& refusal : opened->path) out.push_back(ReasonName(refusal.reason));
    return out;
  };
  const crypto::Secret whole = Package({certificate_, lab_.ca});
  EXPECT_THAT(reasons(Package({certificate_}), lab_.ta, lab_.now), UnorderedElementsAre("ISSUER_NAME"));
  EXPECT_THAT(reasons(whole, lab_.ta, lab_.now + std::chrono::hours(10)), UnorderedElementsAre("EXPIRED"));
  EXPECT_FALSE(reasons(whole, lab_.ca, lab_.now).empty());  // not the installed trust anchor
}

TEST_F(KeyPackageTest, NoByteOfTheContentMayChange) {
  const crypto::Secret package = Package({certificate_, lab_.ca});
  const std::size_t content = package.view().find(scalar_);
  for (const std::size_t at : {content, content + 31, content - 20}) {
    std::string changed(package.view());
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(OpenKeyPackage(changed, lab_.ta, lab_.now).ok()) << at;
  }
  EXPECT_FALSE(OpenKeyPackage("", lab_.ta, lab_.now).ok());
  EXPECT_FALSE(OpenKeyPackage(std::string(kMaxKeyPackage + 1, '0'), lab_.ta, lab_.now).ok());
}

TEST(Import, TakesEveryForm) {
  const testutil::RpkiLab lab;
  const auto key = crypto::P256PrivateKey::Generate();
  const std::string router = lab.Router(64496, key.public_key());
  const std::string p7 = cms::CertsOnly({router, lab.ca});
  const std::string pem = x509::PemBlock("CERTIFICATE", lab.ca) + x509::PemBlock("CERTIFICATE", router);
  for (const std::string& form : {p7, pem, x509::PemBlock("PKCS7", p7)}) {
    ASSERT_OK_AND_ASSIGN(const Imported imported, ImportCertificates(form));
    EXPECT_EQ(imported.router, router);
    EXPECT_THAT(imported.authorities, testing::ElementsAre(lab.ca));
  }
  for (const std::string& form : {router, x509::PemBlock("CERTIFICATE", router), router}) {
    ASSERT_OK_AND_ASSIGN(const Imported imported, ImportCertificates(form));
    EXPECT_EQ(imported.router, router);
    EXPECT_THAT(imported.authorities, IsEmpty());
  }
  EXPECT_THAT(ImportCertificates(lab.ca), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no router")));
  EXPECT_THAT(ImportCertificates(cms::CertsOnly({router, lab.Router(64497, key.public_key())})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one router certificate at a time")));
  for (const std::string& form : {std::string(), std::string("0"), std::string(kMaxImport + 1, '0'), router + "x"}) {
    EXPECT_THAT(ImportCertificates(form), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace virp::rpki
