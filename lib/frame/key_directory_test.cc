#include "lib/frame/key_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/frame/key_ring.h"

namespace virp::frame {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kText = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

class KeyDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "virp-keys-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string Path(const std::string& name) const { return root_ + "/" + name; }

  void Write(const std::string& name, const std::string& contents, mode_t mode = 0600) const {
    fs::create_directories(fs::path(Path(name)).parent_path());
    std::ofstream(Path(name), std::ios::binary | std::ios::trunc) << contents;
    ASSERT_EQ(::chmod(Path(name).c_str(), mode), 0);
  }

  std::unique_ptr<KeyDirectory> Open() const {
    auto out = KeyDirectory::Open(root_);
    EXPECT_TRUE(out.ok()) << out.status();
    return *std::move(out);
  }

  void ExpectRefused(const std::string& part_of_message) const {
    const auto out = KeyDirectory::Open(root_);
    ASSERT_FALSE(out.ok());
    EXPECT_EQ(out.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(Message(out.status())), HasSubstr(part_of_message));
    EXPECT_THAT(std::string(Message(out.status())), ::testing::Not(HasSubstr(kText.substr(0, 8))));
  }

  static bool SameTag(const OKey& a, const OKey& b) { return a.Sign("x").value() == b.Sign("x").value(); }

  std::string root_;
};

