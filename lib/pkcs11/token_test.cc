// Against SoftHSM itself.
#include "lib/pkcs11/token.h"

#include <openssl/x509.h>

#include <algorithm>
#include <thread>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/ed25519.h"
#include "lib/crypto/openssl_util.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "tests/testutil/must.h"
#include "tests/testutil/soft_token.h"
#include "tests/testutil/status_matchers.h"

namespace virp::pkcs11 {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testutil::IsOkAndHolds;
using testutil::ReasonIs;
using testutil::StatusIs;
using Code = absl::StatusCode;

constexpr KeyKind kPairs[] = {KeyKind::kEcP256, KeyKind::kRsa2048, KeyKind::kEd25519};

// By OpenSSL, which shares no code with the token's answer.
bool Verifies(const std::string& spki, KeyKind kind, std::string_view message, std::string_view signature) {
  const auto* at = reinterpret_cast<const unsigned char*>(spki.data());
  const crypto::EvpPkeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
  if (key == nullptr) return false;
  const crypto::EvpMdCtxPtr ctx(EVP_MD_CTX_new());
  const EVP_MD* const digest = kind == KeyKind::kEd25519 ? nullptr : EVP_sha256();
  return EVP_DigestVerifyInit(ctx.get(), nullptr, digest, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(ctx.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                          reinterpret_cast<const unsigned char*>(message.data()), message.size()) == 1;
}

// RFC 5649 by OpenSSL; empty when it does not unwrap.
std::string OpenSslUnwrap(const crypto::Secret& key, std::string_view wrapped) {
  struct Free {
    void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }
    void operator()(EVP_CIPHER_CTX* ctx) const { EVP_CIPHER_CTX_free(ctx); }
  };
  const std::unique_ptr<EVP_CIPHER, Free> cipher(EVP_CIPHER_fetch(nullptr, "AES-256-WRAP-PAD", nullptr));
  const std::unique_ptr<EVP_CIPHER_CTX, Free> ctx(EVP_CIPHER_CTX_new());
  EVP_CIPHER_CTX_set_flags(ctx.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  std::string out(wrapped.size() + 16, '\0');
  int size = 0;
  if (EVP_DecryptInit_ex(ctx.get(), cipher.get(), nullptr, reinterpret_cast<const unsigned char*>(key.view().data()),
                         nullptr) != 1 ||
      EVP_DecryptUpdate(ctx.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                        reinterpret_cast<const unsigned char*>(wrapped.data()),
                        static_cast<int>(wrapped.size())) != 1) {
    crypto::DrainOpenSslErrors();
    return {};
  }
  out.resize(static_cast<std::size_t>(size));
  return out;
}

class TokenTest : public ::testing::Test {
 protected:
  std::unique_ptr<Token> Open() { return testutil::Must(Token::Open(soft_.Options())); }
  testutil::SoftToken soft_;
};

TEST_F(TokenTest, MakesAndUsesEachKindOfPair) {
  const auto token = Open();
  for (const KeyKind kind : kPairs) {
    SCOPED_TRACE(KeyKindName(kind));
    const std::string id = "id-" + std::string(KeyKindName(kind));
    ASSERT_OK_AND_ASSIGN(const KeyInfo made, token->Generate({.kind = kind, .id = id, .label = "für Menschen"}));
    EXPECT_EQ(made.kind, kind);
    EXPECT_EQ(made.id, id);
    EXPECT_EQ(made.label, "für Menschen");
    EXPECT_FALSE(made.exportable);
    EXPECT_FALSE(made.was_exportable);
    EXPECT_TRUE(made.made_here);
    for (const std::string& message : {std::string("message"), std::string(), std::string(kMaxInput, 'x')}) {
      ASSERT_OK_AND_ASSIGN(const std::string signature, token->Sign(id, message));
      EXPECT_TRUE(Verifies(made.public_spki, kind, message, signature));
      EXPECT_FALSE(Verifies(made.public_spki, kind, message + "x", signature));
    }
    EXPECT_THAT(token->Sign(id, std::string(kMaxInput + 1, 'x')), StatusIs(Code::kInvalidArgument, HasSubstr("limit")));
    if (kind == KeyKind::kEd25519) {
      EXPECT_THAT(token->SignDigest(id, crypto::Sha256("m")), StatusIs(Code::kInvalidArgument, HasSubstr("RFC 8032")));
      EXPECT_OK(crypto::Ed25519PublicKey::FromBytes(made.public_raw));
    } else {
      ASSERT_OK_AND_ASSIGN(const std::string signature, token->SignDigest(id, crypto::Sha256("message")));
      EXPECT_TRUE(Verifies(made.public_spki, kind, "message", signature));
    }
    ASSERT_OK_AND_ASSIGN(const KeyInfo found, token->Find(id));
    EXPECT_EQ(found.public_spki, made.public_spki);
    EXPECT_EQ(found.public_raw, made.public_raw);
    EXPECT_EQ(found.label, made.label);
  }
  ASSERT_OK_AND_ASSIGN(const KeyInfo ec, token->Find("id-EC P-256"));
  ASSERT_OK_AND_ASSIGN(const auto half, crypto::P256PublicKey::FromPoint(ec.public_raw));
  EXPECT_EQ(half.spki(), ec.public_spki);
  EXPECT_THAT(token->ListIds(), IsOkAndHolds(ElementsAre("id-EC P-256", "id-Ed25519", "id-RSA-2048")));
}

TEST_F(TokenTest, KeysOutliveTheProcessAndItsLogin) {
  KeyInfo made;
  {
    const auto token = Open();
    ASSERT_OK_AND_ASSIGN(made, token->Generate({.id = "k", .label = "l"}));
  }
  const auto token = Open();
  ASSERT_OK_AND_ASSIGN(const KeyInfo found, token->Find("k"));
  EXPECT_EQ(found.public_spki, made.public_spki);
  ASSERT_OK_AND_ASSIGN(const std::string signature, token->Sign("k", "m"));
  EXPECT_TRUE(Verifies(made.public_spki, KeyKind::kEcP256, "m", signature));
}

TEST_F(TokenTest, ExportOnceThenNeverAgain) {
  const auto token = Open();
  const crypto::Secret transport = crypto::Secret::Random(32);
  for (const KeyKind kind : kPairs) {
    SCOPED_TRACE(KeyKindName(kind));
    const std::string id(KeyKindName(kind));
    ASSERT_OK_AND_ASSIGN(const KeyInfo made, token->Generate({.kind = kind, .id = id, .exportable = true}));
    EXPECT_TRUE(made.exportable);
    if (kind == KeyKind::kEd25519) {  // which SoftHSM 2.6 wraps under nothing
      EXPECT_THAT(token->ExportWrapped(id, transport), ReasonIs("CKR_KEY_NOT_WRAPPABLE"));
      EXPECT_OK(token->LockExport(id));
      continue;
    }
    ASSERT_OK_AND_ASSIGN(const std::string wrapped, token->ExportWrapped(id, transport));
    const std::string pkcs8 = OpenSslUnwrap(transport, wrapped);
    const auto* at = reinterpret_cast<const unsigned char*>(pkcs8.data());
    const crypto::EvpPkeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(pkcs8.size())));
    ASSERT_NE(key, nullptr) << HexEncode(pkcs8);
    unsigned char* spki = nullptr;
    const int size = i2d_PUBKEY(key.get(), &spki);
    EXPECT_EQ(std::string(reinterpret_cast<char*>(spki), static_cast<std::size_t>(size)), made.public_spki);
    OPENSSL_free(spki);
    EXPECT_THAT(OpenSslUnwrap(crypto::Secret::Random(32), wrapped), IsEmpty());

    EXPECT_OK(token->LockExport(id));
    EXPECT_OK(token->LockExport(id));
    EXPECT_THAT(
        token->ExportWrapped(id, transport),
        AllOf(StatusIs(Code::kFailedPrecondition, HasSubstr("may not leave")), ReasonIs("CKR_KEY_UNEXTRACTABLE")));
    ASSERT_OK_AND_ASSIGN(const KeyInfo locked, token->Find(id));
    EXPECT_FALSE(locked.exportable);
    EXPECT_TRUE(locked.was_exportable);
    EXPECT_OK(token->Sign(id, "m"));
  }
  ASSERT_OK(token->Generate({.id = "never"}));
  EXPECT_THAT(token->ExportWrapped("never", transport), ReasonIs("CKR_KEY_UNEXTRACTABLE"));
  EXPECT_THAT(token->ExportWrapped("never", crypto::Secret::Random(16)), StatusIs(Code::kInvalidArgument));
}

