#include "lib/chain/checkpoint_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/chain/chain_vectors.h"

namespace virp::chain {
namespace {

using ::testing::HasSubstr;
using Outcome = CheckpointStore::Outcome;

constexpr std::string_view kOrigin = "virp.example.net/site1";

std::string NoteAt(std::uint64_t size, std::string_view chain = "valid") {
  return Text(VectorChain(chain)["checkpoints"][size - 1]["note"]);
}

std::vector<Hash> ProofBetween(std::uint64_t from, std::uint64_t to) {
  for (const auto& vector : VectorChain("valid")["consistency"]) {
    if (vector["old"].get<std::uint64_t>() == from && vector["new"].get<std::uint64_t>() == to) {
      return UnhexHashes(vector["path_hex"]);
    }
  }
  return {};
}

std::vector<VerifierKey> Keys() {
  std::vector<VerifierKey> keys;
  for (const std::string_view name : kVectorChains) {
    keys.push_back(VerifierKey::Parse(Text(VectorChain(name)["verifier_key"])).value());
  }
  return keys;
}

// Signed with the right key, over another tree.
std::string ForkedNoteAt(std::uint64_t size) {
  const auto signer = CheckpointSigner::FromSeed(kOrigin, Unhex(VectorChain("valid")["checkpoint_seed_hex"])).value();
  return signer.Sign({std::string(kOrigin), size, EmptyRoot()}).value();
}

// Straight into the file, without the care that ReplaceFile takes.
void Overwrite(const std::string& path, std::string_view content) {
  std::filesystem::remove(path);  // quicker than truncating: ext4 flushes truncated files when they are closed
  const auto file = OpenFile(path, O_WRONLY | O_CREAT | O_EXCL);
  ASSERT_TRUE(file.ok() && WriteAll(file->get(), content, path).ok());
}

class CheckpointStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = ::testing::TempDir() + "checkpoint_store_" + test->name() + "/a/b";
    std::filesystem::remove_all(directory_);
    store_ = CheckpointStore::Open(directory_).value();
  }
  void TearDown() override { std::filesystem::remove_all(directory_ + "/../.."); }

  std::uint64_t KeptSize() { return store_->Load(kOrigin, Keys()).value().value().checkpoint.size; }
  // The one file that is there beside the lock.
  std::string OnlyFile() {
    std::vector<std::string> names = ListDirectory(directory_).value();
    std::erase(names, ".lock");
    EXPECT_EQ(names.size(), 1u);
    return directory_ + "/" + names.at(0);
  }

  std::string directory_;
  std::optional<CheckpointStore> store_;
};

TEST_F(CheckpointStoreTest, KeepsTheLargest) {
  EXPECT_FALSE(store_->Load(kOrigin, Keys()).value().has_value());
  EXPECT_EQ(store_->Keep(NoteAt(5), Keys()).value(), Outcome::kFirst);
  EXPECT_EQ(store_->Keep(NoteAt(5), Keys()).value(), Outcome::kSame);
  EXPECT_EQ(store_->Keep(NoteAt(9), Keys()).value(), Outcome::kAdvanced);
  EXPECT_EQ(store_->Keep(NoteAt(7), Keys()).value(), Outcome::kBehind);
  const auto kept = CheckpointStore::Open(directory_)->Load(kOrigin, Keys());
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ((*kept)->note, NoteAt(9));
  EXPECT_EQ((*kept)->checkpoint.size, 9u);
}

TEST_F(CheckpointStoreTest, ChainsAreApart) {
  ASSERT_TRUE(store_->Keep(NoteAt(5), Keys()).ok());
  ASSERT_TRUE(store_->Keep(NoteAt(3, "bytes"), Keys()).ok());
  EXPECT_EQ(KeptSize(), 5u);
  EXPECT_EQ(store_->Load("virp.example.net/bytes", Keys()).value()->checkpoint.size, 3u);
}

