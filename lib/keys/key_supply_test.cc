#include "lib/keys/key_supply.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "lib/base/file.h"
#include "lib/frame/key_directory.h"
#include "tests/testutil/temp_dir.h"

namespace virp::keys {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::shared_ptr<grpc::Channel>> NoManager(const std::string&) {
  return absl::UnavailableError("there is none");
}

class KeySupplyTest : public ::testing::Test {
 protected:
  KeySupplyTest() { EXPECT_TRUE(MakeDirectory(dir_.File("files")).ok()); }

  std::unique_ptr<KeySupply> Open(std::vector<std::string> managers = {"the manager"}) {
    auto supply =
        KeySupply::Open(dir_.File("files"), {.managers = std::move(managers), .state = dir_.File("state")}, clock_);
    EXPECT_TRUE(supply.ok()) << supply.status();
    return *std::move(supply);
  }

  const testutil::TempDir dir_;
  const SystemClock clock_;
};

// As the thread that collects metrics does, which runs before the supply is started.
TEST_F(KeySupplyTest, ItsStatusMayBeAskedWhileItStarts) {
  for (int round = 0; round < 20; ++round) {
    const auto supply = Open();
    std::atomic<bool> asking{false}, told{false};
    std::thread metrics([&] {
      for (; !told; asking = true) told = !supply->status().problem.empty();
    });
    while (!asking) std::this_thread::yield();
    supply->Start(NoManager);
    supply->Start(NoManager);
    metrics.join();
    EXPECT_THAT(supply->status().problem, HasSubstr("there is none"));
    supply->Stop();
  }
}

TEST_F(KeySupplyTest, WithoutManagersItHasItsFilesAndNothingToSay) {
  const UnixNanos now = clock_.NowNanos();
  ASSERT_TRUE(frame::CreateKeyFile(dir_.File("files"), "a", 1, frame::Suite::kHmacSha256, now).ok());
  const auto supply = Open({});
  supply->Start(NoManager);
  EXPECT_EQ(supply->status().problem, "");
  EXPECT_NE(supply->keys().Find("a", 1), nullptr);
  supply->Stop();
}

TEST_F(KeySupplyTest, AManagerNeedsAPlaceForItsLastList) {
  EXPECT_TRUE(CheckKeySupply({}).ok());
  EXPECT_TRUE(CheckKeySupply({.managers = {"m"}, .state = "s"}).ok());
  EXPECT_THAT(std::string(CheckKeySupply({.managers = {"m"}, .state = ""}).message()), HasSubstr("key-state"));
}

}  // namespace
}  // namespace virp::keys
