// What every store must do, continued: old entries' bytes go to an archive, and nobody who names it notices.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "lib/base/status.h"
#include "lib/chain/note.h"
#include "lib/store/storage_url.h"
#include "services/onode/storage/archive/archived_store.h"
#include "services/onode/storage/archive/archiver.h"
#include "services/onode/storage/open.h"
#include "tests/conformance/postgres_backend.h"
#include "tests/conformance/store_test.h"
#include "tests/testutil/program.h"
#include "tests/testutil/temp_dir.h"

namespace virp::onode {
namespace {

using absl::StatusCode;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testutil::ReasonIs;
using testutil::StatusIs;

constexpr std::uint64_t kEntries = 2'700;
constexpr std::uint64_t kBelow = 2'100;
constexpr std::uint64_t kArchived = 2'048;  // two partitions of 1,024, or eight bundles

class StoreArchiveTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    postgres_ = dynamic_cast<PostgresBackend*>(backend_.get()) != nullptr;
    if (postgres_) ASSERT_OK(backend_->Sql("ALTER TABLE {}chain ALTER partition_width SET DEFAULT 1024"));
    id_ = NewChain();
    for (int i = 0; i < 3; ++i) Append(id_, chain_, kEntries / 3);
    ASSERT_OK_AND_ASSIGN(all_, store_->ReadEntries(id_, 0, kEntries));
    Sign();
  }

  void Sign() {
    ASSERT_OK(store_->PutCheckpointIntent(id_, 1, chain_.size(), chain_.Root()));
    ASSERT_OK_AND_ASSIGN(const std::string note, signer_->Sign({std::string(kOrigin), chain_.size(), chain_.Root()}));
    ASSERT_OK(store_->PutCheckpointNote(id_, chain_.size(), note));
  }

  std::unique_ptr<Retention> OwnersWay(const StoreBackend& backend) {
    StoreOptions options;
    auto url = store::ParseStorageUrl(backend.owner(), store::UrlOrigin::kPrivate);
    EXPECT_OK(url);
    auto out = OpenRetention(*url, options);
    EXPECT_OK(out);
    return out.ok() ? *std::move(out) : nullptr;
  }

  ArchiveRequest Request() const {
    ArchiveRequest out;
    out.origin = kOrigin;
    out.below = kBelow;
    out.verifiers = {signer_->verifier_key()};
    return out;
  }

  // As the command does it, with connections of its own.
  absl::StatusOr<ArchiveReport> Archive(StoreBackend& backend, const ArchiveRequest& request) {
    return ArchiveEntries(*Filled(backend, folder_.path()), *OwnersWay(backend), folder_.path(), request);
  }

  std::unique_ptr<ChainStore> Filled(StoreBackend& backend, std::string_view folder) {
    auto store = backend.Open({});
    EXPECT_OK(store);
    auto* const database = dynamic_cast<EntryDatabase*>(store->get());
    EXPECT_NE(database, nullptr);
    static_cast<void>(store->release());
    return std::make_unique<ArchivedStore>(std::unique_ptr<EntryDatabase>(database), std::string(folder));
  }
  absl::StatusOr<std::uint64_t> Below() { return OwnersWay(*backend_)->ArchivedBelow(id_); }

