#include "services/keymgr/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/testutil/read_config.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using testutil::StatusIs;

class KeymgrConfig : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(secret_) << "s";
    std::filesystem::permissions(secret_, std::filesystem::perms::owner_read);
  }
  absl::StatusOr<Config> Read(std::vector<std::string> arguments) const {
    const std::vector<std::string> least{
        "--store", "sqlite:/s", "--tls-certificate", "/c",   "--tls-key", secret_, "--tls-roots",    "/r",
        "--name",  "keymgr",    "--own-key",         "/own", "--kek",     "/kek",  "--trust-domain", "example.net"};
    arguments.insert(arguments.begin(), least.begin(), least.end());
    return testutil::ConfigOf<Config>(ReadConfig, arguments);
  }

  testutil::TempDir dir_;
  std::string secret_ = dir_.File("secret");
};

TEST_F(KeymgrConfig, ATokenByItsLabelOrByAUri) {
  ASSERT_OK_AND_ASSIGN(const Config without, Read({}));
  EXPECT_TRUE(without.token_module.empty());
  ASSERT_OK_AND_ASSIGN(const Config label,
                       Read({"--token-module", "/m.so", "--token", "keys", "--token-pin", secret_}));
  EXPECT_EQ(label.token, (pkcs11::TokenSelector{.label = "keys"}));

  ASSERT_OK_AND_ASSIGN(const Config uri,
                       Read({"--token", "pkcs11:token=keys;serial=0a?module-path=/m.so&pin-source=file:" + secret_}));
  EXPECT_EQ(uri.token, (pkcs11::TokenSelector{.label = "keys", .serial = "0a"}));
  EXPECT_EQ(uri.token_module, "/m.so");
  EXPECT_EQ(uri.token_pin_file, secret_);
  ASSERT_OK_AND_ASSIGN(const Config half,
                       Read({"--token", "pkcs11:serial=0a", "--token-module", "/m.so", "--token-pin", secret_}));
  EXPECT_EQ(half.token_module, "/m.so");
}

TEST_F(KeymgrConfig, ATokenThatIsNotWholeOrSaidTwice) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong{
      {{"--token-module", "/m.so"}, "token and token-pin"},
      {{"--token-module", "/m.so", "--token", "keys"}, "token and token-pin"},
      {{"--token", "pkcs11:token=keys?module-path=/m.so"}, "token and token-pin"},
      {{"--token", "pkcs11:token=keys?module-path=/m.so", "--token-module", "/n.so", "--token-pin", secret_},
       "take one of them out"},
      {{"--token", "pkcs11:object=key"}, "token"},
      {{"--on-token", "router"}, "token-module is needed"},
      {{"--on-token", "publication"}, "no token has them"},
      {{"--onode", "o:1"}, "origin"},
  };
  for (const auto& [arguments, why] : wrong)
    EXPECT_THAT(Read(arguments), StatusIs(StatusCode::kInvalidArgument, HasSubstr(why))) << arguments[0];
}

}  // namespace
}  // namespace virp::keymgr
