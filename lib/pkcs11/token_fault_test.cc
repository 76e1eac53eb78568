// What tokens do on bad days, by a module in front of SoftHSM that fails as it is told (tests/testutil/faulty_pkcs11).
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/pkcs11/objects.h"
#include "lib/pkcs11/token.h"
#include "tests/testutil/must.h"
#include "tests/testutil/soft_token.h"
#include "tests/testutil/status_matchers.h"

namespace virp::pkcs11 {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testutil::IsOkAndHolds;
using testutil::ReasonIs;
using testutil::StatusIs;
using Code = absl::StatusCode;

class TokenFaultTest : public ::testing::Test {
 protected:
  TokenOptions Options() {
    TokenOptions options = soft_.Options();
    options.module_path = faulty_.path();
    return options;
  }
  std::unique_ptr<Token> Open() { return testutil::Must(Token::Open(Options())); }
  // The module as another part of the same process would have it.
  CK_FUNCTION_LIST& Direct() {
    CK_FUNCTION_LIST* list = nullptr;
    reinterpret_cast<CK_C_GetFunctionList>(faulty_.get_list())(&list);
    return *list;
  }
  CK_SLOT_ID Slot() {
    CK_SLOT_ID slots[8];
    CK_ULONG count = 8;
    EXPECT_EQ(Direct().C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; ++i) {
      CK_TOKEN_INFO info{};
      Direct().C_GetTokenInfo(slots[i], &info);
      if ((info.flags & CKF_TOKEN_INITIALIZED) != 0) return slots[i];
    }
    return 0;
  }

  testutil::SoftToken soft_;
  testutil::FaultyModule faulty_{soft_};
};

TEST_F(TokenFaultTest, LostSessionsAreOpenedAgain) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k"}));
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(Direct().C_CloseAllSessions(Slot()), CKR_OK);  // and with them the login
    EXPECT_OK(token->Sign("k", "m"));
    ASSERT_EQ(Direct().C_CloseAllSessions(Slot()), CKR_OK);
    EXPECT_OK(token->Check());
    ASSERT_EQ(Direct().C_CloseAllSessions(Slot()), CKR_OK);
    EXPECT_OK(token->Generate({.id = "k" + std::to_string(round)}));
    ASSERT_EQ(Direct().C_CloseAllSessions(Slot()), CKR_OK);
    EXPECT_OK(token->Find("k"));
  }
}

// A session that is not logged in shows no private objects: "not found" would be a lie.
TEST_F(TokenFaultTest, ALogoutByOthersIsNoLossOfKeys) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k", .exportable = true}));
  const auto log_out = [&] {
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    ASSERT_EQ(Direct().C_OpenSession(Slot(), CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session), CKR_OK);
    ASSERT_EQ(Direct().C_Logout(session), CKR_OK);
    ASSERT_EQ(Direct().C_CloseSession(session), CKR_OK);
  };
  log_out();
  EXPECT_OK(token->Sign("k", "m"));
  log_out();
  EXPECT_OK(token->Find("k"));
  log_out();
  EXPECT_THAT(token->Generate({.id = "k"}), StatusIs(Code::kAlreadyExists));
  log_out();
  EXPECT_THAT(token->ListIds(), IsOkAndHolds(ElementsAre("k")));
  log_out();
  EXPECT_OK(token->LockExport("k"));
  log_out();
  EXPECT_OK(token->Destroy("k"));
  log_out();
  EXPECT_THAT(token->Sign("k", "m"), StatusIs(Code::kNotFound));
}

