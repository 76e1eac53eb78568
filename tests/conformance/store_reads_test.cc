// What every store must do, continued: reading, checkpoints, the quarantine, the database itself.
#include <algorithm>
#include <array>
#include <limits>
#include <random>
#include <thread>

#include "lib/base/status.h"
#include "tests/conformance/store_test.h"

namespace virp::onode {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testutil::StatusIs;
using namespace std::chrono_literals;
using namespace std::string_literals;

// Reading.

TEST_P(StoreTest, RangesEndWhereTheyShould) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 20);
  const auto sequences = [&](std::uint64_t first, std::size_t limit) {
    std::vector<std::uint64_t> out;
    const auto rows = store_->ReadEntries(id, first, limit);
    EXPECT_OK(rows);
    for (const EntryRow& row : *rows) out.push_back(row.sequence);
    return out;
  };
  EXPECT_THAT(sequences(0, 0), IsEmpty());
  EXPECT_THAT(sequences(3, 2), ElementsAre(3, 4));
  EXPECT_THAT(sequences(18, 100), ElementsAre(18, 19));
  EXPECT_THAT(sequences(20, 100), IsEmpty());
  EXPECT_THAT(sequences(~0ULL, 1), IsEmpty());
  EXPECT_THAT(sequences((1ULL << 63) - 1, 5), IsEmpty());
  EXPECT_EQ(sequences(0, std::numeric_limits<std::size_t>::max()).size(), 20U);
  EXPECT_THAT(store_->ReadEntry(id, 20), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->ReadEntry(id, ~0ULL), StatusIs(StatusCode::kNotFound));

  ASSERT_OK_AND_ASSIGN(const auto none, store_->ReadLeafHashes(id, 20, 0));
  EXPECT_THAT(none, IsEmpty());
  EXPECT_THAT(store_->ReadLeafHashes(id, 19, 2), StatusIs(StatusCode::kDataLoss));
  EXPECT_THAT(store_->ReadLeafHashes(id, ~0ULL, 1), StatusIs(StatusCode::kDataLoss));
  EXPECT_THAT(store_->ReadLeafHashes(id, 0, std::size_t{1} << 40), StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(StoreTest, OneCallReturnsAtMostSixteenMebibytes) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  constexpr std::size_t kEntry = 60'000;
  for (int i = 0; i < 3; ++i) Append(id, chain, 100, kEntry - chain::kEntryHeaderSize);
  ASSERT_OK_AND_ASSIGN(const auto rows, store_->ReadEntries(id, 5, 300));
  EXPECT_EQ(rows.size(), (16U << 20) / kEntry);
  ASSERT_OK_AND_ASSIGN(const auto rest, store_->ReadEntries(id, 5 + rows.size(), 300));
  EXPECT_EQ(rest.size(), 295 - rows.size());
}

