#include "lib/keys/key_maker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "lib/frame/key_statements.h"
#include "tests/testutil/must.h"
#include "tests/testutil/temp_dir.h"
#include "virp/keymgr/v1/observation_key.pb.h"

namespace virp::keys {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using testutil::Must;
namespace pb = ::virp::keymgr::v1;

constexpr UnixNanos kNow = 1'750'000'000'000'000'000;

class KeyMakerTest : public ::testing::Test {
 protected:
  KeyMakerTest() { MakeAgain(); }

  // As after a restart.
  void MakeAgain() {
    joined_.reset();
    maker_ = Must(KeyMaker::Open(dir_.File("made"), clock_));
    joined_ = std::make_unique<JoinedKeys>(*files_, *managed_, &maker_->keys());
  }
  void Tell(const std::function<void(pb::SourceKeys&)>& fill) {
    pb::WatchObservationKeysResponse news;
    news.set_complete(true);
    news.add_sources()->set_source("edge-a");
    fill(*news.mutable_sources(0));
    Must(managed_->Take(news));
  }
  std::vector<Registration> Due() { return Must(maker_->Due(*managed_, *joined_)); }
  static pb::KeyMaterial& Add(pb::SourceKeys& source, std::uint32_t version, const std::string& public_key) {
    pb::KeyMaterial& material = *source.add_versions();
    material.set_version(version);
    material.set_suite(pb::KEY_SUITE_ED25519);
    material.set_public_key(public_key);
    return material;
  }
  static bool Verifies(const std::string& public_key, const std::string& text, const std::string& tag) {
    return Must(frame::OKey::Ed25519FromPublic(public_key))->Verify(text, tag);
  }
  bool Signs(std::uint32_t version) const {
    for (const frame::KeyVersion& one : joined_->Versions("edge-a")) {
      if (one.version == version) return one.SignsAt(kNow);
    }
    return false;
  }

  const testutil::TempDir dir_;
  FakeClock clock_{kNow};
  const std::unique_ptr<frame::KeyDirectory> files_ = Must(frame::KeyDirectory::Open(dir_.path()));
  const std::unique_ptr<ManagedKeys> managed_ = Must(ManagedKeys::Open(""));
  std::unique_ptr<KeyMaker> maker_;
  std::unique_ptr<JoinedKeys> joined_;
};

TEST_F(KeyMakerTest, WhatNobodyAskedForIsNotMade) {
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_THAT(maker_->keys().Sources(), IsEmpty());
}

TEST_F(KeyMakerTest, AFirstVersionIsMadeOnceAndProvedAndSignsWhenTheManagerSaysSo) {
  Tell([](pb::SourceKeys& source) { source.set_wanted_version(1); });
  const auto due = Due();
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].source, "edge-a");
  EXPECT_EQ(due[0].version, 1U);
  EXPECT_TRUE(
      Verifies(due[0].public_key, frame::PossessionStatement("edge-a", 1, due[0].public_key), due[0].possession));
  EXPECT_EQ(due[0].succession, "") << "nothing could vouch for it";
  EXPECT_FALSE(Signs(1)) << "the manager has not taken it";
  MakeAgain();
  EXPECT_EQ(Due()[0].public_key, due[0].public_key) << "the same key after a restart";
  struct stat info{};
  ASSERT_EQ(::stat((dir_.File("made") + "/edge-a/1.seed").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);

  Tell([&](pb::SourceKeys& source) {
    source.set_first_version(1);
    Add(source, 1, due[0].public_key);
  });
  EXPECT_THAT(Due(), IsEmpty());
  EXPECT_FALSE(Signs(1)) << "prepared";
  Tell([&](pb::SourceKeys& source) {
    source.set_first_version(1);
    Add(source, 1, due[0].public_key).set_may_sign(true);
  });
  EXPECT_TRUE(Signs(1));
}

TEST_F(KeyMakerTest, TheVersionThatSignsVouchesForTheNext) {
  Tell([](pb::SourceKeys& source) { source.set_wanted_version(1); });
  const std::string first = Due()[0].public_key;
  Tell([&](pb::SourceKeys& source) {
    source.set_first_version(1);
    source.set_activated(true);
    source.set_wanted_version(2);
    Add(source, 1, first).set_may_sign(true);
  });
  const auto due = Due();
  ASSERT_THAT(due, SizeIs(1));
  EXPECT_EQ(due[0].version, 2U);
  EXPECT_NE(due[0].public_key, first);
  const std::string statement = frame::SuccessionStatement("edge-a", 2, frame::Suite::kEd25519, due[0].public_key);
  EXPECT_TRUE(Verifies(first, statement, due[0].succession));
}

TEST_F(KeyMakerTest, AnotherKeyUnderTheSameNumberIsNotOurs) {
  Tell([](pb::SourceKeys& source) { source.set_wanted_version(1); });
  ASSERT_THAT(Due(), SizeIs(1));
  const auto other = Must(frame::OKey::Ed25519FromSeed(std::string(32, 'o')));
  Tell([&](pb::SourceKeys& source) {
    source.set_first_version(1);
    Add(source, 1, other->public_key()).set_may_sign(true);
  });
  EXPECT_FALSE(Signs(1)) << "whoever registered it signs with it";
}

TEST_F(KeyMakerTest, AFolderThatOthersReadIsRefused) {
  const std::string folder = dir_.File("open");
  Must(frame::CreateKeyFile(folder, "edge-a", 1, frame::Suite::kEd25519, 0));
  ASSERT_EQ(::chmod((folder + "/edge-a/1.seed").c_str(), 0644), 0);
  EXPECT_EQ(KeyMaker::Open(folder, clock_).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace virp::keys
