#include "lib/keys/managed_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/crypto/ed25519.h"
#include "lib/frame/key_ring.h"
#include "tests/testutil/temp_dir.h"
#include "virp/keymgr/v1/observation_key.pb.h"

namespace virp::keys {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsNull;
using ::testing::NotNull;
using ::testing::SizeIs;
namespace pb = ::virp::keymgr::v1;

constexpr UnixNanos kNow = 1'750'000'000'000'000'000;

pb::KeyMaterial* AddHmac(pb::SourceKeys& source, std::uint32_t version, char fill = 'k') {
  pb::KeyMaterial* material = source.add_versions();
  material->set_version(version);
  material->set_suite(pb::KEY_SUITE_HMAC_SHA256);
  material->set_secret(std::string(32, fill));
  material->set_accept_from_ns(kNow);
  return material;
}

crypto::Ed25519PrivateKey PrivateKey(char fill) {
  return *crypto::Ed25519PrivateKey::FromSeed(std::string(32, fill));
}

pb::KeyMaterial* AddPublic(pb::SourceKeys& source, std::uint32_t version, char fill = 's') {
  pb::KeyMaterial* material = source.add_versions();
  material->set_version(version);
  material->set_suite(pb::KEY_SUITE_ED25519);
  material->set_public_key(PrivateKey(fill).public_key().bytes());
  material->set_accept_from_ns(kNow);
  return material;
}

pb::WatchObservationKeysResponse Full(const std::vector<std::string>& sources) {
  pb::WatchObservationKeysResponse message;
  message.set_restart(true);
  message.set_complete(true);
  for (const std::string& name : sources) {
    pb::SourceKeys& source = *message.add_sources();
    source.set_source(name);
    source.set_first_version(1);
    AddHmac(source, 1)->set_may_sign(true);
  }
  return message;
}

class ManagedKeysTest : public ::testing::Test {
 protected:
  std::unique_ptr<ManagedKeys> Open() {
    auto keys = ManagedKeys::Open(file_);
    EXPECT_TRUE(keys.ok()) << keys.status();
    return keys.ok() ? *std::move(keys) : nullptr;
  }

