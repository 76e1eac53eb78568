#include "services/onode/storage/file_vault.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "lib/base/status.h"
#include "tests/testutil/must.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::onode {
namespace {

using testutil::Must;
using Versions = std::vector<int>;

constexpr const char* kOrigin = "virp.example.net/site1";

class FileVaultTest : public ::testing::Test {
 protected:
  FileVaultTest() {
    for (const std::uint32_t version : {1U, 2U, 3U, 4U}) {
      Must(frame::CreateKeyFile(dir_.File("all"), kOrigin, version, frame::Suite::kEd25519, 1));
      const auto all = Must(frame::KeyDirectory::Open(dir_.File("all")));
      keys_.push_back(Must(chain::VerifierKey::Make(kOrigin, all->Find(kOrigin, version)->public_key())));
    }
    std::filesystem::create_directories(dir_.File("keys/") + kOrigin);
    Put(1);
  }
  std::string Seed(const std::string& folder, int version) const {
    return dir_.File(folder) + "/" + kOrigin + "/" + std::to_string(version) + ".seed";
  }
  void Put(int version) const { std::filesystem::copy_file(Seed("all", version), Seed("keys", version)); }
  void Remove(int version) const { std::filesystem::remove(Seed("keys", version)); }
  absl::StatusOr<std::unique_ptr<FileVault>> Open() const {
    return FileVault::Open(dir_.File("keys"), dir_.File("state"), kOrigin);
  }
  std::string KeysFile() const { return dir_.File("state/virp.example.net_site1.keys"); }
  const chain::VerifierKey& Key(int version) const { return keys_.at(static_cast<std::size_t>(version) - 1); }
  std::vector<chain::VerifierKey> Keys(const Versions& versions) const {
    std::vector<chain::VerifierKey> out;
    for (const int version : versions) out.push_back(Key(version));
    return out;
  }
  Versions VersionsOf(const std::vector<chain::VerifierKey>& keys) const {
    Versions out;
    for (const auto& key : keys)
      out.push_back(static_cast<int>(std::find(keys_.begin(), keys_.end(), key) - keys_.begin()) + 1);
    return out;
  }
  // Which keys signed what the vault signs; 0 when it does not.
  Versions Signed(FileVault& vault) const {
    const auto note = vault.Sign({kOrigin, 7, Hash{}});
    if (!note.ok()) return {0};
    Versions out;
    for (const int version : {1, 2, 3, 4}) {
      if (chain::OpenCheckpoint(*note, {Key(version)}).ok()) out.push_back(version);
    }
    return out;
  }