TEST_F(TokenFaultTest, ATokenThatWasPulledOutIsFoundAgain) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k"}));
  for (const CK_RV code : {CKR_DEVICE_REMOVED, CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT, CKR_SESSION_CLOSED}) {
    faulty_.Fail("C_Sign", code);
    EXPECT_OK(token->Sign("k", "m")) << CodeName(code);
  }
  faulty_.Fail("C_Sign", CKR_DEVICE_REMOVED, 0, 2);  // and once more after it was found again
  EXPECT_THAT(token->Sign("k", "m"),
              AllOf(StatusIs(Code::kUnavailable, HasSubstr("plugged in")), ReasonIs("CKR_DEVICE_REMOVED")));
  EXPECT_OK(token->Sign("k", "m"));
  faulty_.Fail("C_OpenSession", CKR_TOKEN_NOT_PRESENT, 0, 100);
  ASSERT_EQ(Direct().C_CloseAllSessions(Slot()), CKR_OK);
  EXPECT_THAT(token->Sign("k", "m"), StatusIs(Code::kUnavailable));
  EXPECT_THAT(token->Check(), StatusIs(Code::kUnavailable));
  faulty_.Reset();
  EXPECT_OK(token->Sign("k", "m"));
}

// What failed for another reason than a lost session is not tried again behind the caller's back.
TEST_F(TokenFaultTest, OtherFailuresAreToldAsTheyAre) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k"}));
  const int before = faulty_.Calls("C_Sign");
  faulty_.Fail("C_Sign", CKR_GENERAL_ERROR);
  EXPECT_THAT(token->Sign("k", "m"), StatusIs(Code::kUnavailable, HasSubstr("C_Sign: the module failed")));
  EXPECT_EQ(faulty_.Calls("C_Sign"), before + 1);
  faulty_.Fail("C_SignInit", CKR_VENDOR_DEFINED | 0x123UL);
  EXPECT_THAT(token->Sign("k", "m"), StatusIs(Code::kUnavailable, HasSubstr("(CKR 0x80000123)")));
  faulty_.Fail("C_SignInit", CKR_MECHANISM_INVALID);
  EXPECT_THAT(token->Sign("k", "m"), StatusIs(Code::kUnimplemented, HasSubstr("list of mechanisms")));
  EXPECT_OK(token->Sign("k", "m"));
}

// CKR_GENERAL_ERROR and CKR_FUNCTION_FAILED are what modules say of damaged bytes, and of a broken link as well.
TEST_F(TokenFaultTest, ABrokenLinkIsNoDamage) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.kind = KeyKind::kAes256, .id = "seals", .aes_use = AesUse::kSeal}));
  ASSERT_OK(token->Generate({.kind = KeyKind::kAes256, .id = "wraps", .aes_use = AesUse::kWrap}));
  const crypto::Secret secret = crypto::Secret::Random(32);
  ASSERT_OK_AND_ASSIGN(const std::string sealed, token->Seal("seals", "of a key", secret));
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, token->Wrap("wraps", secret));
  const auto unseal = [&](std::string_view text) { return token->Unseal("seals", "of a key", text).status(); };
  const auto unwrap = [&](std::string_view text) { return token->Unwrap("wraps", text).status(); };
  for (const CK_RV code : {CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED}) {
    faulty_.Fail("C_Decrypt", code);
    faulty_.Fail("C_UnwrapKey", code);
    EXPECT_OK(unseal(sealed)) << "it passed";
    EXPECT_OK(unwrap(wrapped));
    faulty_.Fail("C_Decrypt", code, 0, 100);
    faulty_.Fail("C_UnwrapKey", code, 0, 100);
    EXPECT_THAT(unseal(sealed), StatusIs(Code::kUnavailable, HasSubstr("made just now")));
    EXPECT_THAT(unwrap(wrapped), StatusIs(Code::kUnavailable, HasSubstr("made just now")));
    faulty_.Reset();
    EXPECT_OK(unseal(sealed));
    EXPECT_OK(unwrap(wrapped));
  }
  std::string bad_sealed = sealed, bad_wrapped = wrapped;
  bad_sealed.back() = static_cast<char>(bad_sealed.back() ^ 1);
  bad_wrapped.back() = static_cast<char>(bad_wrapped.back() ^ 1);
  EXPECT_THAT(unseal(bad_sealed), StatusIs(Code::kDataLoss));
  EXPECT_THAT(unwrap(bad_wrapped), StatusIs(Code::kDataLoss));
}