TEST_F(TokenTest, BringsAWrappedKeyIn) {
  const auto token = Open();
  const crypto::Secret transport = crypto::Secret::Random(32);
  for (const KeyKind kind : {KeyKind::kEcP256, KeyKind::kRsa2048}) {
    SCOPED_TRACE(KeyKindName(kind));
    ASSERT_OK_AND_ASSIGN(const KeyInfo made, token->Generate({.kind = kind, .id = "from", .exportable = true}));
    ASSERT_OK_AND_ASSIGN(const std::string wrapped, token->ExportWrapped("from", transport));
    ASSERT_OK(token->Destroy("from"));
    const KeySpec spec{.kind = kind, .id = "to", .label = "brought"};
    EXPECT_THAT(token->ImportWrapped(spec, wrapped, crypto::Secret::Random(32), made.public_spki),
                StatusIs(Code::kDataLoss));
    EXPECT_THAT(token->ImportWrapped(spec, wrapped.substr(8), transport, made.public_spki), StatusIs(Code::kDataLoss));
    EXPECT_THAT(token->ImportWrapped(spec, wrapped, transport, "no key"), StatusIs(Code::kInvalidArgument));
    EXPECT_THAT(token->ListIds(), IsOkAndHolds(IsEmpty()));
    ASSERT_OK_AND_ASSIGN(const KeyInfo brought, token->ImportWrapped(spec, wrapped, transport, made.public_spki));
    EXPECT_EQ(brought.public_spki, made.public_spki);
    EXPECT_FALSE(brought.exportable);
    EXPECT_TRUE(brought.was_exportable);
    EXPECT_FALSE(brought.made_here);
    ASSERT_OK_AND_ASSIGN(const std::string signature, token->Sign("to", "m"));
    EXPECT_TRUE(Verifies(made.public_spki, kind, "m", signature));
    EXPECT_THAT(token->ExportWrapped("to", transport), ReasonIs("CKR_KEY_UNEXTRACTABLE"));
    EXPECT_THAT(token->ImportWrapped(spec, wrapped, transport, made.public_spki), StatusIs(Code::kAlreadyExists));
    ASSERT_OK(token->Destroy("to"));
  }
  EXPECT_THAT(token->ImportWrapped({.kind = KeyKind::kEd25519, .id = "k"}, "", transport, ""),
              StatusIs(Code::kInvalidArgument));
}