TEST_F(KeyDirectoryTest, EmptyAndMissing) {
  const auto keys = Open();
  EXPECT_THAT(keys->Sources(), IsEmpty());
  EXPECT_EQ(keys->Generation(), 1U);
  EXPECT_EQ(KeyDirectory::Open(root_ + "/none").status().code(), absl::StatusCode::kNotFound);
  Write("file", "x");
  EXPECT_EQ(KeyDirectory::Open(root_ + "/file").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(KeyDirectoryTest, ReadsEveryKindOfFile) {
  const std::string raw = std::string(31, 'r') + "\n";
  Write("edge-a.bgpd/1.hmac", kText + "\n");
  Write("edge-a.bgpd/2.hmac", raw);
  Write("edge-a.bgpd/3.txt", "a text key of some length\r\n");
  Write("edge-b.bgpd/10.seed", std::string(32, 's'));
  Write("edge-b.bgpd/9.seed", HexEncode(std::string(32, 't')) + "\n");
  const auto seed = OKey::Ed25519FromSeed(std::string(32, 's')).value();
  Write("chain.example/prod/1.pub", seed->public_key(), 0644);
  Write("chain.example/prod/2.pub", HexEncode(seed->public_key()), 0644);
  const auto keys = Open();
  EXPECT_THAT(keys->Sources(), ElementsAre("chain.example/prod", "edge-a.bgpd", "edge-b.bgpd"));
  EXPECT_TRUE(SameTag(*keys->Find("edge-a.bgpd", 1), *OKey::Hmac(kText).value()));
  EXPECT_TRUE(SameTag(*keys->Find("edge-a.bgpd", 2), *OKey::Hmac(raw).value()));
  EXPECT_TRUE(SameTag(*keys->Find("edge-a.bgpd", 3), *OKey::Hmac("a text key of some length").value()));
  EXPECT_TRUE(SameTag(*keys->Find("edge-b.bgpd", 10), *seed));
  EXPECT_FALSE(keys->Find("chain.example/prod", 1)->can_sign());
  EXPECT_EQ(keys->Find("chain.example/prod", 2)->public_key(), seed->public_key());
  EXPECT_EQ(keys->Find("edge-b.bgpd", 1), nullptr);
  EXPECT_EQ(keys->Find("edge-c.bgpd", 1), nullptr);
  EXPECT_THAT(keys->Versions("edge-c.bgpd"), IsEmpty());
  const auto versions = keys->Versions("edge-b.bgpd");
  ASSERT_EQ(versions.size(), 2U);
  EXPECT_EQ(versions[0].version, 9U);
  EXPECT_EQ(versions[1].version, 10U);
}

TEST_F(KeyDirectoryTest, Times) {
  Write("a/1.hmac", kText);
  Write("a/2.hmac", kText);
  Write("a/3.hmac", kText);
  Write("a/1.json", R"({"accept_from_ns":5,"accept_until_ns":1750000000000000001})");
  Write("a/2.json", R"({"accept_from_ns":7,"accept_until_ns":null,"note":"extra fields are left alone"})", 0644);
  Write("a/4.json", "not even JSON, but no key either");
  const auto versions = Open()->Versions("a");
  ASSERT_EQ(versions.size(), 3U);
  EXPECT_EQ(versions[0].accept_from, 5U);
  EXPECT_EQ(versions[0].accept_until, 1750000000000000001U);
  EXPECT_EQ(versions[1].accept_from, 7U);
  EXPECT_EQ(versions[1].accept_until, std::nullopt);
  EXPECT_EQ(versions[2].accept_from, 0U);
}

TEST_F(KeyDirectoryTest, BadTimesAreNamed) {
  Write("a/1.hmac", kText);
  for (const char* bad :
       {"", "[]", "{", R"({"accept_from_ns":-1})", R"({"accept_from_ns":"5"})", R"({"accept_until_ns":1.5})",
        R"({"accept_from_ns":5,"accept_until_ns":4})", R"({"accept_from_ns":5,"accept_from_ns":6})"}) {
    Write("a/1.json", bad);
    ExpectRefused("a/1.json");
  }
}

TEST_F(KeyDirectoryTest, BadContentsAreNamed) {
  const std::pair<const char*, std::string> bad[] = {{"a/1.hmac", ""},
                                                     {"a/1.hmac", "short"},
                                                     {"a/1.txt", std::string(300, 'x')},
                                                     {"a/1.hmac", std::string(5000, 'x')},
                                                     {"a/1.seed", "short"},
                                                     {"a/1.seed", std::string(64, 'g')},
                                                     {"a/1.pub", std::string(32, '\0')},
                                                     {"a/0.hmac", kText},
                                                     {"a/01.hmac", kText},
                                                     {"a/x.hmac", kText},
                                                     {"a/-1.hmac", kText},
                                                     {"a/1.2.hmac", kText},
                                                     {"a/4294967296.hmac", kText},
                                                     {"a/1.seed", std::string(33, 'x')},
                                                     {"1.hmac", kText}};
  for (const auto& [name, contents] : bad) {
    Write(name, contents);
    ExpectRefused("key file");
    fs::remove(Path(name));
  }
}

TEST_F(KeyDirectoryTest, OneVersionHasOneKey) {
  Write("a/1.hmac", kText);
  Write("a/1.txt", kText);
  ExpectRefused("one version has one key");
  fs::remove(Path("a/1.txt"));
  Write("a/1.seed", std::string(32, 's'));
  ExpectRefused("one version has one key");
  fs::remove(Path("a/1.hmac"));
  Write("a/1.pub", OKey::Ed25519FromSeed(std::string(32, 't')).value()->public_key());
  ExpectRefused("one version has one key");
  Write("a/1.pub", OKey::Ed25519FromSeed(std::string(32, 's')).value()->public_key());
  EXPECT_TRUE(Open()->Find("a", 1)->can_sign());
}

TEST_F(KeyDirectoryTest, WhatIsNoKeyIsLeftAlone) {
  Write("a/1.hmac", kText);
  Write("a/1.hmac~", "backup", 0666);
  Write("a/README", "text", 0666);
  Write("a/.1.hmac.swp", "x", 0666);
  Write("a/..data/7.hmac", "x", 0666);
  Write("lost+found/1.hmac", "x", 0666);
  Write("UPPER/1.hmac", "x", 0666);
  EXPECT_THAT(Open()->Sources(), ElementsAre("a"));
  fs::create_symlink("nowhere", Path("a/9.hmac"));
  EXPECT_EQ(Open()->Versions("a").size(), 1U);
}

TEST_F(KeyDirectoryTest, ModesOfFiles) {
  for (const mode_t mode : {0604U, 0602U, 0601U, 0644U, 0666U}) {
    Write("a/1.hmac", kText, mode);
    ExpectRefused("a/1.hmac: mode");
  }
  for (const mode_t mode : {0400U, 0600U, 0440U, 0640U}) {  // the file's group is this process's
    Write("a/1.hmac", kText, mode);
    EXPECT_TRUE(KeyDirectory::Open(root_).ok());
  }
  Write("a/1.json", "{}", 0666);
  ExpectRefused("a/1.json: mode");
  Write("a/1.json", "{}", 0644);
  Write("b/1.pub", OKey::Ed25519FromSeed(std::string(32, 's')).value()->public_key(), 0646);
  ExpectRefused("b/1.pub: mode");
}

TEST_F(KeyDirectoryTest, ModesOfFolders) {
  Write("a/1.hmac", kText);
  ASSERT_EQ(::chmod(Path("a").c_str(), 0777), 0);
  ExpectRefused("key folder a: mode 0777");
  ASSERT_EQ(::chmod(Path("a").c_str(), 0755), 0);
  ASSERT_EQ(::chmod(root_.c_str(), 01777), 0);
  ExpectRefused("mode 1777");
}

TEST_F(KeyDirectoryTest, OwnersAndGroups) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  constexpr uid_t kSomebody = 54'321;
  Write("a/1.hmac", kText, 0640);
  ASSERT_EQ(::chown(Path("a/1.hmac").c_str(), 0, kSomebody), 0);
  ExpectRefused("lets group 54321 read it");
  Write("a/1.hmac", kText, 0600);
  EXPECT_TRUE(KeyDirectory::Open(root_).ok()) << "a group without access does not matter";
  ASSERT_EQ(::chown(Path("a/1.hmac").c_str(), kSomebody, 0), 0);
  ExpectRefused("owned by user 54321");
  ASSERT_EQ(::chown(Path("a/1.hmac").c_str(), 0, 0), 0);
  ASSERT_EQ(::chown(Path("a").c_str(), kSomebody, 0), 0);
  ExpectRefused("key folder a: owned by user 54321");
  ASSERT_EQ(::chown(Path("a").c_str(), 0, kSomebody), 0);
  ASSERT_EQ(::chmod(Path("a").c_str(), 0770), 0);
  ExpectRefused("key folder a: mode 0770");
}

TEST_F(KeyDirectoryTest, NotRegularFilesAreRefusedWithoutWaiting) {
  fs::create_directories(Path("a"));
  ASSERT_EQ(::mkfifo(Path("a/1.hmac").c_str(), 0600), 0);
  ExpectRefused("not a regular file");
}

TEST_F(KeyDirectoryTest, LoopsOfLinksEnd) {
  Write("a/1.hmac", kText);
  fs::create_directory_symlink("..", Path("a/up"));
  ExpectRefused("link to a folder above");
}

TEST_F(KeyDirectoryTest, RefreshSeesEveryChange) {
  Write("a/1.hmac", kText);
  const auto keys = Open();
  EXPECT_EQ(keys->Generation(), 1U);
  EXPECT_TRUE(keys->Refresh().ok());
  EXPECT_EQ(keys->Generation(), 1U);
  Write("a/2.hmac", kText);
  EXPECT_TRUE(keys->Refresh().ok());
  EXPECT_EQ(keys->Generation(), 2U);
  EXPECT_NE(keys->Find("a", 2), nullptr);
  Write("a/2.json", R"({"accept_from_ns":5})");
  EXPECT_TRUE(keys->Refresh().ok());
  EXPECT_EQ(keys->Generation(), 3U);
  EXPECT_EQ(keys->Versions("a").at(1).accept_from, 5U);
  fs::remove(Path("a/1.hmac"));
  EXPECT_TRUE(keys->Refresh().ok());
  EXPECT_EQ(keys->Generation(), 4U);
  EXPECT_EQ(keys->Find("a", 1), nullptr);
}

// Same name, size and, within a tick of the file system's clock, same times.
TEST_F(KeyDirectoryTest, RefreshSeesChangesWithinOneTick) {
  Write("a/1.hmac", kText);
  const auto keys = Open();
  for (char c = 'a'; c < 'k'; ++c) {
    const std::string other(64, c);
    Write("a/1.hmac", other);
    ASSERT_TRUE(keys->Refresh().ok());
    ASSERT_TRUE(SameTag(*keys->Find("a", 1), *OKey::Hmac(other).value()));
  }
  EXPECT_EQ(keys->Generation(), 11U);
}

TEST_F(KeyDirectoryTest, UnchangedKeysStayTheSameObjects) {
  Write("a/1.hmac", kText);
  const auto keys = Open();
  const auto before = keys->Find("a", 1);
  Write("a/2.hmac", kText);
  Write("a/1.hmac", kText);  // touched, not changed
  ASSERT_TRUE(keys->Refresh().ok());
  EXPECT_EQ(keys->Find("a", 1), before);
}

TEST_F(KeyDirectoryTest, ASeedThatGoesTakesTheRightToSignWithIt) {
  Write("a/1.seed", std::string(32, 's'));
  Write("a/1.pub", OKey::Ed25519FromSeed(std::string(32, 's')).value()->public_key());
  const auto keys = Open();
  EXPECT_TRUE(keys->Find("a", 1)->can_sign());
  fs::remove(Path("a/1.seed"));
  ASSERT_TRUE(keys->Refresh().ok());
  EXPECT_FALSE(keys->Find("a", 1)->can_sign());
}

TEST_F(KeyDirectoryTest, TheLastGoodSetStaysWhenTheNewOneIsBad) {
  Write("a/1.hmac", kText);
  const auto keys = Open();
  Write("a/2.hmac", "short");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(keys->Refresh().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(keys->Generation(), 1U);
    EXPECT_NE(keys->Find("a", 1), nullptr);
  }
  Write("a/2.hmac", kText);
  EXPECT_TRUE(keys->Refresh().ok());
  EXPECT_NE(keys->Find("a", 2), nullptr);
  fs::rename(root_, root_ + ".away");
  EXPECT_EQ(keys->Refresh().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(keys->Find("a", 2), nullptr);
  fs::rename(root_ + ".away", root_);
  EXPECT_TRUE(keys->Refresh().ok());
}

// Kubernetes mounts a secret as links into a folder behind a link that it swaps in one step.
TEST_F(KeyDirectoryTest, KubernetesSecretVolumes) {
  const auto generation = [&](const std::string& name, const std::string& key) {
    Write(name + "/edge-a/1.hmac", key, 0440);
    Write(name + "/edge-b.hmac", key, 0440);
    fs::create_directory_symlink(name, Path("..data_tmp"));
    fs::rename(Path("..data_tmp"), Path("..data"));
  };
  generation("..2025_01", kText);
  fs::create_directory_symlink("..data/edge-a", Path("edge-a"));  // an item with a path
  fs::create_directory(Path("edge-b"));
  fs::create_symlink("../..data/edge-b.hmac", Path("edge-b/1.hmac"));
  const auto keys = Open();
  EXPECT_THAT(keys->Sources(), ElementsAre("edge-a", "edge-b"));
  EXPECT_TRUE(SameTag(*keys->Find("edge-a", 1), *OKey::Hmac(kText).value()));
  const std::string rolled(64, 'b');
  generation("..2025_02", rolled);
  fs::remove_all(Path("..2025_01"));
  ASSERT_TRUE(keys->Refresh().ok());
  EXPECT_EQ(keys->Generation(), 2U);
  EXPECT_TRUE(SameTag(*keys->Find("edge-a", 1), *OKey::Hmac(rolled).value()));
  EXPECT_TRUE(SameTag(*keys->Find("edge-b", 1), *OKey::Hmac(rolled).value()));
}

TEST_F(KeyDirectoryTest, CreateMakesWhatOpenReads) {
  const std::string root = root_ + "/new/keys";
  ASSERT_TRUE(CreateKeyFile(root, "edge-a.bgpd", 1, Suite::kHmacSha256, 5).ok());
  ASSERT_TRUE(CreateKeyFile(root, "edge-a.bgpd", 2, Suite::kEd25519, 6).ok());
  ASSERT_TRUE(CreateKeyFile(root, "chain.example/prod", 1, Suite::kEd25519, 7).ok());
  struct stat info{};
  for (const char* file : {"/edge-a.bgpd/1.hmac", "/edge-a.bgpd/2.seed", "/edge-a.bgpd/2.json"}) {
    ASSERT_EQ(::stat((root + file).c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 07777, 0600U) << file;
  }
  ASSERT_EQ(::stat(root.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  const auto keys = KeyDirectory::Open(root).value();
  const auto versions = keys->Versions("edge-a.bgpd");
  ASSERT_EQ(versions.size(), 2U);
  EXPECT_EQ(versions[0].key->suite(), Suite::kHmacSha256);
  EXPECT_EQ(versions[0].accept_from, 5U);
  EXPECT_EQ(versions[1].key->suite(), Suite::kEd25519);
  EXPECT_TRUE(versions[1].key->can_sign());
  EXPECT_NE(keys->Find("chain.example/prod", 1), nullptr);
  // Nothing else was left behind.
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) files += entry.is_regular_file() ? 1U : 0U;
  EXPECT_EQ(files, 6U);
}

TEST_F(KeyDirectoryTest, CreateReplacesNothing) {
  ASSERT_TRUE(CreateKeyFile(root_, "a", 1, Suite::kHmacSha256, 5).ok());
  const auto before = Open()->Find("a", 1);
  for (const Suite suite : {Suite::kHmacSha256, Suite::kEd25519}) {
    EXPECT_EQ(CreateKeyFile(root_, "a", 1, suite, 5).code(), absl::StatusCode::kAlreadyExists);
  }
  EXPECT_TRUE(SameTag(*Open()->Find("a", 1), *before));
  Write("a/2.json", "{}");
  const absl::Status claimed = CreateKeyFile(root_, "a", 2, Suite::kHmacSha256, 5);
  EXPECT_EQ(claimed.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(Message(claimed)), HasSubstr("remove"));
  Write("a/3.txt", kText);
  EXPECT_EQ(CreateKeyFile(root_, "a", 3, Suite::kEd25519, 5).code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(KeyDirectoryTest, CreateChecksItsArguments) {
  EXPECT_EQ(CreateKeyFile(root_, "../a", 1, Suite::kHmacSha256, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CreateKeyFile(root_, "", 1, Suite::kHmacSha256, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CreateKeyFile(root_, "a", 0, Suite::kHmacSha256, 0).code(), absl::StatusCode::kInvalidArgument);
  Write("file", "x");
  EXPECT_EQ(CreateKeyFile(root_ + "/file", "a", 1, Suite::kHmacSha256, 0).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(KeyDirectory::Open(root_).value()->Sources().size(), 0U);
}

TEST(KeyRing, PutFindRemove) {
  KeyRing ring;
  const auto key = OKey::Hmac(kText).value();
  const std::uint64_t before = ring.Generation();
  ring.Put("a", {2, key, 5, std::nullopt});
  ring.Put("a", {1, key, 0, 9});
  EXPECT_EQ(ring.Generation(), before + 2);
  EXPECT_EQ(ring.Find("a", 2), key);
  EXPECT_EQ(ring.Find("a", 3), nullptr);
  EXPECT_EQ(ring.Find("b", 1), nullptr);
  EXPECT_EQ(ring.Versions("a").at(0).accept_until, 9U);
  EXPECT_THAT(ring.Sources(), ElementsAre("a"));
  ring.Remove("a", 3);
  EXPECT_EQ(ring.Generation(), before + 2);
  ring.Remove("a", 1);
  ring.Remove("a", 2);
  EXPECT_EQ(ring.Generation(), before + 4);
  EXPECT_THAT(ring.Sources(), IsEmpty());
  EXPECT_THAT(ring.Versions("a"), IsEmpty());
}

}  // namespace
}  // namespace virp::frame