  const testutil::TempDir dir_;
  const std::string file_ = dir_.File("kept-keys");
};

TEST_F(ManagedKeysTest, AListIsUsedWhenItIsWhole) {
  const auto keys = Open();
  const std::uint64_t before = keys->Generation();
  auto message = Full({"a", "b"});
  message.set_complete(false);
  ASSERT_TRUE(keys->Take(message).ok());
  EXPECT_THAT(keys->Sources(), IsEmpty());
  EXPECT_EQ(keys->Generation(), before);
  pb::WatchObservationKeysResponse rest;
  rest.add_sources()->set_source("c");
  AddHmac(*rest.mutable_sources(0), 4);
  rest.mutable_sources(0)->set_first_version(4);
  rest.set_complete(true);
  ASSERT_TRUE(keys->Take(rest).ok());
  EXPECT_THAT(keys->Sources(), ElementsAre("a", "b", "c"));
  EXPECT_GT(keys->Generation(), before);
  EXPECT_FALSE(keys->Versions("c")[0].may_sign);
  EXPECT_TRUE(keys->Versions("a")[0].SignsAt(kNow));
  EXPECT_FALSE(keys->Versions("c")[0].SignsAt(kNow));
}

TEST_F(ManagedKeysTest, AStreamThatEndsInsideAListChangesNothing) {
  const auto keys = Open();
  ASSERT_TRUE(keys->Take(Full({"a"})).ok());
  auto message = Full({"b"});
  message.set_complete(false);
  ASSERT_TRUE(keys->Take(message).ok());
  keys->Interrupted();
  EXPECT_THAT(keys->Sources(), ElementsAre("a"));
  ASSERT_TRUE(keys->Take(Full({"c"})).ok());
  EXPECT_THAT(keys->Sources(), ElementsAre("c"));
}

TEST_F(ManagedKeysTest, NewsReplaceASourceOrTakeItAway) {
  const auto keys = Open();
  ASSERT_TRUE(keys->Take(Full({"a", "b"})).ok());
  pb::WatchObservationKeysResponse news;
  news.set_complete(true);
  news.add_sources()->set_source("b");
  pb::SourceKeys& a = *news.add_sources();
  a.set_source("a");
  a.set_first_version(1);
  pb::KeyMaterial& old = *AddHmac(a, 1);
  old.set_sign_until_ns(kNow + 5);
  old.set_accept_until_ns(kNow + 9);
  old.set_compromised_since_ns(kNow + 1);
  AddHmac(a, 2, 'n')->set_may_sign(true);
  ASSERT_TRUE(keys->Take(news).ok());
  EXPECT_THAT(keys->Sources(), ElementsAre("a"));
  EXPECT_FALSE(keys->Has("b"));
  const auto versions = keys->Versions("a");
  ASSERT_THAT(versions, SizeIs(2));
  EXPECT_EQ(versions[0].sign_until, kNow + 5);
  EXPECT_EQ(versions[0].accept_until, kNow + 9);
  EXPECT_EQ(versions[0].compromised_since, kNow + 1);
  EXPECT_FALSE(versions[1].accept_until || versions[1].sign_until || versions[1].compromised_since);
  EXPECT_THAT(keys->Find("a", 2), NotNull());
  EXPECT_THAT(keys->Find("a", 3), IsNull());
}

TEST_F(ManagedKeysTest, TheSameListAgainIsNoChange) {
  const auto keys = Open();
  ASSERT_TRUE(keys->Take(Full({"a"})).ok());
  const std::uint64_t generation = keys->Generation();
  const auto key = keys->Find("a", 1);
  ASSERT_TRUE(keys->Take(Full({"a"})).ok());
  EXPECT_EQ(keys->Generation(), generation);
  EXPECT_EQ(keys->Find("a", 1), key);
}

TEST_F(ManagedKeysTest, TheLastListIsThereAfterARestartAndForNobodyElse) {
  {
    const auto keys = Open();
    auto message = Full({"a", "b"});
    AddPublic(*message.mutable_sources(1), 2);
    ASSERT_TRUE(keys->Take(message).ok());
    ASSERT_TRUE(keys->Keep().ok());
  }
  struct stat info{};
  ASSERT_EQ(::stat(file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  const auto keys = Open();
  EXPECT_THAT(keys->Sources(), ElementsAre("a", "b"));
  EXPECT_TRUE(keys->Versions("a")[0].SignsAt(kNow));
  EXPECT_EQ(keys->Find("b", 2)->public_key(), PrivateKey('s').public_key().bytes());
}

TEST_F(ManagedKeysTest, AFileThatOthersCanReadOrThatIsDamagedIsRefusedWithWhatToDo) {
  {
    const auto keys = Open();
    ASSERT_TRUE(keys->Take(Full({"a"})).ok());
    ASSERT_TRUE(keys->Keep().ok());
  }
  for (const mode_t mode : {0604U, 0602U, 0620U}) {
    ASSERT_EQ(::chmod(file_.c_str(), mode), 0);
    EXPECT_EQ(ManagedKeys::Open(file_).status().code(), absl::StatusCode::kFailedPrecondition) << mode;
    EXPECT_THAT(std::string(ManagedKeys::Open(file_).status().message()), HasSubstr(file_ + ": mode"));
  }
  ASSERT_EQ(::chmod(file_.c_str(), 0600), 0);
  const std::string good = *ReadFile(file_);
  for (std::size_t cut = 0; cut < good.size(); ++cut) {
    ASSERT_TRUE(ReplaceFile(file_, good.substr(0, cut)).ok());
    ASSERT_EQ(ManagedKeys::Open(file_).status().code(), absl::StatusCode::kDataLoss) << cut;
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    ASSERT_TRUE(ReplaceFile(file_, bad).ok());
    ASSERT_EQ(ManagedKeys::Open(file_).status().code(), absl::StatusCode::kDataLoss) << at;
  }
  ASSERT_EQ(::unlink(file_.c_str()), 0);
  ASSERT_EQ(::symlink("/dev/null", file_.c_str()), 0);
  EXPECT_FALSE(ManagedKeys::Open(file_).ok());
  ASSERT_EQ(::unlink(file_.c_str()), 0);
  ASSERT_EQ(::mkdir(file_.c_str(), 0700), 0);
  EXPECT_FALSE(ManagedKeys::Open(file_).ok());
}

TEST_F(ManagedKeysTest, AListThatCannotBeKeptIsUsedAndKeptLater) {
  const std::string file = dir_.File("later/kept-keys");
  const auto keys = *ManagedKeys::Open(file);
  ASSERT_TRUE(keys->Take(Full({"a"})).ok());
  EXPECT_TRUE(keys->Has("a"));
  EXPECT_FALSE(keys->Keep().ok());
  ASSERT_TRUE(MakeDirectory(dir_.File("later")).ok());
  ASSERT_TRUE(keys->Keep().ok());
  EXPECT_TRUE((*ManagedKeys::Open(file))->Has("a"));
}

TEST_F(ManagedKeysTest, ASourceThatCannotBeUsedKeepsWhatItHadAndIsNamed) {
  const auto keys = Open();
  ASSERT_TRUE(keys->Take(Full({"a", "b"})).ok());
  const auto had = keys->Find("a", 1);
  auto message = Full({"a", "b", "c"});
  AddPublic(*message.mutable_sources(0), 2)->set_public_key("short");
  const absl::Status status = keys->Take(message);
  EXPECT_THAT(std::string(status.message()), HasSubstr("source a"));
  EXPECT_EQ(keys->Find("a", 1), had);
  EXPECT_THAT(keys->Sources(), ElementsAre("a", "b", "c")) << "the others are used";
  const auto refused = [&](const std::function<void(pb::SourceKeys&)>& change) {
    auto bad = Full({"d"});
    change(*bad.mutable_sources(0));
    return !keys->Take(bad).ok() && !keys->Has("d");
  };
  EXPECT_TRUE(refused([](auto& source) { source.mutable_versions(0)->set_version(0); }));
  EXPECT_TRUE(refused([](auto& source) { source.mutable_versions(0)->set_suite(pb::KEY_SUITE_UNSPECIFIED); }));
  EXPECT_TRUE(refused([](auto& source) { source.mutable_versions(0)->set_secret("short"); }));
  EXPECT_TRUE(refused([](auto& source) { AddHmac(source, 1); })) << "twice";
  EXPECT_TRUE(refused([](auto& source) { source.set_source("Not A Name"), source.mutable_versions(0); }));
  EXPECT_TRUE(refused([](auto& source) {
    for (std::uint32_t version = 2; version <= 300; ++version) AddHmac(source, version);
  }));
}

TEST_F(ManagedKeysTest, ARefusedSourceIsNamedUntilItIsToldAnew) {
  const auto keys = Open();
  auto part = Full({"a", "b"});
  part.set_complete(false);
  AddPublic(*part.mutable_sources(0), 2)->set_public_key("short");
  EXPECT_THAT(std::string(keys->Take(part).message()), HasSubstr("source a"));
  auto rest = Full({"c"});
  rest.set_restart(false);
  EXPECT_THAT(std::string(keys->Take(rest).message()), HasSubstr("source a")) << "by a later part";
  EXPECT_THAT(keys->Sources(), ElementsAre("b", "c"));
  EXPECT_THAT(std::string(keys->Take(rest).message()), HasSubstr("source a")) << "by news of another";
  auto cut = Full({"a"});
  cut.set_complete(false);
  EXPECT_TRUE(keys->Take(cut).ok());
  keys->Interrupted();
  EXPECT_THAT(std::string(keys->Take(rest).message()), HasSubstr("source a")) << "by a list that was cut off";
  auto better = Full({"a"});
  better.set_restart(false);
  EXPECT_TRUE(keys->Take(better).ok());
  EXPECT_THAT(keys->Sources(), ElementsAre("a", "b", "c"));
}

TEST_F(ManagedKeysTest, ASecretThatTheManagerCannotGiveIsTheOneThatItGaveBefore) {
  const auto keys = Open();
  ASSERT_TRUE(keys->Take(Full({"a", "b"})).ok());
  const auto had = keys->Find("a", 1)->Commitment("a", 1);
  pb::WatchObservationKeysResponse message = Full({"a", "b"});
  pb::SourceKeys& source = *message.mutable_sources(0);
  source.mutable_versions(0)->clear_secret();
  source.mutable_versions(0)->set_may_sign(false);
  AddHmac(source, 2)->clear_secret();
  AddHmac(source, 3, 'n')->set_may_sign(true);
  ASSERT_TRUE(keys->Take(message).ok());
  const auto versions = keys->Versions("a");
  ASSERT_THAT(versions, SizeIs(2)) << "of version 2 nothing was ever known";
  EXPECT_EQ(versions[0].key->Commitment("a", 1), had);
  EXPECT_FALSE(versions[0].may_sign) << "the rest is what the manager says now";
  EXPECT_EQ(versions[1].version, 3U);
  ASSERT_TRUE(keys->Keep().ok());
  const auto again = Open();
  ASSERT_TRUE(again->Has("a"));
  EXPECT_EQ(again->Find("a", 1)->Commitment("a", 1), had) << "kept whole";
}

// ---- joined ----

class JoinedKeysTest : public ManagedKeysTest {
 protected:
  void File(std::string_view source, std::uint32_t version, char fill, bool asymmetric = false) {
    frame::KeyVersion key;
    key.version = version;
    const std::string seed(32, fill);
    key.key = asymmetric ? *frame::OKey::Ed25519FromSeed(seed) : *frame::OKey::Hmac(seed);
    files_.Put(source, key);
  }
  std::uint32_t Signs(std::string_view source) const {  // as a collector chooses; 0: none
    const auto versions = joined_.Versions(source);
    for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
      if (version->SignsAt(kNow)) return version->version;
    }
    return 0;
  }
  void Tell(std::uint32_t first, bool activated, const std::function<void(pb::SourceKeys&)>& fill) {
    pb::WatchObservationKeysResponse news;
    news.set_complete(true);
    pb::SourceKeys& source = *news.add_sources();
    source.set_source("a");
    fill(source);
    source.set_first_version(first);
    source.set_activated(activated);
    ASSERT_TRUE(managed_->Take(news).ok());
  }

  frame::KeyRing files_;
  const std::unique_ptr<ManagedKeys> managed_ = *ManagedKeys::Open("");
  const JoinedKeys joined_{files_, *managed_};
};

TEST_F(JoinedKeysTest, WithoutTheManagerFilesAreAsEver) {
  File("a", 1, 'a');
  File("a", 2, 'b');
  File("b", 7, 'c');
  EXPECT_THAT(joined_.Sources(), ElementsAre("a", "b"));
  EXPECT_EQ(Signs("a"), 2U);
  EXPECT_EQ(Signs("b"), 7U);
  EXPECT_THAT(joined_.Find("b", 7), NotNull());
}

TEST_F(JoinedKeysTest, ASiteMovesFromAFileToTheManagersNextVersion) {
  File("a", 1, 'a');
  const std::uint64_t before = joined_.Generation();
  Tell(2, false, [](auto& source) { AddHmac(source, 2); });
  EXPECT_GT(joined_.Generation(), before);
  EXPECT_THAT(joined_.Versions("a"), SizeIs(2));
  EXPECT_EQ(Signs("a"), 1U) << "prepared is not active";
  Tell(2, true, [](auto& source) { AddHmac(source, 2)->set_may_sign(true); });
  EXPECT_EQ(Signs("a"), 2U);
  Tell(2, true, [](auto& source) { AddHmac(source, 2)->set_compromised_since_ns(kNow); });
  EXPECT_EQ(Signs("a"), 0U) << "there is no way back to the file's";
  Tell(2, true, [](auto&) {});
  EXPECT_EQ(Signs("a"), 0U) << "nor when all is revoked";
  File("a", 2, 'x');
  EXPECT_EQ(Signs("a"), 0U);
}

TEST_F(JoinedKeysTest, VersionsOfFilesEndWhenTheManagerSaidSo) {
  File("a", 1, 'a');
  Tell(2, true, [](auto& source) {
    AddHmac(source, 2)->set_may_sign(true);
    source.set_files_sign_until_ns(kNow + 5);
    source.set_files_accept_until_ns(kNow + 9);
  });
  const auto versions = joined_.Versions("a");
  ASSERT_THAT(versions, SizeIs(2));
  EXPECT_EQ(versions[0].sign_until, kNow + 5);
  EXPECT_EQ(versions[0].accept_until, kNow + 9);
  EXPECT_FALSE(versions[1].sign_until.has_value()) << "the manager's own";
}

TEST_F(JoinedKeysTest, AFileOfAVersionThatTheManagerDoesNotKnowIsNotLookedAt) {
  Tell(2, true, [](auto& source) { AddHmac(source, 2)->set_may_sign(true); });
  File("a", 3, 'x');
  EXPECT_EQ(Signs("a"), 2U);
  EXPECT_THAT(joined_.Find("a", 3), IsNull());
  File("a", 2, 'x');
  EXPECT_EQ(joined_.Find("a", 2)->Commitment("a", 2), managed_->Find("a", 2)->Commitment("a", 2))
      << "nor one with another key";
}

TEST_F(JoinedKeysTest, APrivateHalfStaysInItsFileAndSignsWhenTheManagerSaysSo) {
  File("a", 1, 'a');
  File("a", 2, 's', true);
  EXPECT_EQ(Signs("a"), 2U) << "the manager does not know the source yet";
  Tell(1, true, [](auto& source) {
    AddHmac(source, 1)->set_may_sign(true);
    AddPublic(source, 2);
  });
  EXPECT_EQ(Signs("a"), 1U);
  Tell(1, true, [](auto& source) {
    AddHmac(source, 1);
    AddPublic(source, 2)->set_may_sign(true);
  });
  EXPECT_EQ(Signs("a"), 2U);
  File("a", 2, 't', true);
  EXPECT_EQ(Signs("a"), 0U) << "another key's private half is none";
  EXPECT_EQ(joined_.Find("a", 2)->public_key(), PrivateKey('s').public_key().bytes());
}

}  // namespace
}  // namespace virp::keys