// A pair may have been made before the token went: making it again could leave two.
TEST_F(TokenFaultTest, MakingIsNotRepeatedWhenItsOutcomeIsUnclear) {
  const auto token = Open();
  faulty_.FailAfter("C_GenerateKeyPair", CKR_DEVICE_REMOVED);
  EXPECT_THAT(token->Generate({.id = "k"}), StatusIs(Code::kUnavailable));
  EXPECT_EQ(faulty_.Calls("C_GenerateKeyPair"), 1);
  EXPECT_THAT(token->Generate({.id = "k"}), StatusIs(Code::kAlreadyExists));
  EXPECT_OK(token->Destroy("k"));
  faulty_.Fail("C_GenerateKeyPair", CKR_SESSION_HANDLE_INVALID);  // says that nothing was made
  EXPECT_OK(token->Generate({.id = "k"}));
}

TEST_F(TokenFaultTest, DestructionGoesOnOverALostToken) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k"}));
  faulty_.FailAfter("C_DestroyObject", CKR_DEVICE_REMOVED);
  EXPECT_OK(token->Destroy("k"));
  EXPECT_THAT(token->Find("k"), StatusIs(Code::kNotFound));
}

TEST_F(TokenFaultTest, ATokenThatDoesNotKeepItsWord) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k", .exportable = true}));
  faulty_.Do("C_SetAttributeValue", kFaultyPretend);
  EXPECT_THAT(token->LockExport("k"), StatusIs(Code::kFailedPrecondition, HasSubstr("and did not")));
  faulty_.Do("C_DestroyObject", kFaultyPretend, 2);
  EXPECT_THAT(token->Destroy("k"), StatusIs(Code::kUnavailable, HasSubstr("still has it")));
  for (const FaultyMode mode : {kFaultyHuge, kFaultyShort}) {
    faulty_.Do("C_Sign", mode);
    EXPECT_THAT(token->Sign("k", "m"), StatusIs(Code::kUnavailable, HasSubstr("signature of")));
  }
  faulty_.Do("C_WrapKey", kFaultyHuge);
  EXPECT_THAT(token->ExportWrapped("k", crypto::Secret::Random(32)),
              StatusIs(Code::kUnavailable, HasSubstr("wrapped key of")));
  ASSERT_OK(token->Generate({.kind = KeyKind::kAes256, .id = "kek"}));
  ASSERT_OK_AND_ASSIGN(const std::string sealed, token->Seal("kek", "", crypto::Secret::Random(32)));
  for (const FaultyMode mode : {kFaultyHuge, kFaultyShort}) {
    faulty_.Do("C_Encrypt", mode);
    EXPECT_THAT(token->Seal("kek", "", crypto::Secret::Random(32)), StatusIs(Code::kUnavailable));
    faulty_.Do("C_Decrypt", mode);
    EXPECT_THAT(token->Unseal("kek", "", sealed), StatusIs(Code::kUnavailable));
  }
  EXPECT_OK(token->Unseal("kek", "", sealed));
}

// What was there before is not cleared away with what an import left.
TEST_F(TokenFaultTest, AnImportThatFailsEarlyDestroysNothing) {
  const auto token = Open();
  ASSERT_OK_AND_ASSIGN(const KeyInfo there, token->Generate({.id = "k", .exportable = true}));
  const crypto::Secret transport = crypto::Secret::Random(32);
  ASSERT_OK_AND_ASSIGN(const std::string wrapped, token->ExportWrapped("k", transport));
  faulty_.Fail("C_FindObjectsInit", CKR_FUNCTION_FAILED);
  EXPECT_THAT(token->ImportWrapped({.id = "k"}, wrapped, transport, there.public_spki), StatusIs(Code::kUnavailable));
  EXPECT_OK(token->Sign("k", "m"));
  faulty_.Fail("C_CreateObject", CKR_DEVICE_MEMORY, 1);  // behind the transport key: the public half
  EXPECT_THAT(token->ImportWrapped({.id = "new"}, wrapped, transport, there.public_spki),
              AllOf(StatusIs(Code::kResourceExhausted), ReasonIs("CKR_DEVICE_MEMORY")));
  EXPECT_THAT(token->ListIds(), IsOkAndHolds(ElementsAre("k")));
}

