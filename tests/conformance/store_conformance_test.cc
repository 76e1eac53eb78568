// What every store must do: one suite, run over each back end. Chains, leases, appending; the rest is in
// store_reads_test.cc.
#include <atomic>
#include <thread>

#include "lib/base/status.h"
#include "tests/conformance/store_test.h"

namespace virp::onode {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testutil::StatusIs;
using namespace std::chrono_literals;
using namespace std::string_literals;

// Chains.

TEST_P(StoreTest, AChainBeginsAtItsGenesis) {
  ASSERT_OK_AND_ASSIGN(const ChainId first, store_->CreateChain(kOrigin, ""));
  ASSERT_OK_AND_ASSIGN(const ChainId second, store_->CreateChain("virp.example.net/site2", "note of\nsite1\n"));
  EXPECT_NE(first, second);
  Reopen();
  ASSERT_OK_AND_ASSIGN(const auto chains, store_->ListChains());
  ASSERT_EQ(chains.size(), 2U);
  EXPECT_EQ(chains[0].id, first);
  EXPECT_EQ(chains[0].origin, kOrigin);
  EXPECT_EQ(chains[0].predecessor, "");
  EXPECT_EQ(chains[1].predecessor, "note of\nsite1\n");
  ASSERT_OK_AND_ASSIGN(const ChainHead head, store_->ReadHead(first));
  EXPECT_EQ(head.term, 0U);
  EXPECT_EQ(head.holder, "");
  EXPECT_FALSE(head.lease_valid);
  EXPECT_EQ(head.size, 0U);
  EXPECT_EQ(head.head, chain::GenesisOf(kOrigin));
  EXPECT_EQ(head.frontier, "");
}

TEST_P(StoreTest, OriginsAreNamesAndUnique) {
  ASSERT_OK(store_->CreateChain(kOrigin, ""));
  EXPECT_THAT(store_->CreateChain(kOrigin, ""), StatusIs(StatusCode::kAlreadyExists, HasSubstr(kOrigin)));
  for (const std::string& bad : {""s, "Upper"s, "a b"s, "a\0b"s, std::string(300, 'a')}) {
    EXPECT_THAT(store_->CreateChain(bad, ""), StatusIs(StatusCode::kInvalidArgument)) << bad;
  }
  EXPECT_THAT(store_->CreateChain("b", "nul\0"s), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->CreateChain("b", "\xff"), StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(StoreTest, WhatIsNotThereIsNotFound) {
  TestChain chain{std::string(kOrigin)};
  EXPECT_THAT(store_->ReadHead(7), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->TakeLease(7, "a", "", kLease), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->RenewLease(7, 1, kLease), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->ReleaseLease(7, 1), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->Append(7, chain.Next(1, 1)), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->PutCheckpointIntent(7, 1, 0, RootOf('x')), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->PutQuarantine(7, {}), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->ReadEntry(7, 0), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->ReadTile(7, 0, 0), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->LatestCheckpoint(7), StatusIs(StatusCode::kNotFound));
  EXPECT_THAT(store_->CheckpointAtOrAfter(7, 0), StatusIs(StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const auto rows, store_->ReadEntries(7, 0, 10));
  EXPECT_THAT(rows, IsEmpty());
}

// Leases.

TEST_P(StoreTest, ALeaseKeepsOthersOutUntilItRunsOut) {
  ASSERT_OK_AND_ASSIGN(const ChainId id, store_->CreateChain(kOrigin, ""));
  auto other = Open();
  ASSERT_OK_AND_ASSIGN(const ChainHead first, store_->TakeLease(id, "a", "a.example.net:7000", kLease));
  EXPECT_EQ(first.term, 1U);
  EXPECT_EQ(first.holder, "a");
  EXPECT_TRUE(first.lease_valid);
  EXPECT_EQ(first.head, chain::GenesisOf(kOrigin));
  EXPECT_THAT(other->TakeLease(id, "b", "b.example.net:7000", kLease),
              StatusIs(StatusCode::kAborted, HasSubstr("led by a")));
  ASSERT_OK_AND_ASSIGN(const ChainHead seen, other->ReadHead(id));
  EXPECT_EQ(seen.holder, "a");
  EXPECT_EQ(seen.holder_address, "a.example.net:7000");
  EXPECT_TRUE(seen.lease_valid);

  backend_->ExpireLeases();
  ASSERT_OK_AND_ASSIGN(const ChainHead expired, other->ReadHead(id));
  EXPECT_EQ(expired.holder, "a");
  EXPECT_FALSE(expired.lease_valid);
  EXPECT_OK(store_->RenewLease(id, 1, kLease)) << "nobody took it meanwhile";
  EXPECT_THAT(other->TakeLease(id, "b", "", kLease), StatusIs(StatusCode::kAborted));

  backend_->ExpireLeases();
  ASSERT_OK_AND_ASSIGN(const ChainHead second, other->TakeLease(id, "b", "b.example.net:7000", kLease));
  EXPECT_EQ(second.term, 2U);
  EXPECT_THAT(store_->RenewLease(id, 1, kLease), StatusIs(StatusCode::kAborted));
  EXPECT_THAT(store_->ReleaseLease(id, 1), StatusIs(StatusCode::kAborted));
  EXPECT_THAT(store_->TakeLease(id, "a", "", kLease), StatusIs(StatusCode::kAborted, HasSubstr("led by b")));
}

TEST_P(StoreTest, TakingAgainRaisesTheTerm) {
  const ChainId id = NewChain();
  ASSERT_OK_AND_ASSIGN(const ChainHead again, store_->TakeLease(id, "a", "elsewhere:1", kLease));
  EXPECT_EQ(again.term, 2U);
  EXPECT_EQ(again.holder_address, "elsewhere:1");
  EXPECT_THAT(store_->RenewLease(id, 1, kLease), StatusIs(StatusCode::kAborted));
  EXPECT_OK(store_->RenewLease(id, 2, kLease));
}

TEST_P(StoreTest, AReleasedLeaseIsFree) {
  const ChainId id = NewChain();
  ASSERT_OK(store_->ReleaseLease(id, 1));
  ASSERT_OK_AND_ASSIGN(const ChainHead head, store_->ReadHead(id));
  EXPECT_EQ(head.holder, "");
  EXPECT_EQ(head.holder_address, "");
  EXPECT_FALSE(head.lease_valid);
  EXPECT_EQ(head.term, 1U);
  EXPECT_THAT(store_->ReleaseLease(id, 1), StatusIs(StatusCode::kAborted));
  EXPECT_THAT(store_->RenewLease(id, 1, kLease), StatusIs(StatusCode::kAborted));
  ASSERT_OK_AND_ASSIGN(const ChainHead next, store_->TakeLease(id, "b", "", kLease));
  EXPECT_EQ(next.term, 2U);
}

TEST_P(StoreTest, ImpossibleLeasesAreRefused) {
  ASSERT_OK_AND_ASSIGN(const ChainId id, store_->CreateChain(kOrigin, ""));
  EXPECT_THAT(store_->TakeLease(id, "", "x", kLease), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->TakeLease(id, "a\0b"s, "x", kLease), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->TakeLease(id, "a", "\xc3", kLease), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->TakeLease(id, "a", "x", 0ms), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->TakeLease(id, "a", "x", -1ms), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->TakeLease(id, "a", "x", std::chrono::milliseconds::max()),
              StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(store_->RenewLease(id, 0, 0ms), StatusIs(StatusCode::kInvalidArgument));
}

TEST_P(StoreTest, OneOfManyTakesAFreeLease) {
  ASSERT_OK_AND_ASSIGN(const ChainId id, store_->CreateChain(kOrigin, ""));
  std::atomic<int> won = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const auto head = store_->TakeLease(id, fmt::format("instance-{}", i), "", kLease);
      if (head.ok()) ++won;
      if (!head.ok()) EXPECT_THAT(head, StatusIs(StatusCode::kAborted));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(won, 1);
}

// Appending.

TEST_P(StoreTest, EverythingComesBackByteForByte) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  std::vector<EntryRow> all;
  for (const std::size_t rows : {1U, 2U, 253U, 300U, 1U}) {
    AppendBatch batch = chain.Next(1, rows);
    if (all.empty()) {
      batch.rows[0].bytes = "\0nul\0"s;
      batch.rows[0].index = {~0ULL, ~0ULL - 1, 1ULL << 63, ~0ULL, ~0ULL, 255, 255};
    }
    if (rows == 2) {
      batch.rows[0].bytes = std::string(chain::kMaxEntry, '\xff');
      batch.rows[1].bytes = std::string(chain::kMaxEntry, '\0');
    }
    chain.Finish(batch);
    ASSERT_OK(store_->Append(id, batch));
    chain.Committed(batch);
    all.insert(all.end(), batch.rows.begin(), batch.rows.end());
  }
  for (int round = 0; round < 2; ++round) {
    ExpectHead(id, chain);
    ASSERT_OK_AND_ASSIGN(const auto rows, store_->ReadEntries(id, 0, 10'000));
    ASSERT_EQ(rows.size(), all.size());
    for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_TRUE(rows[i] == all[i]) << "row " << i;
    ASSERT_OK_AND_ASSIGN(const EntryRow one, store_->ReadEntry(id, 100));
    EXPECT_TRUE(one == all[100]);
    ASSERT_OK_AND_ASSIGN(const auto leaves, store_->ReadLeafHashes(id, 3, all.size() - 3));
    for (std::size_t i = 0; i < leaves.size(); ++i) EXPECT_EQ(leaves[i], all[i + 3].leaf);
    ASSERT_OK_AND_ASSIGN(const std::string tile, store_->ReadTile(id, 0, 1));
    EXPECT_EQ(tile.substr(0, 32), View(all[256].leaf));
    EXPECT_THAT(store_->ReadTile(id, 0, 2), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store_->ReadTile(id, 1, 0), StatusIs(StatusCode::kNotFound));
    EXPECT_THAT(store_->ReadTile(id, 0, ~0ULL), StatusIs(StatusCode::kNotFound));
    Reopen();
  }
}

TEST_P(StoreTest, AnAppendThatDoesNotFitTheHeadIsFencedAndWritesNothing) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 300);
  const AppendBatch good = chain.Next(1, 5);

  AppendBatch wrong = good;
  wrong.term = 2;
  EXPECT_THAT(store_->Append(id, wrong), StatusIs(StatusCode::kAborted));
  wrong.term = 0;
  EXPECT_THAT(store_->Append(id, wrong), StatusIs(StatusCode::kAborted));
  wrong.term = ~0ULL;
  EXPECT_THAT(store_->Append(id, wrong), StatusIs(StatusCode::kAborted));
  wrong = good;
  wrong.old_head[31] ^= 1;
  EXPECT_THAT(store_->Append(id, wrong), StatusIs(StatusCode::kAborted));
  TestChain shorter{std::string(kOrigin)};
  shorter.Committed(shorter.Next(1, 299));
  EXPECT_THAT(store_->Append(id, shorter.Next(1, 3)), StatusIs(StatusCode::kAborted)) << "old size too small";
  TestChain longer{std::string(kOrigin)};
  longer.Committed(longer.Next(1, 301));
  EXPECT_THAT(store_->Append(id, longer.Next(1, 3)), StatusIs(StatusCode::kAborted)) << "old size too large";
  ExpectHead(id, chain);

  ASSERT_OK(store_->Append(id, good));
  EXPECT_THAT(store_->Append(id, good), StatusIs(StatusCode::kAborted)) << "the same batch again";
  chain.Committed(good);
  ExpectHead(id, chain);
}

TEST_P(StoreTest, MalformedBatchesAreRefused) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 250);
  const AppendBatch good = chain.Next(1, 10);
  const auto refused = [&](const char* what, auto&& change) {
    AppendBatch batch = good;
    change(batch);
    EXPECT_THAT(store_->Append(id, batch), StatusIs(StatusCode::kInvalidArgument)) << what;
  };
  refused("no rows", [](AppendBatch& b) { b.rows.clear(); });
  refused("a hole", [](AppendBatch& b) { b.rows.erase(b.rows.begin() + 3); });
  refused("a repeated row", [](AppendBatch& b) { b.rows[4] = b.rows[3]; });
  refused("rows that begin elsewhere", [](AppendBatch& b) { b.old_size += 1; });
  refused("swapped rows", [](AppendBatch& b) { std::swap(b.rows[1], b.rows[2]); });
  refused("another head", [](AppendBatch& b) { b.new_head[0] ^= 1; });
  refused("an entry too long", [&](AppendBatch& b) { b.rows[2].bytes.assign(chain::kMaxEntry + 1, 'x'); });
  refused("an empty entry", [](AppendBatch& b) { b.rows[2].bytes.clear(); });
  refused("a short frontier", [](AppendBatch& b) { b.new_frontier.resize(b.new_frontier.size() - 32); });
  refused("an odd frontier", [](AppendBatch& b) { b.new_frontier += 'x'; });
  refused("a tile that is not full", [](AppendBatch& b) { b.tiles[0].hashes.resize(8160); });
  refused("a tile beyond the head", [](AppendBatch& b) { b.tiles[0].index = 1; });
  refused("a tile level that cannot be", [](AppendBatch& b) { b.tiles[0].level = 8; });
  refused("a size beyond 63 bits", [](AppendBatch& b) {
    b.old_size = (1ULL << 63) - 5;
    for (std::size_t i = 0; i < b.rows.size(); ++i) b.rows[i].sequence = b.old_size + i;
  });
  TestChain big{std::string(kOrigin)};
  EXPECT_THAT(store_->Append(id, big.Next(1, 4'097, 1)), StatusIs(StatusCode::kInvalidArgument)) << "too many rows";
  ExpectHead(id, chain);
  ASSERT_OK(store_->Append(id, good)) << "and the good one still fits";
}

TEST_P(StoreTest, TheLargestBatchFits) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 4'096, 10);
  ExpectHead(id, chain);
  ASSERT_OK_AND_ASSIGN(const auto leaves, store_->ReadLeafHashes(id, 0, 4'096));
  EXPECT_EQ(leaves.back(), chain.head());
  for (std::uint64_t i = 0; i < 16; ++i) EXPECT_OK(store_->ReadTile(id, 0, i));
}

TEST_P(StoreTest, ANumberOfASourceIsHeldOnce) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 10);
  AppendBatch batch = chain.Next(1, 3);
  batch.rows[1].index.source = 0xf000'0000'0000'0000;
  batch.rows[1].index.source_sequence = 7;  // entry 7 % 7 == 0 holds it
  EXPECT_THAT(store_->Append(id, batch), StatusIs(StatusCode::kDataLoss));
  ExpectHead(id, chain);
  const ChainId other = NewChain("virp.example.net/other");
  TestChain same("virp.example.net/other");
  Append(other, same, 10);  // the same numbers in another chain
}

TEST_P(StoreTest, RowsBeyondTheHeadStopTheChain) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 2);
  ASSERT_OK(backend_->Sql(fmt::format(
      "INSERT INTO {{}}entry (chain_id, seq, source, source_epoch, source_seq, subject, received_us, kind, result, "
      "leaf_hash, bytes)"
      " SELECT chain_id, 3, 99, 1, 1, 0, 0, 0, 0, leaf_hash, bytes FROM {{}}entry WHERE chain_id={} AND seq=1",
      id)));
  EXPECT_THAT(store_->Append(id, chain.Next(1, 2)), StatusIs(StatusCode::kDataLoss));
  ASSERT_OK_AND_ASSIGN(const ChainHead head, store_->ReadHead(id));
  EXPECT_EQ(head.size, 2U);
}

TEST_P(StoreTest, AFencedLeaderLosesAndTheNextGoesOn) {
  const ChainId id = NewChain();
  TestChain chain{std::string(kOrigin)};
  Append(id, chain, 3);
  const AppendBatch late = chain.Next(1, 2);
  backend_->ExpireLeases();
  auto other = Open();
  ASSERT_OK_AND_ASSIGN(const ChainHead taken, other->TakeLease(id, "b", "", kLease));
  EXPECT_EQ(taken.size, 3U);
  EXPECT_EQ(taken.head, chain.head());
  EXPECT_THAT(store_->Append(id, late), StatusIs(StatusCode::kAborted));
  const AppendBatch next = chain.Next(taken.term, 2);
  ASSERT_OK(other->Append(id, next));
  chain.Committed(next);
  ExpectHead(id, chain);
}

// Leaders that all think they lead with the same term: each round one of them wins, the others are told.
TEST_P(StoreTest, RacingLeadersMakeOneChain) {
  const ChainId id = NewChain();
  constexpr int kLeaders = 4;
  constexpr int kRounds = 25;
  std::vector<std::unique_ptr<ChainStore>> stores;
  for (int i = 0; i < kLeaders; ++i) stores.push_back(Open());
  TestChain chain{std::string(kOrigin)};
  for (int round = 0; round < kRounds; ++round) {
    std::vector<AppendBatch> batches;
    for (std::size_t i = 0; i < kLeaders; ++i) batches.push_back(chain.Next(1, 1 + i * 5));
    std::atomic<int> winner = -1;
    std::atomic<int> winners = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kLeaders; ++i) {
      threads.emplace_back([&, i] {
        const absl::Status status =
            stores[static_cast<std::size_t>(i)]->Append(id, batches[static_cast<std::size_t>(i)]);
        if (status.ok()) {
          winner = i;
          ++winners;
        } else {
          EXPECT_THAT(status, StatusIs(StatusCode::kAborted));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(winners, 1);
    chain.Committed(batches[static_cast<std::size_t>(winner.load())]);
  }
  ExpectHead(id, chain);
  ASSERT_OK_AND_ASSIGN(const auto rows, store_->ReadEntries(id, 0, 100'000));
  ASSERT_EQ(rows.size(), chain.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Hash expected = i == 0 ? chain::GenesisOf(kOrigin) : rows[i - 1].leaf;
    EXPECT_EQ(rows[i].bytes.substr(32, 32), View(expected)) << "entry " << i;
  }
}

TEST_P(StoreTest, ReadersSeeWholeBatchesOnly) {
  const ChainId id = NewChain();
  std::atomic<bool> done = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      std::uint64_t last = 0;
      while (!done) {
        const auto head = store_->ReadHead(id);
        ASSERT_OK(head);
        ASSERT_GE(head->size, last);
        last = head->size;
        if (last == 0) continue;
        const auto tail = store_->ReadEntry(id, last - 1);
        ASSERT_OK(tail);
        ASSERT_EQ(tail->leaf, head->head);
        ASSERT_EQ(last % 10, 0U);
      }
    });
  }
  TestChain chain{std::string(kOrigin)};
  for (int i = 0; i < 60; ++i) Append(id, chain, 10);
  done = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreTest, ::testing::Values(&NewSqliteBackend));
INSTANTIATE_TEST_SUITE_P(Postgres, StoreTest, ::testing::Values(&NewPostgresBackend));

}  // namespace virp::onode
