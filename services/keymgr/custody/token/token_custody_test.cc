#include "services/keymgr/custody/token/token_custody.h"

#include <thread>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/rsa.h"
#include "lib/crypto/sha256.h"
#include "tests/conformance/custody_suite.h"
#include "tests/testutil/must.h"
#include "tests/testutil/soft_token.h"

namespace virp::keymgr {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testutil::IsOkAndHolds;
using testutil::Must;
using testutil::ReasonIs;
using testutil::StatusIs;
using Code = absl::StatusCode;

class TokenUnderTest final : public CustodyUnderTest {
 public:
  TokenUnderTest() { Restart(); }
  Custody& custody() override { return *custody_; }
  void Restart() override {
    custody_.reset();
    custody_ = std::make_unique<TokenCustody>(Must(pkcs11::Token::Open(soft_.Options())), "keymgr-1");
  }

 private:
  testutil::SoftToken soft_;
  std::unique_ptr<TokenCustody> custody_;
};

INSTANTIATE_TEST_SUITE_P(Token, CustodyTest,
                         testing::Values(CustodyMaker{"token", [] { return std::make_unique<TokenUnderTest>(); }}),
                         [](const auto& made) { return made.param.name; });

class TokenCustodyTest : public ::testing::Test {
 protected:
  std::unique_ptr<TokenCustody> Open(std::string_view owner = "keymgr-1") {
    return std::make_unique<TokenCustody>(Must(pkcs11::Token::Open(soft_.Options())), owner);
  }
  std::unique_ptr<pkcs11::Token> Direct() { return Must(pkcs11::Token::Open(soft_.Options())); }
  std::size_t Objects() { return Must(Direct()->ListIds()).size(); }
  static KeyIdentity Router(std::string id) { return {KeyKind::kRouter, std::move(id), 1, Algorithm::kEcdsaP256}; }
  static KeyIdentity Issuer() { return {KeyKind::kIssuer, "ta", 1, Algorithm::kRsa2048}; }
  static KeyIdentity Shared(std::string id) { return {KeyKind::kTcpAo, std::move(id), 1, Algorithm::kOctets}; }