// The token made something, and it is not what was asked for: it goes again.
TEST_F(TokenFaultTest, AKeyThatCannotBeCheckedIsDestroyed) {
  const auto token = Open();
  faulty_.Fail("C_GetAttributeValue", CKR_GENERAL_ERROR, 3);
  EXPECT_THAT(token->Generate({.id = "k"}), StatusIs(Code::kUnavailable));
  faulty_.Reset();
  EXPECT_THAT(token->ListIds(), IsOkAndHolds(IsEmpty()));
}

TEST_F(TokenFaultTest, PinsThatAreNoUse) {
  struct Case {
    CK_RV code;
    const char* text;
  };
  for (const Case& each : {Case{CKR_PIN_LOCKED, "security officer"}, Case{CKR_PIN_EXPIRED, "expired"},
                           Case{CKR_USER_PIN_NOT_INITIALIZED, "no user PIN"}, Case{CKR_PIN_LEN_RANGE, "too long"},
                           Case{CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "log out"}}) {
    faulty_.Fail("C_Login", each.code);
    EXPECT_THAT(Token::Open(Options()), StatusIs(Code::kFailedPrecondition, HasSubstr(each.text)));
  }
  EXPECT_OK(Token::Open(Options()));
}

TEST_F(TokenFaultTest, TriesAreNotWasted) {
  struct Case {
    CK_FLAGS flags;
    const char* text;
  };
  for (const Case& each : {Case{CKF_USER_PIN_LOCKED, "is locked"}, Case{CKF_USER_PIN_FINAL_TRY, "would lock"},
                           Case{CKF_PROTECTED_AUTHENTICATION_PATH, "key pad"}}) {
    faulty_.Flags(each.flags);
    EXPECT_THAT(Token::Open(Options()), StatusIs(Code::kFailedPrecondition, HasSubstr(each.text)));
  }
  EXPECT_EQ(faulty_.Calls("C_Login"), 0);
  faulty_.Flags(0);
  soft_.SetPin("wrong");
  ASSERT_OK_AND_ASSIGN(const auto token, Token::OpenLater(Options()));
  for (int i = 0; i < 5; ++i) EXPECT_THAT(token->Sign("k", "m"), ReasonIs(kLoginFailed));
  EXPECT_EQ(faulty_.Calls("C_Login"), 1);
}

TEST_F(TokenFaultTest, FewerSessionsThanWanted) {
  TokenOptions options = Options();
  options.patience = std::chrono::milliseconds(10'000);
  ASSERT_OK_AND_ASSIGN(const auto token, Token::Open(options));
  ASSERT_OK(token->Generate({.id = "k"}));
  // From now on the token has no other session than the anchor and one.
  faulty_.Fail("C_OpenSession", CKR_SESSION_COUNT, 0, 1'000'000);
  std::vector<std::thread> threads;
  std::vector<absl::Status> results(4);
  for (std::size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) results[t].Update(token->Sign("k", "m").status());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) EXPECT_OK(result);
}

TEST_F(TokenFaultTest, LossesUnderManyThreads) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k"}));
  faulty_.Fail("C_Sign", CKR_DEVICE_REMOVED, 30, 1);
  std::vector<std::thread> threads;
  std::vector<absl::Status> results(4);
  std::vector<int> failed(4);
  for (std::size_t t = 0; t < results.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const absl::Status status = token->Sign("k", "m").status();
        // While one thread connects again, what the others hold goes too: at most one call of each may be told so.
        if (!status.ok()) ++failed[t];
        results[t].Update(status.code() == Code::kUnavailable ? absl::OkStatus() : status);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) EXPECT_OK(result);
  for (const int count : failed) EXPECT_EQ(count, 0);
  EXPECT_OK(token->Sign("k", "m"));
}