  // Each way to read gives what it gave before anything was archived.
  void ExpectAllThere(ChainStore& store) {
    ASSERT_OK_AND_ASSIGN(const auto rows, store.ReadEntries(id_, 0, kEntries));
    ASSERT_THAT(rows, SizeIs(kEntries));
    for (std::uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(rows[i] == all_[i]) << "entry " << i;
    for (const std::uint64_t sequence : {0U, 255U, 256U, 2'047U, 2'048U, 2'699U}) {
      ASSERT_OK_AND_ASSIGN(const EntryRow row, store.ReadEntry(id_, sequence));
      EXPECT_TRUE(row == all_[sequence]);
      ASSERT_OK_AND_ASSIGN(const auto found, store.FindByNumber(id_, {FrameOf(all_[sequence])}));
      ASSERT_THAT(found, SizeIs(1));
      EXPECT_TRUE(found[0] == all_[sequence]);
    }
    ChainStore::Filter filter;
    filter.source = all_[3].index.source;
    filter.to = kEntries;
    ASSERT_OK_AND_ASSIGN(const auto listed, store.List(id_, filter, kEntries));
    EXPECT_EQ(listed.size(), static_cast<std::size_t>(std::count_if(all_.begin(), all_.end(), [&](const EntryRow& row) {
                return row.index.source == all_[3].index.source;
              })));
    ASSERT_OK_AND_ASSIGN(const auto leaves, store.ReadLeafHashes(id_, 0, kEntries));
    for (std::uint64_t i = 0; i < kEntries; ++i) ASSERT_EQ(leaves[i], all_[i].leaf);
    for (std::uint64_t tile = 0; tile < kEntries / 256; ++tile) EXPECT_OK(store.ReadTile(id_, 0, tile));
  }

  std::string BundlePath(std::string_view name) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
      if (entry.path().string().ends_with(name)) return entry.path();
    }
    return "";
  }

  bool postgres_ = false;
  testutil::TempDir folder_;
  TestChain chain_{std::string(kOrigin)};
  ChainId id_ = 0;
  std::vector<EntryRow> all_;
  const absl::StatusOr<chain::CheckpointSigner> signer_ =
      chain::CheckpointSigner::FromSeed(kOrigin, std::string(32, 's'));
};

TEST_P(StoreArchiveTest, WhoNamesTheArchiveNoticesNothing) {
  ASSERT_OK_AND_ASSIGN(const ArchiveReport report, Archive(*backend_, Request()));
  EXPECT_EQ(report.archived_from, 0U);
  EXPECT_EQ(report.archived_below, kArchived);
  ASSERT_OK_AND_ASSIGN(const std::uint64_t below, Below());
  EXPECT_EQ(below, kArchived);
  EXPECT_THAT(dynamic_cast<EntryDatabase&>(*store_).ArchivedBelow(id_), testutil::IsOkAndHolds(kArchived));
  ASSERT_OK_AND_ASSIGN(const auto bare, store_->ReadEntries(id_, 0, kEntries));
  ASSERT_THAT(bare, SizeIs(kEntries));
  EXPECT_TRUE(
      std::all_of(bare.begin(), bare.begin() + kArchived, [](const EntryRow& row) { return row.bytes.empty(); }));
  EXPECT_TRUE(bare[kArchived] == all_[kArchived]);
  ASSERT_NO_FATAL_FAILURE(ExpectAllThere(*Filled(*backend_, folder_.path())));

  ASSERT_OK_AND_ASSIGN(const ArchiveReport again, Archive(*backend_, Request()));
  EXPECT_EQ(again.archived_from, kArchived);
  EXPECT_EQ(again.archived_below, kArchived);
  EXPECT_EQ(again.bytes, 0U);
}

TEST_P(StoreArchiveTest, WithoutTheArchiveTheAnswerNamesIt) {
  ASSERT_OK(Archive(*backend_, Request()));
  const auto without = Filled(*backend_, "");
  EXPECT_THAT(without->ReadEntries(id_, 0, 10).status(),
              AllOf(ReasonIs("ARCHIVED"), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("all below 2048"))));
  EXPECT_THAT(without->ReadEntry(id_, 7).status(), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("--archive")));
  EXPECT_OK(without->ReadEntry(id_, kArchived));
  const testutil::TempDir empty;
  EXPECT_THAT(Filled(*backend_, empty.path())->ReadEntry(id_, 7).status(),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("tile/entries/000")));
}

TEST_P(StoreArchiveTest, TheChainGrowsOn) {
  ASSERT_OK(Archive(*backend_, Request()));
  if (!postgres_) {  // there each partition knows its own numbers only
    AppendBatch twice = chain_.Next(1, 1);
    twice.rows[0].index = all_[5].index;
    chain_.Finish(twice);
    EXPECT_THAT(store_->Append(id_, twice), StatusIs(StatusCode::kDataLoss));
  }
  Append(id_, chain_, 900);
  ASSERT_NO_FATAL_FAILURE(Sign());
  ArchiveRequest further = Request();
  further.below = chain_.size();
  ASSERT_OK_AND_ASSIGN(const ArchiveReport report, Archive(*backend_, further));
  EXPECT_EQ(report.archived_from, kArchived);
  EXPECT_EQ(report.archived_below, postgres_ ? 3'072U : 3'584U);
  ASSERT_NO_FATAL_FAILURE(ExpectAllThere(*Filled(*backend_, folder_.path())));
}