TEST_P(StoreTest, AListIsWhatAScanWouldFind) {
  const ChainId id = NewChain();
  const ChainId other = NewChain("virp.example.net/other");
  TestChain chain{std::string(kOrigin)};
  TestChain noise("virp.example.net/other", 2);
  Append(other, noise, 300);
  for (int i = 0; i < 3; ++i) Append(id, chain, 200);
  ASSERT_OK_AND_ASSIGN(const auto rows, store_->ReadEntries(id, 0, 1'000));

  std::mt19937_64 random(3);
  for (int round = 0; round < 400; ++round) {
    ChainStore::Filter filter;
    const EntryRow& sample = rows[random() % rows.size()];
    if (random() % 2 == 0) filter.source = sample.index.source;
    if (random() % 2 == 0) filter.subject = sample.index.subject;
    if (random() % 3 == 0) filter.kind = sample.index.kind;
    if (random() % 2 == 0) filter.from = random() % rows.size();
    if (random() % 2 == 0) filter.to = random() % rows.size();
    filter.descending = random() % 2 == 0;
    const std::size_t limit = random() % 3 == 0 ? random() % 20 : 1'000;

    std::vector<std::uint64_t> expected;
    for (const EntryRow& row : rows) {
      if (row.sequence >= filter.from && row.sequence < filter.to &&
          filter.source.value_or(row.index.source) == row.index.source &&
          filter.subject.value_or(row.index.subject) == row.index.subject &&
          filter.kind.value_or(row.index.kind) == row.index.kind) {
        expected.push_back(row.sequence);
      }
    }
    if (filter.descending) std::reverse(expected.begin(), expected.end());
    if (expected.size() > limit) expected.resize(limit);
    const auto found = store_->List(id, filter, limit);
    ASSERT_OK(found);
    ASSERT_EQ(*found, expected) << "round " << round;
  }
  EXPECT_THAT(store_->List(id, {}, std::size_t{1} << 40), StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(StoreTest, NumbersAreFoundBySource) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  AppendBatch batch = chain.Next(1, 50);
  batch.rows[30].index.source_epoch = ~0ULL;
  batch.rows[30].index.source_sequence = ~0ULL - 1;
  ASSERT_OK(store_->Append(id, batch));
  const std::uint64_t source = batch.rows[8].index.source;
  const auto find = [&](const std::vector<FrameNumber>& numbers) {
    std::vector<std::uint64_t> sequences;
    const auto found = store_->FindByNumber(id, numbers);
    EXPECT_OK(found);
    if (!found.ok()) return sequences;
    for (const EntryRow& row : *found) {
      sequences.push_back(row.sequence);
      const EntryRow& stored = batch.rows.at(row.sequence);
      EXPECT_EQ(row.bytes, stored.bytes);
      EXPECT_EQ(row.leaf, stored.leaf);
      EXPECT_EQ(row.index, stored.index);
    }
    return sequences;
  };
  const FrameNumber far{batch.rows[30].index.source, ~0ULL, ~0ULL - 1};
  EXPECT_THAT(find({far}), ElementsAre(30));
  EXPECT_THAT(find({{source, 1, 8}}), ElementsAre(8));
  EXPECT_THAT(find({{source, 2, 8}}), IsEmpty());
  EXPECT_THAT(find({{source + 1, 1, 8}}), IsEmpty());
  EXPECT_THAT(find({{source, 1, 50}}), IsEmpty());
  EXPECT_THAT(find({}), IsEmpty());
  EXPECT_THAT(find({far, {source, 1, 50}, {source, 1, 15}, {source + 1, 1, 15}, {source, 1, 8}}),
              ElementsAre(8, 15, 30));
  EXPECT_THAT(store_->FindByNumber(id + 1, {far})->size(), 0);
  std::vector<FrameNumber> many(ChainStore::kMostNumbers, {source, 1, 50});
  many.back() = {source, 1, 8};
  EXPECT_THAT(find(many), ElementsAre(8));
  many.push_back(far);
  EXPECT_THAT(store_->FindByNumber(id, many), StatusIs(StatusCode::kInvalidArgument));
}

// Checkpoints.

TEST_P(StoreTest, OneRootPerSizeForEver) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 10);
  EXPECT_THAT(store_->PutCheckpointNote(id, 10, "note"), StatusIs(StatusCode::kFailedPrecondition)) << "no intent yet";
  ASSERT_OK(store_->PutCheckpointIntent(id, 1, 10, RootOf('a')));
  ASSERT_OK(store_->PutCheckpointIntent(id, 1, 10, RootOf('a'))) << "the same again";
  EXPECT_THAT(store_->PutCheckpointIntent(id, 1, 10, RootOf('b')), StatusIs(StatusCode::kDataLoss));
  EXPECT_THAT(store_->PutCheckpointIntent(id, 2, 10, RootOf('a')), StatusIs(StatusCode::kAborted));
  EXPECT_THAT(store_->PutCheckpointIntent(id, 1, 11, RootOf('a')), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->PutCheckpointIntent(id, 1, ~0ULL, RootOf('a')), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->LatestCheckpoint(id), StatusIs(StatusCode::kNotFound)) << "an intent is no checkpoint";

  EXPECT_THAT(store_->PutCheckpointNote(id, 10, ""), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->PutCheckpointNote(id, 10, "a\0b"s), StatusIs(StatusCode::kInvalidArgument));
  ASSERT_OK(store_->PutCheckpointNote(id, 10, "the note\n\u2014 signed\n"));
  ASSERT_OK(store_->PutCheckpointNote(id, 10, "the note\n\u2014 signed\n"));
  EXPECT_THAT(store_->PutCheckpointNote(id, 10, "another"), StatusIs(StatusCode::kFailedPrecondition));
  Reopen();
  ASSERT_OK_AND_ASSIGN(const StoredCheckpoint latest, store_->LatestCheckpoint(id));
  EXPECT_EQ(latest.size, 10U);
  EXPECT_EQ(latest.root, RootOf('a'));
  EXPECT_EQ(latest.note, "the note\n\u2014 signed\n");

  backend_->ExpireLeases();
  ASSERT_OK(store_->TakeLease(id, "b", "", kLease));
  EXPECT_THAT(store_->PutCheckpointIntent(id, 1, 9, RootOf('x')), StatusIs(StatusCode::kAborted)) << "the old leader";
  EXPECT_THAT(store_->PutCheckpointIntent(id, 2, 10, RootOf('x')), StatusIs(StatusCode::kDataLoss)) << "the new one";
  EXPECT_OK(store_->PutCheckpointIntent(id, 2, 10, RootOf('a')));
}

TEST_P(StoreTest, CheckpointsAreFoundBySize) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 40);
  for (const std::uint64_t size : {0U, 10U, 20U, 30U, 40U}) {
    ASSERT_OK(store_->PutCheckpointIntent(id, 1, size, RootOf(static_cast<char>(size))));
    if (size == 20 || size == 40) continue;  // never signed
    ASSERT_OK(store_->PutCheckpointNote(id, size, fmt::format("note {}", size)));
  }
  const auto at = [&](std::uint64_t size) {
    const auto found = store_->CheckpointAtOrAfter(id, size);
    return found.ok() ? static_cast<std::int64_t>(found->size) : -1;
  };
  EXPECT_EQ(at(0), 0);
  EXPECT_EQ(at(1), 10);
  EXPECT_EQ(at(10), 10);
  EXPECT_EQ(at(11), 30);
  EXPECT_EQ(at(20), 30);
  EXPECT_EQ(at(31), -1);
  EXPECT_EQ(at(~0ULL), -1);
  ASSERT_OK_AND_ASSIGN(const StoredCheckpoint latest, store_->LatestCheckpoint(id));
  EXPECT_EQ(latest.size, 30U);
  EXPECT_EQ(latest.note, "note 30");
}

