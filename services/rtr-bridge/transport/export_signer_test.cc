#include "services/rtr-bridge/transport/export_signer.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/frame/key_directory.h"
#include "lib/service/logging.h"
#include "lib/vrp/signature.h"
#include "lib/vrp/signing_key.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::rtr_bridge {
namespace {

using testutil::StatusIs;
constexpr const char* kSource = "rtr-1.export";

class ExportSignerTest : public ::testing::Test {
 protected:
  void Make(std::uint32_t version, frame::Suite suite = frame::Suite::kEd25519) {
    ASSERT_OK(frame::CreateKeyFile(dir_.File("keys"), kSource, version, suite, clock_.NowNanos()));
    if (keys_ == nullptr) {
      ASSERT_OK_AND_ASSIGN(keys_, frame::KeyDirectory::Open(dir_.File("keys")));
    }
    ASSERT_OK(keys_->Refresh());
  }
  // Whether that version has signed it.
  bool Verifies(std::uint32_t version, const std::string& signature) const {
    const auto key = vrp::SourceKey::FromPem(vrp::Ed25519PublicPem(keys_->Find(kSource, version)->public_key()));
    return key.ok() && key->VerifyDetached("document", signature).ok();
  }

  testutil::TempDir dir_;
  FakeClock clock_;
  std::unique_ptr<frame::KeyDirectory> keys_;
};

TEST_F(ExportSignerTest, TheNewestVersionOfTheSourceSigns) {
  Make(1);
  const SignDocument sign = SignAs(kSource, *keys_, clock_);
  ASSERT_OK_AND_ASSIGN(const std::string first, sign("document"));
  EXPECT_TRUE(Verifies(1, first));
  Make(2);
  ASSERT_OK_AND_ASSIGN(const std::string second, sign("document"));
  EXPECT_TRUE(Verifies(2, second));
  EXPECT_FALSE(Verifies(1, second));
}

TEST_F(ExportSignerTest, AVersionOfAnotherSuiteDoesNot) {
  Make(1, frame::Suite::kHmacSha256);
  EXPECT_THAT(SignAs(kSource, *keys_, clock_)("document"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(SignAs("other", *keys_, clock_)("document"), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(ExportSignerTest, AKeyFileIsASecretFile) {
  const std::string path = dir_.File("export.key");
  ASSERT_EQ(testutil::RunProgram({"/usr/bin/openssl", "genpkey", "-algorithm", "ed25519", "-out", path}).exit, 0);
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  EXPECT_THAT(SignWithFile(path), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  ASSERT_OK_AND_ASSIGN(const SignDocument sign, SignWithFile(path));
  const auto key = vrp::SigningKey::FromPem(testutil::FileText(path));
  EXPECT_OK(vrp::SourceKey::FromPem(key->PublicPem())->VerifyDetached("document", *sign("document")));
  EXPECT_THAT(SignWithFile(dir_.File("none")), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(ReplaceFile(path, "no key"));
  EXPECT_THAT(SignWithFile(path), StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr(path)));
}

}  // namespace
}  // namespace virp::rtr_bridge