TEST_F(TokenTest, TheLockHoldsForEveryLaterProcess) {
  {
    const auto token = Open();
    ASSERT_OK(token->Generate({.id = "k", .exportable = true}));
    ASSERT_OK(token->LockExport("k"));
  }
  const auto token = Open();
  EXPECT_THAT(token->ExportWrapped("k", crypto::Secret::Random(32)), ReasonIs("CKR_KEY_UNEXTRACTABLE"));
}

TEST_F(TokenTest, AnIdIsUsedOnce) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k"}));
  for (const KeyKind kind : {KeyKind::kEcP256, KeyKind::kAes256}) {
    EXPECT_THAT(token->Generate({.kind = kind, .id = "k"}), StatusIs(Code::kAlreadyExists, HasSubstr("6b")));
  }
  EXPECT_THAT(token->ListIds(), IsOkAndHolds(SizeIs(1)));
}

TEST_F(TokenTest, DestroyedIsGone) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k"}));
  ASSERT_OK(token->Sign("k", "m"));
  EXPECT_OK(token->Destroy("k"));
  EXPECT_THAT(token->Sign("k", "m"), StatusIs(Code::kNotFound, HasSubstr("no key with id 6b")));
  EXPECT_THAT(token->Find("k"), StatusIs(Code::kNotFound));
  EXPECT_THAT(token->Destroy("k"), StatusIs(Code::kNotFound));
  EXPECT_THAT(token->ListIds(), IsOkAndHolds(IsEmpty()));
  EXPECT_OK(token->Generate({.id = "k"}));
}

