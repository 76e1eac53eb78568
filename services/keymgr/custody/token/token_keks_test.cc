#include "services/keymgr/custody/token/token_keks.h"

#include "lib/base/error_info.h"
#include "services/keymgr/custody/software/software_custody.h"
#include "tests/conformance/custody_suite.h"
#include "tests/testutil/must.h"
#include "tests/testutil/soft_token.h"

namespace virp::keymgr {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testutil::IsOkAndHolds;
using testutil::Must;
using testutil::ReasonIs;
using testutil::StatusIs;
using Code = absl::StatusCode;

// Envelopes that are closed with a KEK of the token's.
class EnvelopesUnderTest final : public CustodyUnderTest {
 public:
  EnvelopesUnderTest() {
    Open();
    EXPECT_THAT(keks_->Make(), IsOkAndHolds(1U));
    EXPECT_OK(keks_->Use(1));
  }
  Custody& custody() override { return *custody_; }
  void Restart() override {
    custody_.reset();
    keks_.reset();
    token_.reset();
    Open();
    EXPECT_OK(keks_->Load());
    EXPECT_OK(keks_->Use(1));
  }

 private:
  void Open() {
    token_ = Must(pkcs11::Token::Open(soft_.Options()));
    keks_ = std::make_unique<TokenKeks>(*token_, "keymgr-1");
    custody_ = std::make_unique<SoftwareCustody>(*keks_);
  }
  testutil::SoftToken soft_;
  std::unique_ptr<pkcs11::Token> token_;
  std::unique_ptr<TokenKeks> keks_;
  std::unique_ptr<SoftwareCustody> custody_;
};

INSTANTIATE_TEST_SUITE_P(EnvelopesUnderToken, CustodyTest,
                         testing::Values(CustodyMaker{"software",
                                                      [] { return std::make_unique<EnvelopesUnderTest>(); }}),
                         [](const auto& made) { return made.param.name; });

class TokenKeksTest : public ::testing::Test {
 protected:
  static KeyIdentity Router() { return {KeyKind::kRouter, "a", 1, Algorithm::kEcdsaP256}; }
  testutil::SoftToken soft_;
  std::unique_ptr<pkcs11::Token> token_ = Must(pkcs11::Token::Open(soft_.Options()));
};

TEST_F(TokenKeksTest, VersionsAreMadeKnownAgainAndChanged) {
  TokenKeks keks(*token_, "keymgr-1");
  SoftwareCustody custody(keks);
  EXPECT_THAT(keks.Load(), StatusIs(Code::kNotFound, HasSubstr("have it make one")));
  EXPECT_THAT(custody.Generate(Router(), ExportPolicy::kOnce), ReasonIs("SEALED"));
  ASSERT_THAT(keks.Make(), IsOkAndHolds(1U));
  EXPECT_EQ(keks.current(), 0U);
  ASSERT_OK(keks.Use(1));
  ASSERT_OK_AND_ASSIGN(const SealedKey old, custody.Generate(Router(), ExportPolicy::kOnce));
  EXPECT_EQ(old.kek_version, 1U);

  ASSERT_THAT(keks.Make(), IsOkAndHolds(2U));
  const std::vector<KekFacts> known = keks.Known();
  ASSERT_THAT(known, SizeIs(2));
  EXPECT_NE(known[0].check, known[1].check);
  EXPECT_THAT(known[0].check, SizeIs(16));
  ASSERT_OK(keks.Use(2));
  ASSERT_OK_AND_ASSIGN(const SealedKey renewed, custody.Rewrap(old));
  EXPECT_EQ(renewed.kek_version, 2U);
  EXPECT_OK(custody.Sign(old, "x"));
  EXPECT_OK(custody.Sign(renewed, "x"));
  // Somebody deletes the old one with the token's tool.
  ASSERT_OK_AND_ASSIGN(const auto ids, token_->ListIds());
  for (const std::string& id : ids) {
    if (id.ends_with(std::string_view("\0\0\0\1", 4))) ASSERT_OK(token_->Destroy(id));
  }
  ASSERT_OK(keks.Load());
  EXPECT_THAT(custody.Sign(old, "x"),
              AllOf(ReasonIs("SEALED"), StatusIs(Code::kFailedPrecondition, HasSubstr("version 1"))));
  EXPECT_OK(custody.Sign(renewed, "x"));

  TokenKeks later(*token_, "keymgr-1");
  ASSERT_OK(later.Load());
  EXPECT_EQ(later.Known(), keks.Known());
  EXPECT_THAT(later.Make(), IsOkAndHolds(3U)) << "no number is given twice while a later one is there";
}

TEST_F(TokenKeksTest, ForgottenAndForeignOnesAreOfNoUse) {
  TokenKeks keks(*token_, "keymgr-1");
  SoftwareCustody custody(keks);
  ASSERT_OK(keks.Make());
  ASSERT_OK(keks.Use(1));
  ASSERT_OK_AND_ASSIGN(const SealedKey key, custody.Generate(Router(), ExportPolicy::kOnce));
  keks.Forget();
  EXPECT_THAT(keks.Known(), IsEmpty());
  EXPECT_THAT(custody.Sign(key, "x"), ReasonIs("SEALED"));
  EXPECT_THAT(custody.Ready(), ReasonIs("SEALED"));
  EXPECT_THAT(keks.Use(1), StatusIs(Code::kNotFound));
  ASSERT_OK(keks.Load());
  EXPECT_OK(custody.Sign(key, "x"));

  TokenKeks others(*token_, "keymgr-2");
  SoftwareCustody theirs(others);
  ASSERT_THAT(others.Make(), IsOkAndHolds(1U));
  EXPECT_NE(others.Known()[0].check, keks.Known()[0].check);
  EXPECT_THAT(theirs.Sign(key, "x"), ReasonIs("KEY_DAMAGED"));
}

TEST_F(TokenKeksTest, WithoutALoginTheyAreSealed) {
  token_.reset();
  soft_.SetPin("wrong");
  token_ = Must(pkcs11::Token::OpenLater(soft_.Options()));
  TokenKeks keks(*token_, "keymgr-1");
  EXPECT_THAT(keks.Load(), ReasonIs("SEALED"));
  EXPECT_THAT(keks.Make(), ReasonIs("SEALED"));
}

}  // namespace
}  // namespace virp::keymgr
