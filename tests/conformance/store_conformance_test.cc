// What every store must do: one suite, run over each back end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <random>
#include <thread>

#include "lib/base/status.h"
#include "tests/conformance/store_backend.h"
#include "tests/conformance/test_chain.h"
#include "tests/testutil/status_matchers.h"

namespace virp::onode {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testutil::StatusIs;
using namespace std::chrono_literals;
using namespace std::string_literals;

constexpr std::string_view kOrigin = "virp.example.net/site1";
constexpr auto kLease = 60s;

bool operator==(const EntryRow& a, const EntryRow& b) {
  return a.sequence == b.sequence && a.leaf == b.leaf && a.bytes == b.bytes && a.index.source == b.index.source &&
         a.index.source_epoch == b.index.source_epoch && a.index.source_sequence == b.index.source_sequence &&
         a.index.subject == b.index.subject && a.index.received_us == b.index.received_us &&
         a.index.kind == b.index.kind && a.index.result == b.index.result;
}

Hash RootOf(char fill) {
  Hash out;
  out.fill(static_cast<std::uint8_t>(fill));
  return out;
}

class StoreTest : public ::testing::TestWithParam<StoreBackendFactory> {
 protected:
  void SetUp() override {
    backend_ = GetParam()();
    store_ = Open();
    ASSERT_NE(store_, nullptr);
  }

  std::unique_ptr<ChainStore> Open(const StoreOptions& options = {}) {
    auto store = backend_->Open(options);
    EXPECT_OK(store);
    return store.ok() ? *std::move(store) : nullptr;
  }
  void Reopen() {
    store_.reset();
    store_ = Open();
    ASSERT_NE(store_, nullptr);
  }

  // A chain that `a` leads, at term 1.
  ChainId NewChain(std::string_view origin = kOrigin) {
    auto id = store_->CreateChain(origin, "");
    EXPECT_OK(id);
    EXPECT_OK(store_->TakeLease(*id, "a", "a.example.net:7000", kLease));
    return *id;
  }

  void Append(ChainId id, TestChain& chain, std::size_t rows, std::size_t frame_size = 100, std::uint64_t term = 1) {
    const AppendBatch batch = chain.Next(term, rows, frame_size);
    ASSERT_OK(store_->Append(id, batch));
    chain.Committed(batch);
  }

  void ExpectHead(ChainId id, const TestChain& chain) {
    ASSERT_OK_AND_ASSIGN(const ChainHead head, store_->ReadHead(id));
    EXPECT_EQ(head.size, chain.size());
    EXPECT_EQ(head.head, chain.head());
    ASSERT_OK_AND_ASSIGN(const auto frontier, chain::Frontier::FromBytes(head.size, head.frontier));
    EXPECT_EQ(frontier.Root(), chain.Root());
    ASSERT_OK_AND_ASSIGN(const auto beyond, store_->ReadEntries(id, chain.size(), 10));
    EXPECT_THAT(beyond, IsEmpty());
  }

  std::unique_ptr<StoreBackend> backend_;
  std::unique_ptr<ChainStore> store_;
};

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
  const auto find = [&](std::uint64_t source, std::uint64_t epoch, std::uint64_t number) {
    auto found = store_->FindBySource(id, source, epoch, number);
    EXPECT_OK(found);
    return found.value_or(std::vector<std::uint64_t>{});
  };
  EXPECT_THAT(find(batch.rows[30].index.source, ~0ULL, ~0ULL - 1), ElementsAre(30));
  EXPECT_THAT(find(batch.rows[8].index.source, 1, 8), ElementsAre(8));
  EXPECT_THAT(find(batch.rows[8].index.source, 2, 8), IsEmpty());
  EXPECT_THAT(find(batch.rows[8].index.source + 1, 1, 8), IsEmpty());
  EXPECT_THAT(find(batch.rows[8].index.source, 1, 50), IsEmpty());
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
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { EXPECT_OK(backend_->Open()); });
  }
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

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreTest, ::testing::Values(&NewSqliteBackend));
INSTANTIATE_TEST_SUITE_P(Postgres, StoreTest, ::testing::Values(&NewPostgresBackend));

}  // namespace
}  // namespace virp::onode
