#include "lib/vrp/signing_key.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "lib/base/file.h"
#include "lib/vrp/signature.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::vrp {
namespace {

using testutil::StatusIs;

class SigningKeyTest : public ::testing::TestWithParam<std::vector<std::string>> {
 protected:
  std::string KeyOf(std::vector<std::string> how) {
    std::vector<std::string> command{"/usr/bin/openssl", "genpkey", "-out", dir_.File("key")};
    command.insert(command.end(), how.begin(), how.end());
    EXPECT_EQ(testutil::RunProgram(command).exit, 0);
    return *ReadFile(dir_.File("key"));
  }
  testutil::TempDir dir_;
};

// Signed here, verified here and by openssl.
TEST_P(SigningKeyTest, WhatItSignsVerifies) {
  ASSERT_OK_AND_ASSIGN(const SigningKey key, SigningKey::FromPem(KeyOf(GetParam())));
  const std::string document(100'000, 'x');
  const std::string signature = key.Sign(document);
  ASSERT_OK_AND_ASSIGN(const SourceKey source, SourceKey::FromPem(key.PublicPem()));
  EXPECT_OK(source.VerifyDetached(document, signature));
  EXPECT_THAT(source.VerifyDetached(document + "x", signature), StatusIs(absl::StatusCode::kUnauthenticated));

  ASSERT_OK(ReplaceFile(dir_.File("pub"), key.PublicPem()));
  ASSERT_OK(ReplaceFile(dir_.File("document"), document));
  ASSERT_OK(ReplaceFile(dir_.File("sig"), signature));
  EXPECT_EQ(testutil::RunProgram({"/usr/bin/openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey",
                                  dir_.File("pub"), "-in", dir_.File("document"), "-sigfile", dir_.File("sig")})
                .exit,
            0);
}
INSTANTIATE_TEST_SUITE_P(Kinds, SigningKeyTest,
                         ::testing::Values(std::vector<std::string>{"-algorithm", "ed25519"},
                                           std::vector<std::string>{"-algorithm", "EC", "-pkeyopt",
                                                                    "ec_paramgen_curve:P-256"}));

TEST_F(SigningKeyTest, RefusesOtherKeys) {
  for (const std::string& wrong :
       {std::string(), std::string("-----BEGIN PRIVATE KEY-----\n"), KeyOf({"-algorithm", "x25519"}),
        KeyOf({"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"}), Ed25519PublicPem(std::string(32, 'x'))})
    EXPECT_THAT(SigningKey::FromPem(wrong), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong;
}

TEST_F(SigningKeyTest, OneOfSeveralKeysWillDo) {
  ASSERT_OK_AND_ASSIGN(const SigningKey old_key, SigningKey::FromPem(KeyOf({"-algorithm", "ed25519"})));
  ASSERT_OK_AND_ASSIGN(const SigningKey new_key, SigningKey::FromPem(KeyOf({"-algorithm", "ed25519"})));
  ASSERT_OK_AND_ASSIGN(const auto keys, SourceKey::ListFromPem(old_key.PublicPem() + new_key.PublicPem()));
  ASSERT_EQ(keys.size(), 2U);
  EXPECT_OK(keys[0].VerifyDetached("x", old_key.Sign("x")));
  EXPECT_OK(keys[1].VerifyDetached("x", new_key.Sign("x")));
  for (const std::string& wrong : {std::string(), old_key.PublicPem() + "-----BEGIN PUBLIC KEY-----\n"})
    EXPECT_THAT(SourceKey::ListFromPem(wrong), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong;
  std::string many;
  for (int i = 0; i < 9; ++i) many += old_key.PublicPem();
  EXPECT_THAT(SourceKey::ListFromPem(many), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace virp::vrp