  testutil::SoftToken soft_;
};

TEST_F(TokenCustodyTest, AnAuthoritysKeySignsAndNeverLeaves) {
  const auto custody = Open();
  ASSERT_OK_AND_ASSIGN(const SealedKey key, custody->Generate(Issuer(), ExportPolicy::kNever));
  EXPECT_THAT(custody->Sign(key, "to be signed"), IsOkAndHolds(::testing::SizeIs(256)));
  EXPECT_EQ(static_cast<unsigned char>(key.public_half.front()), 0x30) << "SubjectPublicKeyInfo";
  EXPECT_THAT(custody->Export(key), ReasonIs("NOT_EXPORTABLE"));
  SealedKey widened = key;
  widened.policy = ExportPolicy::kOnce;
  EXPECT_THAT(custody->Export(widened), ReasonIs("KEY_DAMAGED"));
  EXPECT_THAT(custody->Import(Issuer(), ExportPolicy::kNever, crypto::Secret(std::string(32, 'x'))),
              StatusIs(Code::kInvalidArgument, HasSubstr("have it make one")));
}

TEST_F(TokenCustodyTest, Ed25519IsMadeAndStays) {
  const auto custody = Open();
  const KeyIdentity identity{KeyKind::kObservation, "a", 1, Algorithm::kEd25519};
  for (const ExportPolicy policy : {ExportPolicy::kOnce, ExportPolicy::kEscrowOnly}) {
    EXPECT_THAT(custody->Generate(identity, policy), StatusIs(Code::kInvalidArgument, HasSubstr("never leaves")));
  }
  EXPECT_OK(custody->Generate(identity, ExportPolicy::kNever));
}

// A database that was taken back knows nothing of the export; the token does.
TEST_F(TokenCustodyTest, TheTokenRemembersTheLockThatAnOldDatabaseForgot) {
  const auto custody = Open();
  ASSERT_OK_AND_ASSIGN(const SealedKey key, custody->Generate(Router("a"), ExportPolicy::kOnce));
  ASSERT_OK(custody->Export(key));
  SealedKey locked = key;
  locked.locked = true;
  ASSERT_OK(custody->Lock(locked));
  EXPECT_THAT(custody->Export(key), AllOf(StatusIs(Code::kPermissionDenied), ReasonIs("NOT_EXPORTABLE")));
  EXPECT_THAT(Open()->Export(key), ReasonIs("NOT_EXPORTABLE"));
}

TEST_F(TokenCustodyTest, EscrowMayTakeAKeyAgain) {
  const auto custody = Open();
  ASSERT_OK_AND_ASSIGN(const SealedKey key, custody->Generate(Router("a"), ExportPolicy::kEscrowOnly));
  ASSERT_OK_AND_ASSIGN(const crypto::Secret first, custody->Export(key));
  ASSERT_OK_AND_ASSIGN(const crypto::Secret second, custody->Export(key));
  EXPECT_TRUE(crypto::EqualConstantTime(first, second));
  // Out of escrow, into the replacement.
  ASSERT_OK_AND_ASSIGN(const SealedKey back, custody->Import(Router("b"), ExportPolicy::kNever, first));
  EXPECT_EQ(back.public_half, key.public_half);
  EXPECT_OK(custody->Sign(back, "x"));
  EXPECT_THAT(custody->Export(back), ReasonIs("NOT_EXPORTABLE"));
}

TEST_F(TokenCustodyTest, ARecordWithAnotherPublicHalfDoesNotSign) {
  const auto custody = Open();
  ASSERT_OK_AND_ASSIGN(const SealedKey a, custody->Generate(Router("a"), ExportPolicy::kOnce));
  ASSERT_OK_AND_ASSIGN(const SealedKey b, custody->Generate(Router("b"), ExportPolicy::kOnce));
  ASSERT_OK(custody->Sign(a, "x"));  // what was seen to be good is remembered
  SealedKey swapped = a;
  swapped.public_half = b.public_half;
  EXPECT_THAT(custody->Sign(swapped, "x"), ReasonIs("KEY_DAMAGED"));
  EXPECT_THAT(custody->Export(swapped), ReasonIs("KEY_DAMAGED"));
  EXPECT_OK(custody->Sign(a, "x"));
}

TEST_F(TokenCustodyTest, SecretsOpenInTheirOwnRecordOnly) {
  const auto custody = Open();
  ASSERT_OK_AND_ASSIGN(const SealedKey key, custody->Generate(Shared("a"), ExportPolicy::kShared));
  EXPECT_OK(custody->Export(key));
  for (std::size_t at = 0; at < key.blob.size(); ++at) {
    SealedKey changed = key;
    changed.blob[at] = static_cast<char>(changed.blob[at] ^ 1);
    EXPECT_THAT(custody->Export(changed), ReasonIs("KEY_DAMAGED")) << at;
  }
  SealedKey renamed = key;
  renamed.identity.id = "b";
  EXPECT_THAT(custody->Export(renamed), ReasonIs("KEY_DAMAGED"));
  ASSERT_OK_AND_ASSIGN(const SealedKey pair, custody->Generate(Router("a"), ExportPolicy::kOnce));
  SealedKey crossed = key;
  crossed.blob = pair.blob;
  EXPECT_THAT(custody->Export(crossed), ReasonIs("KEY_DAMAGED"));
  EXPECT_THAT(Open("keymgr-2")->Export(key), ReasonIs("KEY_DAMAGED")) << "another manager has another sealing key";
}

TEST_F(TokenCustodyTest, AVanishedObjectIsTold) {
  const auto custody = Open();
  ASSERT_OK_AND_ASSIGN(const SealedKey key, custody->Generate(Router("a"), ExportPolicy::kOnce));
  ASSERT_OK(custody->Sign(key, "x"));
  {
    const auto direct = Direct();
    const auto ids = Must(direct->ListIds());
    ASSERT_EQ(ids.size(), 1U);
    ASSERT_OK(direct->Destroy(ids.front()));
  }
  EXPECT_THAT(custody->Sign(key, "x"), AllOf(ReasonIs("KEY_DAMAGED"), StatusIs(Code::kDataLoss, HasSubstr("backup"))));
  EXPECT_THAT(custody->Lock(key), ReasonIs("KEY_DAMAGED"));
  EXPECT_OK(custody->Destroy(key));
}

TEST_F(TokenCustodyTest, WithoutALoginItIsSealed) {
  SealedKey key;
  {
    const auto custody = Open();
    ASSERT_OK_AND_ASSIGN(key, custody->Generate(Router("a"), ExportPolicy::kOnce));
  }
  soft_.SetPin("wrong");
  TokenCustody custody(Must(pkcs11::Token::OpenLater(soft_.Options())), "keymgr-1");
  EXPECT_THAT(custody.Ready(), AllOf(StatusIs(Code::kFailedPrecondition), ReasonIs("SEALED")));
  EXPECT_THAT(custody.Generate(Router("b"), ExportPolicy::kOnce), ReasonIs("SEALED"));
  EXPECT_THAT(custody.Generate(Shared("b"), ExportPolicy::kShared), ReasonIs("SEALED"));
  EXPECT_THAT(custody.Sign(key, "x"), ReasonIs("SEALED"));
  EXPECT_THAT(custody.Export(key), ReasonIs("SEALED"));
  EXPECT_THAT(custody.Destroy(key), ReasonIs("SEALED"));
  EXPECT_THAT(custody.Lock(key), ReasonIs("SEALED"));
  soft_.SetPin("1234-right");
  EXPECT_OK(custody.Ready());
  EXPECT_OK(custody.Sign(key, "x"));
}

TEST_F(TokenCustodyTest, ReconcileFinishesWhatACrashCutShort) {
  const auto custody = Open();
  ASSERT_OK_AND_ASSIGN(SealedKey kept, custody->Generate(Router("kept"), ExportPolicy::kOnce));
  ASSERT_OK(custody->Generate(Router("never-committed"), ExportPolicy::kOnce));
  ASSERT_OK_AND_ASSIGN(const SealedKey secret, custody->Generate(Shared("secret"), ExportPolicy::kShared));
  ASSERT_OK_AND_ASSIGN(const SealedKey foreign, Open("keymgr-2")->Generate(Router("kept"), ExportPolicy::kOnce));
  EXPECT_EQ(Objects(), 4U);  // three pairs and what seals
  kept.locked = true;        // the crash came before the token heard of it
  ASSERT_OK(custody->Reconcile({kept, secret}));
  EXPECT_EQ(Objects(), 3U);
  EXPECT_OK(custody->Sign(kept, "x"));
  EXPECT_OK(custody->Export(secret));
  EXPECT_OK(Open("keymgr-2")->Sign(foreign, "x")) << "what others keep on the token is left alone";
  kept.locked = false;
  EXPECT_THAT(custody->Export(kept), ReasonIs("NOT_EXPORTABLE"));
  EXPECT_OK(custody->Reconcile({kept, secret}));
}

// Nothing brings a destroyed key back: a database that looks old must not destroy any.
TEST_F(TokenCustodyTest, AnOldDatabaseDestroysNothing) {
  const auto custody = Open();
  ASSERT_OK(custody->Reconcile({}));
  ASSERT_OK_AND_ASSIGN(const SealedKey first, custody->Generate(Router("first"), ExportPolicy::kOnce));
  SealedKey gone = first;
  ASSERT_OK_AND_ASSIGN(gone, custody->Generate(Router("gone"), ExportPolicy::kOnce));
  ASSERT_OK(custody->Destroy(gone));
  EXPECT_THAT(custody->Reconcile({gone}), AllOf(StatusIs(Code::kFailedPrecondition), ReasonIs("TOKEN_KEYS_UNKNOWN")));
  for (int i = 0; i < 65; ++i) ASSERT_OK(custody->Generate(Router("r" + std::to_string(i)), ExportPolicy::kOnce));
  EXPECT_THAT(custody->Reconcile({first}), ReasonIs("TOKEN_KEYS_UNKNOWN"));
  SealedKey damaged = first;
  damaged.blob.back() = static_cast<char>(damaged.blob.back() ^ 1);
  EXPECT_THAT(custody->Reconcile({damaged}), ReasonIs("KEY_DAMAGED"));
  EXPECT_EQ(Objects(), 66U);
}

// Nothing is committed of the first ceremony yet: there is no record to tell the database by, and no key in use.
TEST_F(TokenCustodyTest, ACrashInTheFirstCeremonyIsNoReasonToStaySealed) {
  const auto custody = Open();
  ASSERT_OK(custody->Generate(Issuer(), ExportPolicy::kNever));
  ASSERT_OK(custody->Reconcile({}));
  EXPECT_EQ(custody->unknown(), 1U);
  EXPECT_EQ(Objects(), 1U) << "left, not destroyed";
  ASSERT_OK_AND_ASSIGN(const SealedKey key, custody->Generate(Issuer(), ExportPolicy::kNever));
  ASSERT_OK(custody->Reconcile({key}));
  EXPECT_EQ(custody->unknown(), 0U);
  EXPECT_EQ(Objects(), 1U) << "with a record the rest is known to be a crash's";
}

TEST_F(TokenCustodyTest, SignsWhatIsLongerThanATokenTakes) {
  const auto custody = Open();
  const std::string list(std::size_t{3} << 20, 'x');  // a CRL of many entries
  ASSERT_OK_AND_ASSIGN(const SealedKey issuer, custody->Generate(Issuer(), ExportPolicy::kNever));
  ASSERT_OK_AND_ASSIGN(const std::string signature, custody->Sign(issuer, list));
  ASSERT_OK_AND_ASSIGN(const auto rsa, crypto::RsaPublicKey::FromSpki(issuer.public_half));
  EXPECT_TRUE(rsa.Verify(list, signature));
  ASSERT_OK_AND_ASSIGN(const SealedKey router, custody->Generate(Router("r"), ExportPolicy::kOnce));
  ASSERT_OK_AND_ASSIGN(const std::string by_router, custody->Sign(router, list));
  ASSERT_OK_AND_ASSIGN(const auto p256, crypto::P256PublicKey::FromPoint(router.public_half));
  EXPECT_TRUE(p256.VerifyDigest(crypto::Sha256(list), by_router));
}

TEST_F(TokenCustodyTest, ThreadsThatAllNeedTheFirstSealingKey) {
  const auto custody = Open();
  std::vector<absl::Status> results(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([&, t] {
      const auto key = custody->Generate(Shared("s" + std::to_string(t)), ExportPolicy::kShared);
      results[t] = key.ok() ? custody->Export(*key).status() : key.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) EXPECT_OK(result);
  EXPECT_EQ(Objects(), 1U);
}

}  // namespace
}  // namespace virp::keymgr