// A tile of level 1 is over 65,536 entries.
TEST_P(StoreArchiveTest, TilesOfEachLevelGoAlong) {
  while (chain_.size() < 66'000) Append(id_, chain_, 2'000);
  ASSERT_NO_FATAL_FAILURE(Sign());
  ArchiveRequest request = Request();
  for (const std::uint64_t below : {40'960U, 66'000U}) {
    request.below = below;
    ASSERT_OK(Archive(*backend_, request));
    EXPECT_EQ(BundlePath("tile/1/000") != "", below == 66'000) << "it is not full before";
  }
  ASSERT_OK_AND_ASSIGN(const std::uint64_t below, Below());
  EXPECT_GE(below, 65'536U);
  std::string level_one;
  for (std::uint64_t index = 0; index < below / 256; ++index) {
    ASSERT_OK_AND_ASSIGN(const std::string tile, store_->ReadTile(id_, 0, index));
    EXPECT_EQ(testutil::FileText(BundlePath(fmt::format("tile/0/{:03}", index))), tile);
    ASSERT_OK_AND_ASSIGN(const chain::TileNodes nodes, chain::TileNodes::FromBytes(tile));
    if (index < chain::kTileWidth) level_one += View(nodes.At(chain::kTileHeight, 0));
  }
  EXPECT_EQ(testutil::FileText(BundlePath("tile/1/000")), level_one);
  EXPECT_EQ(BundlePath("tile/1/001"), "");
}

// Whatever moment it is stopped at: all there for who names the archive, and the same call finishes.
TEST_P(StoreArchiveTest, StoppedAnywhereTheRepeatFinishes) {
  store_.reset();
  int steps = 0;
  for (bool finished = false; !finished;) {
    const auto copy = backend_->Copy();
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) std::filesystem::remove_all(entry);
    ++steps;
    int left = steps;
    std::string stopped_at;
    ArchiveRequest request = Request();
    request.drop_detached = true;
    request.before = [&](std::string_view step) {
      if (--left > 0) return absl::OkStatus();
      stopped_at = step;
      return absl::AbortedError("stopped");
    };
    finished = Archive(*copy, request).ok();
    ASSERT_NO_FATAL_FAILURE(ExpectAllThere(*Filled(*copy, folder_.path()))) << stopped_at;
    request.before = nullptr;
    ASSERT_OK_AND_ASSIGN(const ArchiveReport report, Archive(*copy, request));
    EXPECT_EQ(report.archived_below, kArchived) << stopped_at;
    ASSERT_NO_FATAL_FAILURE(ExpectAllThere(*Filled(*copy, folder_.path()))) << stopped_at;
    ASSERT_OK_AND_ASSIGN(const auto left_over, OwnersWay(*copy)->Detached(id_));
    EXPECT_THAT(left_over, IsEmpty()) << stopped_at;
  }
  EXPECT_GT(steps, 12);
}

TEST_P(StoreArchiveTest, OnlyWhatASignedCheckpointCoversGoes) {
  ArchiveRequest request = Request();
  request.below = kEntries + 1;
  EXPECT_THAT(Archive(*backend_, request).status(), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("2700")));
  request = Request();
  request.verifiers = {chain::CheckpointSigner::FromSeed(kOrigin, std::string(32, 'x'))->verifier_key()};
  EXPECT_THAT(Archive(*backend_, request).status(),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("--checkpoint-key")));
  request = Request();
  request.origin = "virp.example.net/other";
  EXPECT_THAT(Archive(*backend_, request).status(), StatusIs(StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t below, Below());
  EXPECT_EQ(below, 0U);
}