TEST_F(TokenFaultTest, TwoKeysWithOneIdAreNotChosenBetween) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k"}));
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  ASSERT_EQ(Direct().C_OpenSession(Slot(), CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session), CKR_OK);
  const KeySpec spec{.kind = KeyKind::kAes256, .id = "k"};
  CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
  Template wanted = AesTemplate(spec);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  ASSERT_EQ(Direct().C_GenerateKey(session, &mechanism, wanted.data(), wanted.size(), &handle), CKR_OK);
  ASSERT_EQ(Direct().C_CloseSession(session), CKR_OK);
  const auto fresh = Open();  // remembers no handle
  EXPECT_THAT(fresh->Sign("k", "m"), StatusIs(Code::kFailedPrecondition, HasSubstr("2 keys have the id")));
  EXPECT_OK(fresh->Destroy("k"));
  EXPECT_THAT(fresh->ListIds(), IsOkAndHolds(IsEmpty()));
}

TEST_F(TokenFaultTest, ALostPublicHalfIsTold) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.id = "k"}));
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  ASSERT_EQ(Direct().C_OpenSession(Slot(), CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session), CKR_OK);
  const Link link{.f = Direct(), .session = session, .generation = 0};
  ASSERT_OK_AND_ASSIGN(const KeyObjects objects, FindKeyObjects(link, "k"));
  ASSERT_EQ(objects.others.size(), 1U);
  ASSERT_EQ(Direct().C_DestroyObject(session, objects.others.front()), CKR_OK);
  ASSERT_EQ(Direct().C_CloseSession(session), CKR_OK);
  EXPECT_THAT(token->Find("k"), StatusIs(Code::kFailedPrecondition, HasSubstr("public half is not on the token")));
  EXPECT_OK(token->Sign("k", "m"));
  EXPECT_OK(token->Destroy("k"));
}

// What is on the token is as tight as it can be.
TEST_F(TokenFaultTest, AttributesAreTight) {
  const auto token = Open();
  ASSERT_OK(token->Generate({.kind = KeyKind::kRsa2048, .id = "k"}));
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  ASSERT_EQ(Direct().C_OpenSession(Slot(), CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session), CKR_OK);
  const Link link{.f = Direct(), .session = session, .generation = 0};
  ASSERT_OK_AND_ASSIGN(const KeyObjects objects, FindKeyObjects(link, "k"));
  const CK_OBJECT_HANDLE key = objects.private_or_secret.at(0);
  for (const CK_ATTRIBUTE_TYPE type :
       {CKA_PRIVATE, CKA_SENSITIVE, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_SIGN}) {
    EXPECT_THAT(ReadBool(link, key, type), IsOkAndHolds(true)) << type;
  }
  for (const CK_ATTRIBUTE_TYPE type : {CKA_EXTRACTABLE, CKA_DECRYPT, CKA_UNWRAP, CKA_DERIVE, CKA_SIGN_RECOVER}) {
    EXPECT_THAT(ReadBool(link, key, type), IsOkAndHolds(false)) << type;
  }
  EXPECT_THAT(ReadBytes(link, key, CKA_PRIVATE_EXPONENT),
              StatusIs(Code::kNotFound, HasSubstr("CKR_ATTRIBUTE_SENSITIVE")));
  Template unlock = Template().Bool(CKA_EXTRACTABLE, true);
  EXPECT_EQ(Direct().C_SetAttributeValue(session, key, unlock.data(), unlock.size()), CKR_ATTRIBUTE_READ_ONLY);
  ASSERT_EQ(Direct().C_CloseSession(session), CKR_OK);
}