  testutil::TempDir dir_;
  std::vector<chain::VerifierKey> keys_;
};

TEST_F(FileVaultTest, TheLowestVersionSignsUntilTheChainRolls) {
  Put(2);
  const auto vault = Must(Open());
  EXPECT_EQ(Signed(*vault), (Versions{1}));
  EXPECT_EQ(VersionsOf(vault->Known()), (Versions{1}));
  EXPECT_EQ(VersionsOf(vault->Verifiers()), (Versions{1, 2})) << "another replica may have rolled to it already";
  EXPECT_FALSE(std::filesystem::exists(KeysFile()));
}

TEST_F(FileVaultTest, TheTwoNewestSignAlsoAfterARestart) {
  for (const int version : {2, 3}) Put(version);
  auto vault = Must(Open());
  ASSERT_OK(vault->Activate(Keys({2})));
  EXPECT_EQ(Signed(*vault), (Versions{1, 2}));
  ASSERT_OK(vault->Activate(Keys({2, 3})));
  EXPECT_EQ(Signed(*vault), (Versions{2, 3}));
  vault = Must(Open());
  EXPECT_EQ(Signed(*vault), (Versions{2, 3}));
  EXPECT_EQ(VersionsOf(vault->Known()), (Versions{1, 2, 3}));
  EXPECT_EQ(VersionsOf(vault->Signing()), (Versions{2, 3}));
}

TEST_F(FileVaultTest, ActivateIsTheSameTwiceAndForgetsNothing) {
  for (const int version : {2, 3}) Put(version);
  const auto vault = Must(Open());
  ASSERT_OK(vault->Activate(Keys({2, 3, 2})));
  ASSERT_OK(vault->Activate(Keys({2})));
  ASSERT_OK(vault->Activate({}));
  EXPECT_EQ(VersionsOf(vault->Known()), (Versions{1, 2, 3}));
}

TEST_F(FileVaultTest, AMissingKeySignsNothingAndIsNamed) {
  auto vault = Must(Open());
  ASSERT_OK(vault->Activate(Keys({2})));
  EXPECT_EQ(Signed(*vault), (Versions{0})) << "never with fewer keys than the chain promised";
  const absl::Status missing = vault->CheckCanSign();
  EXPECT_TRUE(absl::IsFailedPrecondition(missing));
  EXPECT_NE(Message(missing).find(Key(2).ToString()), std::string::npos) << missing;
  EXPECT_EQ(vault->NextKey().status(), missing);
  EXPECT_EQ(VersionsOf(vault->Verifiers()), (Versions{1, 2})) << "its public half is known";
  Put(2);
  EXPECT_OK(vault->CheckCanSign());
  EXPECT_EQ(Signed(*vault), (Versions{1, 2}));
}

TEST_F(FileVaultTest, TheFirstKeyIsRememberedToo) {
  Put(2);
  auto vault = Must(Open());
  ASSERT_OK(vault->Activate(Keys({2})));
  Remove(1);
  vault = Must(Open());
  EXPECT_TRUE(absl::IsFailedPrecondition(vault->CheckCanSign()));
  EXPECT_EQ(VersionsOf(vault->Known()), (Versions{1, 2}));
}

TEST_F(FileVaultTest, OnAMachineThatHasOnlyNewKeys) {
  for (const int version : {2, 3}) Put(version);
  Remove(1);
  const auto vault = Must(Open());
  ASSERT_OK(vault->Activate(Keys({2, 3})));
  EXPECT_EQ(VersionsOf(vault->Known()), (Versions{2, 3}));
  EXPECT_EQ(Signed(*vault), (Versions{2, 3}));
}

// A file that was put there ahead of the roll, where the first key's file is gone, is not the first key for ever.
TEST_F(FileVaultTest, AKeyToComeIsNotTakenForTheFirst) {
  Put(4);
  Remove(1);
  const auto vault = Must(Open());
  ASSERT_OK(vault->Activate(Keys({2, 3})));
  EXPECT_EQ(Signed(*vault), (Versions{0}));
  for (const int version : {2, 3}) Put(version);
  ASSERT_OK(vault->CheckCanSign());
  EXPECT_EQ(Signed(*vault), (Versions{2, 3}));
  ASSERT_OK(vault->Activate(Keys({2, 3, 4})));
  EXPECT_EQ(Signed(*vault), (Versions{3, 4}));
  EXPECT_EQ(VersionsOf(vault->Known()), (Versions{2, 3, 4}));
}

TEST_F(FileVaultTest, NextKeyIsTheNextVersionThatIsThere) {
  const auto vault = Must(Open());
  EXPECT_TRUE(absl::IsNotFound(vault->NextKey().status()));
  Put(4);
  EXPECT_EQ(Must(vault->NextKey()), Key(4)) << "without a restart";
  Put(2);
  EXPECT_EQ(Must(vault->NextKey()), Key(2));
  ASSERT_OK(vault->Activate(Keys({2})));
  EXPECT_EQ(Must(vault->NextKey()), Key(4));
}

TEST_F(FileVaultTest, NotesOfEveryKnownKeyAreKept) {
  Put(2);
  auto vault = Must(Open());
  ASSERT_OK(vault->Activate(Keys({2})));
  const std::string note = Must(vault->Sign({kOrigin, 7, Hash{}}));
  ASSERT_OK(vault->Keep(note));
  vault = Must(Open());
  EXPECT_EQ(Must(vault->Largest()), note);
}

TEST_F(FileVaultTest, AKeysFileThatIsNoneIsRefused) {
  ASSERT_OK(Must(Open())->Activate(Keys({2})));
  const std::string foreign = Must(chain::VerifierKey::Make("virp.example.net/site2", Key(2).public_key())).ToString();
  for (const std::string& content : {std::string("1\n2\n"), std::string(), std::string("\n"), foreign + "\n"}) {
    std::ofstream(KeysFile(), std::ios::trunc) << content;
    EXPECT_TRUE(absl::IsDataLoss(Open().status())) << content;
  }
}

TEST_F(FileVaultTest, WithoutAnyKeyItDoesNotOpen) {
  Remove(1);
  EXPECT_TRUE(absl::IsFailedPrecondition(Open().status()));
}

}  // namespace
}  // namespace virp::onode