TEST_P(StoreArchiveTest, WhatWasTamperedWithStays) {
  ASSERT_OK(backend_->DropGuards());
  ASSERT_OK(backend_->Sql(postgres_ ? "UPDATE {}entry SET bytes='x' WHERE seq=700"
                                    : "UPDATE entry SET bytes=x'78' WHERE seq=700"));
  EXPECT_THAT(Archive(*backend_, Request()).status(), StatusIs(StatusCode::kDataLoss, HasSubstr("entry 700")));
  ASSERT_OK_AND_ASSIGN(const std::uint64_t below, Below());
  EXPECT_EQ(below, 0U);
  // Bytes that somebody took out are not taken for archived ones.
  ASSERT_OK(backend_->Sql(postgres_ ? "UPDATE {}entry SET bytes='' WHERE seq=700"
                                    : "UPDATE entry SET bytes=x'' WHERE seq=700"));
  ASSERT_OK_AND_ASSIGN(const EntryRow row, Filled(*backend_, folder_.path())->ReadEntry(id_, 700));
  EXPECT_THAT(row.bytes, IsEmpty());
}

TEST_P(StoreArchiveTest, AnArchiveThatWasChangedIsFound) {
  ASSERT_OK(Archive(*backend_, Request()));
  const std::string path = BundlePath("tile/entries/003");
  ASSERT_NE(path, "");
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(2 + 150);
  file.put('!');
  file.close();
  const auto store = Filled(*backend_, folder_.path());
  EXPECT_THAT(store->ReadEntry(id_, 768).status(), StatusIs(StatusCode::kDataLoss, HasSubstr("entry 768")));
  EXPECT_OK(store->ReadEntry(id_, 769));
  ArchiveRequest dropping = Request();
  dropping.drop_detached = true;
  if (!postgres_) return;
  EXPECT_THAT(Archive(*backend_, dropping).status(), StatusIs(StatusCode::kDataLoss, HasSubstr("entry 768")));
  ASSERT_OK_AND_ASSIGN(const auto detached, OwnersWay(*backend_)->Detached(id_));
  EXPECT_THAT(detached, ElementsAre(EntryPart{0, 1'024}, EntryPart{1'024, 2'048}));
}

TEST_P(StoreArchiveTest, OnlyTheOwnerLetsGo) {
  if (!postgres_) {
    EXPECT_THAT(backend_->Sql("UPDATE entry SET bytes=x'' WHERE seq=5"), StatusIs(StatusCode::kFailedPrecondition));
    ASSERT_OK(Archive(*backend_, Request()));
    EXPECT_OK(backend_->Sql("UPDATE entry SET bytes=x'' WHERE seq=5"));
    EXPECT_THAT(backend_->Sql("UPDATE entry SET bytes=x'78' WHERE seq=5"), StatusIs(StatusCode::kFailedPrecondition));
    EXPECT_THAT(backend_->Sql("UPDATE entry SET bytes=x'', kind=3 WHERE seq=5"),
                StatusIs(StatusCode::kFailedPrecondition));
    return;
  }
  ASSERT_OK_AND_ASSIGN(const auto url, store::ParseStorageUrl(backend_->url(), store::UrlOrigin::kPrivate));
  ASSERT_OK_AND_ASSIGN(const auto serving, OpenRetention(url, {}));
  EXPECT_THAT(serving->Release(id_, {0, 1'024}, kEntries), StatusIs(StatusCode::kPermissionDenied));
}

// The job was killed between building the partition and putting it in its place.
TEST_P(StoreArchiveTest, APartitionHalfBuiltIsBuiltAnew) {
  if (!postgres_) GTEST_SKIP() << "SQLite has no partitions";
  ASSERT_OK(backend_->Sql("CREATE TABLE {}entry_1_0_slim (LIKE {}entry)"));
  ASSERT_OK(Archive(*backend_, Request()));
  ASSERT_NO_FATAL_FAILURE(ExpectAllThere(*Filled(*backend_, folder_.path())));
}

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreArchiveTest, ::testing::Values(&NewSqliteBackend));
INSTANTIATE_TEST_SUITE_P(Postgres, StoreArchiveTest, ::testing::Values(&NewPostgresBackend));

}  // namespace
}  // namespace virp::onode