// Handles are remembered; what another process deleted must be noticed.
TEST_F(TokenTest, AKeyThatVanishedBehindOurBackIsNotFound) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k"}));
  ASSERT_OK(token->Sign("k", "m"));
  {
    const auto other = Open();
    ASSERT_OK(other->Destroy("k"));
  }
  EXPECT_THAT(token->Sign("k", "m"), StatusIs(Code::kNotFound));
  EXPECT_OK(token->Check());
}

TEST_F(TokenTest, SealsUnderAKeyThatNeverLeaves) {
  const auto token = Open();
  ASSERT_OK_AND_ASSIGN(const KeyInfo kek, token->Generate({.kind = KeyKind::kAes256, .id = "kek"}));
  EXPECT_THAT(kek.public_spki, IsEmpty());
  const crypto::Secret plain = crypto::Secret::Random(32);
  ASSERT_OK_AND_ASSIGN(const std::string sealed, token->Seal("kek", "record 1", plain));
  ASSERT_OK_AND_ASSIGN(const std::string again, token->Seal("kek", "record 1", plain));
  EXPECT_NE(sealed, again);
  EXPECT_EQ(sealed.size(), 12U + 32U + 16U);
  ASSERT_OK_AND_ASSIGN(const crypto::Secret opened, token->Unseal("kek", "record 1", sealed));
  EXPECT_EQ(opened.view(), plain.view());

  EXPECT_THAT(token->Unseal("kek", "record 2", sealed), StatusIs(Code::kDataLoss));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_THAT(token->Unseal("kek", "record 1", changed), StatusIs(Code::kDataLoss)) << i;
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{12}, std::size_t{28}, sealed.size() - 1}) {
    EXPECT_THAT(token->Unseal("kek", "record 1", sealed.substr(0, size)), StatusIs(Code::kDataLoss)) << size;
  }
  EXPECT_THAT(token->Seal("kek", "", crypto::Secret()), StatusIs(Code::kInvalidArgument));
  ASSERT_OK(token->Generate({.id = "ec"}));
  EXPECT_THAT(token->Seal("ec", "", plain), StatusIs(Code::kInvalidArgument, HasSubstr("EC P-256, not AES-256")));
  EXPECT_THAT(token->Sign("kek", "m"), StatusIs(Code::kInvalidArgument, HasSubstr("signs nothing")));
  EXPECT_THAT(token->ExportWrapped("kek", crypto::Secret::Random(32)), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(token->Generate({.kind = KeyKind::kAes256, .id = "x", .exportable = true}),
              StatusIs(Code::kInvalidArgument, HasSubstr("never leaves")));
}

TEST_F(TokenTest, WrapsSecretsUnderAKeyThatNeverLeaves) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.kind = KeyKind::kAes256, .id = "kek", .aes_use = AesUse::kWrap}));
  ASSERT_OK(token->Generate({.kind = KeyKind::kAes256, .id = "other", .aes_use = AesUse::kWrap}));
  for (const std::size_t size : {16U, 24U, 32U}) {
    const crypto::Secret secret = crypto::Secret::Random(size);
    ASSERT_OK_AND_ASSIGN(const std::string wrapped, token->Wrap("kek", secret));
    EXPECT_EQ(wrapped.size(), size + 8);
    ASSERT_OK_AND_ASSIGN(const crypto::Secret unwrapped, token->Unwrap("kek", wrapped));
    EXPECT_EQ(unwrapped.view(), secret.view());
    EXPECT_THAT(token->Unwrap("other", wrapped), StatusIs(Code::kDataLoss));
    std::string changed = wrapped;
    changed[3] = static_cast<char>(changed[3] ^ 1);
    EXPECT_THAT(token->Unwrap("kek", changed), StatusIs(Code::kDataLoss));
  }
  EXPECT_THAT(token->Wrap("kek", crypto::Secret::Random(31)), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(token->Unwrap("kek", std::string(23, 'x')), StatusIs(Code::kDataLoss));
  EXPECT_THAT(token->Unwrap("kek", std::string(65536, 'x')), StatusIs(Code::kDataLoss));
  EXPECT_THAT(token->ListIds(), IsOkAndHolds(SizeIs(2)));  // nothing of the session stays
}