// Quarantine.

QuarantinedFrame Bad(std::string path, std::string frame) {
  QuarantinedFrame out;
  out.received = ~0ULL - 5;
  out.path = std::move(path);
  out.source = "claimed \0 \xff"s;
  out.reason = "BAD_TAG";
  out.frame = std::move(frame);
  return out;
}

TEST_P(StoreTest, QuarantineKeepsAThousandFramesOfAPath) {
  const ChainId id = NewChain();
  std::uint64_t gone = 0;
  for (int i = 0; i < 1'010; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::uint64_t out, store_->PutQuarantine(id, Bad("uid 7", fmt::format("{}", i))));
    gone += out;
  }
  EXPECT_EQ(gone, 10U);
  ASSERT_OK_AND_ASSIGN(gone, store_->PutQuarantine(id, Bad("other\0\xff"s, "")));
  EXPECT_EQ(gone, 0U) << "another path has a bound of its own";
  Reopen();
  ASSERT_OK_AND_ASSIGN(const auto all, store_->ListQuarantine(id, 0, 5'000));
  ASSERT_EQ(all.size(), 1'001U);
  EXPECT_EQ(all[0].frame, "10");
  EXPECT_EQ(all.back().path, "other\0\xff"s);
  EXPECT_EQ(all.back().source, "claimed \0 \xff"s);
  EXPECT_EQ(all.back().received, ~0ULL - 5);
  EXPECT_EQ(all.back().reason, "BAD_TAG");
  EXPECT_EQ(all.back().frame, "");
  ASSERT_OK_AND_ASSIGN(const auto page, store_->ListQuarantine(id, all[9].id, 5));
  ASSERT_EQ(page.size(), 5U);
  for (std::size_t i = 0; i < page.size(); ++i) EXPECT_EQ(page[i].id, all[10 + i].id);
  ASSERT_OK_AND_ASSIGN(const auto end, store_->ListQuarantine(id, ~0ULL, 5));
  EXPECT_THAT(end, IsEmpty());
}

TEST_P(StoreTest, QuarantineTakesSeveralAtOnceWithinTheSameBounds) {
  const ChainId id = NewChain();
  std::vector<QuarantinedFrame> frames;
  frames.reserve(600);
  for (int i = 0; i < 600; ++i) frames.push_back(Bad(i % 2 == 0 ? "uid 7" : "uid 8", fmt::format("{}", i)));
  std::uint64_t gone = 0;
  for (int i = 0; i < 4; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::uint64_t out, store_->PutQuarantineAll(id, frames));
    gone += out;
  }
  EXPECT_EQ(gone, 400U);
  Reopen();
  ASSERT_OK_AND_ASSIGN(const auto all, store_->ListQuarantine(id, 0, 5'000));
  ASSERT_EQ(all.size(), 2'000U);
  EXPECT_EQ(all[0].frame, "400");
  EXPECT_EQ(all[1].frame, "401");
  EXPECT_EQ(all.back().frame, "599");
  EXPECT_FALSE(store_->PutQuarantineAll(id + 1'000, frames).ok());
  ASSERT_OK_AND_ASSIGN(gone, store_->PutQuarantineAll(id, {}));
  EXPECT_EQ(gone, 0U);
}

TEST_P(StoreTest, QuarantineKeepsSixteenMebibytesOfAPath) {
  const ChainId id = NewChain();
  const std::string frame(1'000'000, 'x');  // 16 of them fit
  for (int i = 0; i < 16; ++i) ASSERT_OK(store_->PutQuarantine(id, Bad("p", frame)));
  ASSERT_OK_AND_ASSIGN(std::uint64_t gone, store_->PutQuarantine(id, Bad("p", frame)));
  EXPECT_EQ(gone, 1U);
  ASSERT_OK_AND_ASSIGN(gone, store_->PutQuarantine(id, Bad("p", "small")));
  EXPECT_EQ(gone, 0U);
  EXPECT_THAT(store_->PutQuarantine(id, Bad("p", std::string((1 << 20) + 1, 'x'))),
              StatusIs(StatusCode::kInvalidArgument));
  ASSERT_OK(store_->PutQuarantine(id, Bad("q", frame)));
  ASSERT_OK_AND_ASSIGN(const auto page, store_->ListQuarantine(id, 0, 100));
  EXPECT_EQ(page.size(), 17U) << "one call returns at most 16 MiB";
  EXPECT_EQ(page.back().frame, "small");
  ASSERT_OK_AND_ASSIGN(const auto rest, store_->ListQuarantine(id, page.back().id, 100));
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].path, "q");
}

// The database itself.

TEST_P(StoreTest, UsageGrowsAndKnowsItsLimit) {
  ASSERT_OK_AND_ASSIGN(const StoreUsage before, store_->Usage());
  EXPECT_GT(before.used_bytes, 0U);
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  for (int i = 0; i < 5; ++i) Append(id, chain, 1'000, 1'000);
  ASSERT_OK_AND_ASSIGN(const StoreUsage after, store_->Usage());
  EXPECT_GT(after.used_bytes, before.used_bytes + 4'000'000);
  StoreOptions options;
  options.limit_bytes = 123'456'789;
  auto limited = Open(options);
  ASSERT_OK_AND_ASSIGN(const StoreUsage usage, limited->Usage());
  EXPECT_EQ(usage.limit_bytes, 123'456'789U);
}

TEST_P(StoreTest, HistoryRefusesUpdateAndDelete) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 300);
  ASSERT_OK(store_->PutCheckpointIntent(id, 1, 300, RootOf('a')));
  ASSERT_OK(store_->PutCheckpointNote(id, 300, "note"));
  for (const char* sql : {
           "UPDATE {}entry SET kind=1 WHERE seq=3",
           "DELETE FROM {}entry WHERE seq=3",
           "DELETE FROM {}entry",
           "UPDATE {}tile SET idx=9",
           "DELETE FROM {}tile",
           "UPDATE {}chain SET origin='x'",
           "DELETE FROM {}chain",
           "UPDATE {}checkpoint SET note='other'",
           "UPDATE {}checkpoint SET size=1",
           "DELETE FROM {}checkpoint",
           "UPDATE {}chain_head SET size=299",
           "UPDATE {}chain_head SET term=0",
           "UPDATE {}chain_head SET head=frontier",
       }) {
    EXPECT_THAT(backend_->Sql(sql), StatusIs(StatusCode::kFailedPrecondition)) << sql;
  }
  ExpectHead(id, chain);
}

TEST_P(StoreTest, WhatWasTamperedWithReadsAsItIs) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 20);
  ASSERT_OK(backend_->DropGuards());
  ASSERT_OK(backend_->Sql("UPDATE {}entry SET kind=300, result=-1 WHERE seq=3"));
  ASSERT_OK(backend_->Sql("DELETE FROM {}entry WHERE seq=5"));
  ASSERT_OK(backend_->Sql("DELETE FROM {}entry WHERE seq>=18"));
  ASSERT_OK_AND_ASSIGN(const auto rows, store_->ReadEntries(id, 0, 20));
  EXPECT_EQ(rows.size(), 17U);
  EXPECT_EQ(rows[3].index.kind, 0xff) << "no kind that an entry could have";
  EXPECT_EQ(rows[3].index.result, 0xff);
  EXPECT_EQ(rows[5].sequence, 6U);
  EXPECT_THAT(store_->ReadLeafHashes(id, 0, 18), StatusIs(StatusCode::kDataLoss));
  EXPECT_OK(store_->ReadLeafHashes(id, 6, 12));
  ASSERT_OK_AND_ASSIGN(const ChainHead head, store_->ReadHead(id));
  EXPECT_EQ(head.size, 20U);
}

TEST_P(StoreTest, TheSchemaIsAppliedOnceByWhoeverComesFirst) {
  store_.reset();
  backend_ = GetParam()();
  StoreOptions without;
  without.migrate = false;
  EXPECT_THAT(backend_->Open(without), StatusIs(StatusCode::kFailedPrecondition)) << "nothing is there yet";
  std::array<std::thread, 4> threads;
  for (std::thread& thread : threads) thread = std::thread([&] { EXPECT_OK(backend_->Open()); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_OK(backend_->Open(without));
  store_ = Open();
  NewChain();
}

TEST_P(StoreTest, ANewerSchemaIsRefused) {
  ASSERT_OK(backend_->Sql("INSERT INTO {}virp_schema (number, name, sha256) VALUES (999, 'future', 'x')"));
  EXPECT_THAT(backend_->Open(), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("newer")));
  StoreOptions read_only;
  read_only.read_only = true;
  EXPECT_THAT(backend_->Open(read_only), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("newer")));
}

TEST_P(StoreTest, ReadOnlyReadsAndWritesNothing) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 300);
  ASSERT_OK(store_->PutCheckpointIntent(id, 1, 300, RootOf('a')));
  ASSERT_OK(store_->PutCheckpointNote(id, 300, "note"));
  const AppendBatch next = chain.Next(1, 1);
  StoreOptions options;
  options.read_only = true;
  auto reader = Open(options);
  ASSERT_NE(reader, nullptr);
  const auto refused = StatusIs(StatusCode::kFailedPrecondition, HasSubstr("read-only"));
  EXPECT_THAT(reader->CreateChain("x", ""), refused);
  EXPECT_THAT(reader->TakeLease(id, "b", "", kLease), refused);
  EXPECT_THAT(reader->RenewLease(id, 1, kLease), refused);
  EXPECT_THAT(reader->ReleaseLease(id, 1), refused);
  EXPECT_THAT(reader->Append(id, next), refused);
  EXPECT_THAT(reader->PutCheckpointIntent(id, 1, 1, RootOf('a')), refused);
  EXPECT_THAT(reader->PutCheckpointNote(id, 300, "note"), refused);
  EXPECT_THAT(reader->PutQuarantine(id, {}), refused);

  EXPECT_OK(reader->Usage());
  EXPECT_OK(reader->LatestCheckpoint(id));
  EXPECT_OK(reader->ReadTile(id, 0, 0));
  ASSERT_OK_AND_ASSIGN(const auto rows, reader->ReadEntries(id, 0, 1'000));
  EXPECT_EQ(rows.size(), 300U);
  ASSERT_OK(store_->Append(id, next));
  ASSERT_OK_AND_ASSIGN(const ChainHead head, reader->ReadHead(id));
  EXPECT_EQ(head.size, 301U) << "a reader follows";
}

}  // namespace
}  // namespace virp::onode