class ModuleTest : public ::testing::Test {
 protected:
  absl::Status Try(const std::string& path) {
    TokenOptions options = soft_.Options();
    options.module_path = path;
    return Token::Open(options).status();
  }
  std::string Copy(const std::string& from, unsigned mode) {
    std::string path = soft_.File("module" + std::to_string(++count_) + ".so");
    std::filesystem::copy_file(from, path);
    std::filesystem::permissions(path, std::filesystem::perms(mode));
    return path;
  }
  testutil::SoftToken soft_;
  int count_ = 0;
};

TEST_F(ModuleTest, WhatIsNoModule) {
  EXPECT_THAT(Try("libsofthsm2.so"), StatusIs(Code::kInvalidArgument, HasSubstr("absolute")));
  EXPECT_THAT(Try(soft_.File("none.so")), StatusIs(Code::kNotFound, HasSubstr("none.so")));
  EXPECT_THAT(Try(soft_.tokens()), StatusIs(Code::kFailedPrecondition, HasSubstr("not a regular file")));
  std::ofstream(soft_.File("text.so")) << "hello";
  std::filesystem::permissions(soft_.File("text.so"), std::filesystem::perms(0644));
  EXPECT_THAT(Try(soft_.File("text.so")), StatusIs(Code::kFailedPrecondition, HasSubstr("not a shared library")));
  EXPECT_THAT(Try("/usr/lib/x86_64-linux-gnu/libz.so.1"),
              StatusIs(Code::kFailedPrecondition, HasSubstr("no C_GetFunctionList")));
}

TEST_F(ModuleTest, CodeThatOthersMayChangeIsNotRun) {
  for (const unsigned mode : {0775U, 0757U, 0777U}) {
    EXPECT_THAT(Try(Copy(testutil::kSoftHsmModule, mode)),
                StatusIs(Code::kFailedPrecondition, HasSubstr("chmod go-w")));
  }
}

TEST_F(ModuleTest, TroubleWhileItIsLoaded) {
  testutil::FaultyModule faulty(soft_);
  faulty.Fail("C_Initialize", CKR_CANT_LOCK);
  EXPECT_THAT(Try(faulty.path()), StatusIs(Code::kFailedPrecondition, HasSubstr("not made for threads")));
  faulty.Fail("C_Initialize", CKR_DEVICE_ERROR);
  EXPECT_THAT(Try(faulty.path()), StatusIs(Code::kUnavailable));
  faulty.Fail("C_GetSlotList", CKR_FUNCTION_FAILED, 0, 100);
  EXPECT_THAT(Try(faulty.path()), StatusIs(Code::kUnavailable));
  faulty.Reset();
  CK_FUNCTION_LIST* list = nullptr;
  ASSERT_EQ(reinterpret_cast<CK_C_GetFunctionList>(faulty.get_list())(&list), CKR_OK);
  const auto sign = std::exchange(list->C_Sign, nullptr);
  EXPECT_THAT(Try(faulty.path()), StatusIs(Code::kFailedPrecondition, HasSubstr("holes")));
  list->C_Sign = sign;
  const auto version = std::exchange(list->version, CK_VERSION{1, 0});
  EXPECT_THAT(Try(faulty.path()), StatusIs(Code::kFailedPrecondition, HasSubstr("version 1.0")));
  list->version = version;
  EXPECT_OK(Try(faulty.path()));
}

// Another part of the process has initialised it: it is used, and left as it was.
TEST_F(ModuleTest, OneThatIsInUseIsNotFinalised) {
  testutil::FaultyModule faulty(soft_);
  CK_FUNCTION_LIST* list = nullptr;
  ASSERT_EQ(reinterpret_cast<CK_C_GetFunctionList>(faulty.get_list())(&list), CKR_OK);
  ASSERT_EQ(list->C_Initialize(nullptr), CKR_OK);
  EXPECT_OK(Try(faulty.path()));
  EXPECT_EQ(faulty.Calls("C_Finalize"), 0);
  EXPECT_EQ(list->C_Finalize(nullptr), CKR_OK);
  EXPECT_OK(Try(faulty.path()));
  EXPECT_EQ(faulty.Calls("C_Finalize"), 2);
}

}  // namespace
}  // namespace virp::pkcs11