// One use for one key: see AesUse.
TEST_F(TokenTest, AKeyThatWrapsDoesNotDecrypt) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.kind = KeyKind::kAes256, .id = "wraps", .aes_use = AesUse::kWrap}));
  ASSERT_OK(token->Generate({.kind = KeyKind::kAes256, .id = "seals", .aes_use = AesUse::kSeal}));
  const crypto::Secret secret = crypto::Secret::Random(32);
  EXPECT_THAT(token->Seal("wraps", "", secret), ReasonIs("CKR_KEY_FUNCTION_NOT_PERMITTED"));
  EXPECT_THAT(token->Unseal("wraps", "", std::string(60, 'x')), ReasonIs("CKR_KEY_FUNCTION_NOT_PERMITTED"));
  EXPECT_THAT(token->Wrap("seals", secret), ReasonIs("CKR_KEY_FUNCTION_NOT_PERMITTED"));
  EXPECT_THAT(token->Unwrap("seals", std::string(40, 'x')), ReasonIs("CKR_KEY_FUNCTION_NOT_PERMITTED"));
}

TEST_F(TokenTest, RefusesSpecsAndIdsOutsideTheirLimits) {
  const auto token = Open();
  EXPECT_THAT(token->Generate({.id = ""}), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(token->Generate({.id = std::string(kMaxKeyId + 1, 'x')}), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(token->Generate({.id = "k", .label = std::string(kMaxKeyLabel + 1, 'x')}),
              StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(token->Generate({.id = "k", .label = "\xff"}), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(token->Sign("", "m"), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(token->Find(std::string(1 << 20, 'x')), StatusIs(Code::kInvalidArgument));
  const std::string odd("\x00\xff\x01", 3);
  ASSERT_OK(token->Generate({.id = odd}));
  EXPECT_OK(token->Sign(odd, "m"));
}

TEST_F(TokenTest, ChosenByLabelSerialOrUri) {
  soft_.Add("another");
  const auto token = Open();
  const TokenFacts facts = token->facts();
  EXPECT_EQ(facts.label, "virp-test");
  EXPECT_FALSE(facts.serial.empty());
  TokenOptions by_serial = soft_.Options();
  by_serial.selector = {.serial = facts.serial};
  ASSERT_OK_AND_ASSIGN(const auto same, Token::Open(by_serial));
  EXPECT_EQ(same->facts().label, "virp-test");
  ASSERT_OK_AND_ASSIGN(const TokenUri uri, ParseTokenUri("pkcs11:token=another;serial=" + facts.serial));
  TokenOptions wrong = soft_.Options();
  wrong.selector = uri.token;
  EXPECT_THAT(Token::Open(wrong),
              StatusIs(Code::kUnavailable, AllOf(HasSubstr("is not there"), HasSubstr("'another'"))));
  wrong.selector = {};
  EXPECT_THAT(Token::Open(wrong), StatusIs(Code::kInvalidArgument));
  wrong.selector = {.manufacturer = "SoftHSM project"};
  EXPECT_THAT(Token::Open(wrong), StatusIs(Code::kFailedPrecondition, HasSubstr("more than one")));
}

TEST_F(TokenTest, AMissingTokenIsUnavailableAndMayComeLater) {
  TokenOptions options = soft_.Options();
  options.selector = {.label = "later"};
  options.restart_interval = {};
  EXPECT_THAT(Token::Open(options), StatusIs(Code::kUnavailable, HasSubstr("'later' is not there")));
  ASSERT_OK_AND_ASSIGN(const auto token, Token::OpenLater(options));
  EXPECT_THAT(token->Sign("k", "m"), StatusIs(Code::kUnavailable));
  EXPECT_THAT(token->Generate({.id = "k"}), StatusIs(Code::kUnavailable));
  soft_.Add("later");
  EXPECT_OK(token->Generate({.id = "k"}));
  EXPECT_EQ(token->facts().label, "later");
}

TEST_F(TokenTest, AWrongPinIsTriedOnceUntilItsFileChanges) {
  soft_.SetPin("wrong");
  EXPECT_THAT(Token::Open(soft_.Options()),
              AllOf(StatusIs(Code::kFailedPrecondition, HasSubstr("PIN is wrong")), ReasonIs(kLoginFailed)));
  ASSERT_OK_AND_ASSIGN(const auto token, Token::OpenLater(soft_.Options()));
  const absl::Status refused = token->Check();
  EXPECT_THAT(refused, ReasonIs(kLoginFailed));
  EXPECT_EQ(GetMetadata(refused)["why"], "CKR_PIN_INCORRECT");
  EXPECT_THAT(token->Sign("k", "m"), StatusIs(Code::kFailedPrecondition, HasSubstr("not tried again")));
  soft_.SetPin("1234-right");
  EXPECT_OK(token->Check());
  EXPECT_OK(token->Generate({.id = "k"}));
}

TEST_F(TokenTest, NoUsablePinFile) {
  TokenOptions options = soft_.Options();
  options.pin_file = soft_.File("none");
  EXPECT_THAT(Token::Open(options),
              AllOf(StatusIs(Code::kFailedPrecondition, HasSubstr("none")), ReasonIs(kLoginFailed)));
  ASSERT_OK_AND_ASSIGN(const auto token, Token::OpenLater(options));
  // Not that there is no such key.
  EXPECT_THAT(token->Destroy("k"), StatusIs(Code::kFailedPrecondition));
  EXPECT_THAT(token->Find("k"), StatusIs(Code::kFailedPrecondition));
  std::filesystem::permissions(soft_.pin_file(), std::filesystem::perms(0444));
  EXPECT_THAT(Token::Open(soft_.Options()), StatusIs(Code::kFailedPrecondition, HasSubstr("0444")));
}

TEST_F(TokenTest, TwoTokensOfOneModuleBesideEachOther) {
  soft_.Add("second");
  TokenOptions options = soft_.Options();
  options.selector = {.label = "second"};
  auto first = Open();
  ASSERT_OK_AND_ASSIGN(const auto second, Token::Open(options));
  ASSERT_OK(first->Generate({.id = "k"}));
  ASSERT_OK(second->Generate({.id = "k"}));
  ASSERT_OK_AND_ASSIGN(const KeyInfo a, first->Find("k"));
  ASSERT_OK_AND_ASSIGN(const KeyInfo b, second->Find("k"));
  EXPECT_NE(a.public_spki, b.public_spki);
  first.reset();
  EXPECT_OK(second->Sign("k", "m"));  // the module is not finalised under it
}

TEST_F(TokenTest, ManyThreadsThroughFewSessions) {
  TokenOptions options = soft_.Options();
  options.max_sessions = 2;
  ASSERT_OK_AND_ASSIGN(const auto token, Token::Open(options));
  ASSERT_OK_AND_ASSIGN(const KeyInfo key, token->Generate({.id = "shared"}));
  constexpr int kThreads = 6;
  constexpr int kRounds = 20;
  std::vector<std::vector<std::string>> signatures(kThreads);
  std::vector<absl::Status> made(kThreads);
  std::vector<absl::Status> raced(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const auto at = static_cast<std::size_t>(t);
      const std::string own = "own-" + std::to_string(t);
      made[at] = token->Generate({.id = own}).status();
      raced[at] = token->Generate({.id = "same"}).status();
      for (int i = 0; i < kRounds; ++i) {
        auto signature = token->Sign("shared", std::to_string(i));
        signatures[at].push_back(signature.ok() ? *signature : signature.status().ToString());
        if (!token->Sign(own, "m").ok()) made[at] = Internal("own key does not sign");
      }
      made[at].Update(token->Destroy(own));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t t = 0; t < kThreads; ++t) {
    EXPECT_OK(made[t]);
    ASSERT_EQ(signatures[t].size(), static_cast<std::size_t>(kRounds));
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_TRUE(
          Verifies(key.public_spki, KeyKind::kEcP256, std::to_string(i), signatures[t][static_cast<std::size_t>(i)]))
          << signatures[t][static_cast<std::size_t>(i)];
    }
  }
  EXPECT_EQ(std::ranges::count_if(raced, [](const absl::Status& status) { return status.ok(); }), 1);
  EXPECT_THAT(token->ListIds(), IsOkAndHolds(ElementsAre("same", "shared")));
}

}  // namespace
}  // namespace virp::pkcs11