TEST_F(CheckpointStoreTest, OnlyItsOwnerReadsIt) {
  ASSERT_TRUE(store_->Keep(NoteAt(5), Keys()).ok());
  struct stat info{};
  ASSERT_EQ(stat(OnlyFile().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(directory_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(CheckpointStoreTest, OnlySignedNotesGetIn) {
  ASSERT_TRUE(store_->Keep(NoteAt(5), Keys()).ok());
  std::string forged = NoteAt(9);
  forged[forged.size() - 10] ^= 1;
  EXPECT_FALSE(store_->Keep(forged, Keys()).ok());
  EXPECT_EQ(store_->Keep(NoteAt(9), {}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Keep("", Keys()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(KeptSize(), 5u);
}

TEST_F(CheckpointStoreTest, ClientsDemandConsistency) {
  EXPECT_EQ(store_->Advance(NoteAt(5), Keys(), 0, {}).value(), Outcome::kFirst);
  EXPECT_EQ(store_->Advance(NoteAt(11), Keys(), 5, ProofBetween(5, 11)).value(), Outcome::kAdvanced);
  EXPECT_EQ(store_->Advance(NoteAt(11), Keys(), 11, {}).value(), Outcome::kSame);
  EXPECT_EQ(store_->Advance(NoteAt(6), Keys(), 11, {}).value(), Outcome::kBehind);
  EXPECT_EQ(store_->Advance(NoteAt(12), Keys(), 5, ProofBetween(5, 12)).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(KeptSize(), 11u);
  EXPECT_TRUE(store_->Mismatches(kOrigin)->empty());
}

TEST_F(CheckpointStoreTest, BothNotesOfAMismatchAreKept) {
  ASSERT_TRUE(store_->Advance(NoteAt(5), Keys(), 0, {}).ok());
  const auto forked = store_->Advance(ForkedNoteAt(5), Keys(), 5, {});
  EXPECT_EQ(forked.status().code(), absl::StatusCode::kDataLoss);
  std::vector<Hash> proof = ProofBetween(5, 11);
  proof[1][7] ^= 1;
  const auto unproven = store_->Advance(NoteAt(11), Keys(), 5, proof);
  EXPECT_EQ(unproven.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store_->Advance(NoteAt(11), Keys(), 5, {}).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store_->Keep(ForkedNoteAt(5), Keys()).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(KeptSize(), 5u);
  const std::vector<std::string> mismatches = store_->Mismatches(kOrigin).value();
  ASSERT_EQ(mismatches.size(), 3u) << "the same pair is recorded once";
  EXPECT_THAT(mismatches[0], HasSubstr("two roots for size 5"));
  EXPECT_THAT(mismatches[0], HasSubstr("kept:\n" + NoteAt(5)));
  EXPECT_THAT(mismatches[0], HasSubstr("offered:\n" + ForkedNoteAt(5)));
  EXPECT_THAT(mismatches[1], HasSubstr("does not extend"));
  EXPECT_THAT(mismatches[1], HasSubstr("consistency proof:\n" + Base64Encode(View(proof[0]))));
}

TEST_F(CheckpointStoreTest, MismatchesDoNotFillTheDisk) {
  ASSERT_TRUE(store_->Advance(NoteAt(5), Keys(), 0, {}).ok());
  for (std::uint64_t size = 6; size < 40; ++size) {
    EXPECT_FALSE(store_->Advance(ForkedNoteAt(size), Keys(), 5, std::vector<Hash>(1'000)).ok());
  }
  EXPECT_EQ(store_->Mismatches(kOrigin)->size(), 16u);
}

TEST_F(CheckpointStoreTest, EveryChangedByteOfTheFileIsNoticed) {
  ASSERT_TRUE(store_->Keep(NoteAt(5), Keys()).ok());
  const std::string path = OnlyFile();
  const std::string good = NoteAt(5);
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    Overwrite(path, bad);
    ASSERT_EQ(store_->Load(kOrigin, Keys()).status().code(), absl::StatusCode::kDataLoss) << i;
  }
  // And it is not written over: that would wipe out the trace.
  EXPECT_EQ(store_->Keep(NoteAt(9), Keys()).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store_->Load(kOrigin, {}).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(CheckpointStoreTest, TornWrites) {
  ASSERT_TRUE(store_->Keep(NoteAt(5), Keys()).ok());
  const std::string path = OnlyFile();
  const std::string next = NoteAt(9);
  for (std::size_t size = 0; size <= next.size(); ++size) {
    // The power went while the file beside was written: what counts is untouched.
    Overwrite(path, NoteAt(5));
    Overwrite(path + ".tmp", std::string_view(next).substr(0, size));
    ASSERT_EQ(KeptSize(), 5u);
    if (size % 20 == 0) {  // and the next note goes in
      ASSERT_EQ(store_->Keep(NoteAt(7), Keys()).value(), Outcome::kAdvanced);
      ASSERT_EQ(KeptSize(), 7u);
    }
    // A file system that broke its word, or somebody's hand: noticed, never taken for nothing.
    if (size == next.size()) break;
    Overwrite(path, std::string_view(next).substr(0, size));
    ASSERT_EQ(store_->Load(kOrigin, Keys()).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(CheckpointStoreTest, FileOfAnotherChain) {
  ASSERT_TRUE(store_->Keep(NoteAt(5), Keys()).ok());
  Overwrite(OnlyFile(), NoteAt(3, "bytes"));
  const auto kept = store_->Load(kOrigin, Keys());
  EXPECT_EQ(kept.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(Message(kept.status())), HasSubstr("another chain"));
}

TEST_F(CheckpointStoreTest, HugeFile) {
  ASSERT_TRUE(store_->Keep(NoteAt(5), Keys()).ok());
  Overwrite(OnlyFile(), std::string(100'000, 'x'));
  EXPECT_EQ(store_->Load(kOrigin, Keys()).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(CheckpointStoreTest, OriginsThatLookAlike) {
  const std::string longest(255, 'a');
  for (const std::string& origin : {std::string("a.b/c"), std::string("a_b_c"), std::string("a/b.c"),
                                    std::string("../x"), longest, longest.substr(1)}) {
    const auto signer = CheckpointSigner::FromSeed(origin, std::string(32, 's')).value();
    const std::vector<VerifierKey> keys = {signer.verifier_key()};
    EXPECT_EQ(store_->Keep(signer.Sign({origin, 1, EmptyRoot()}).value(), keys).value(), Outcome::kFirst) << origin;
    EXPECT_EQ(store_->Load(origin, keys).value()->checkpoint.origin, origin);
  }
  EXPECT_EQ(ListDirectory(directory_)->size(), 7u) << "six files and the lock, all in the directory itself";
}

TEST_F(CheckpointStoreTest, ManyWritersNeverGoBack) {
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const CheckpointStore own = CheckpointStore::Open(directory_).value();
      std::uint64_t seen = 0;
      for (std::uint64_t i = 0; i < 24; ++i) {
        ASSERT_TRUE(own.Keep(NoteAt(1 + (i * 5 + t * 3) % 12), Keys()).ok());
        const std::uint64_t now = own.Load(kOrigin, Keys()).value()->checkpoint.size;
        ASSERT_GE(now, seen);
        seen = now;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(KeptSize(), 12u);
}

TEST_F(CheckpointStoreTest, PlacesThatCannotBe) {
  EXPECT_FALSE(CheckpointStore::Open("").ok());
  ASSERT_TRUE(store_->Keep(NoteAt(5), Keys()).ok());
  EXPECT_FALSE(CheckpointStore::Open(OnlyFile() + "/below").ok());
  EXPECT_FALSE(CheckpointStore::Open("/proc/none").ok());
  EXPECT_TRUE(CheckpointStore::Open(directory_ + "/").ok());
  std::filesystem::remove_all(directory_);
  EXPECT_FALSE(store_->Keep(NoteAt(9), Keys()).ok());
}

}  // namespace
}  // namespace virp::chain
