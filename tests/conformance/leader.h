// Leaders for the tests that take them away, and what must hold however that was done.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "lib/base/status.h"
#include "tests/conformance/test_chain.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::onode {

using testutil::Eventually;

// Every entry names the one before, sequences have no hole, the head is the last: there was never a fork.
inline void ExpectOneChain(ChainStore& store, ChainId id, std::string_view origin) {
  ASSERT_OK_AND_ASSIGN(const ChainHead head, store.ReadHead(id));
  Hash previous = chain::GenesisOf(origin);
  for (std::uint64_t next = 0; next < head.size;) {
    ASSERT_OK_AND_ASSIGN(const auto rows, store.ReadEntries(id, next, 4'096));
    ASSERT_FALSE(rows.empty());
    for (const EntryRow& row : rows) {
      ASSERT_EQ(row.sequence, next++);
      ASSERT_EQ(row.bytes.substr(32, 32), View(previous)) << "entry " << row.sequence;
      ASSERT_EQ(row.leaf, chain::LeafHash(row.bytes));
      previous = row.leaf;
    }
  }
  EXPECT_EQ(previous, head.head);
  ASSERT_OK_AND_ASSIGN(const auto beyond, store.ReadEntries(id, head.size, 10));
  EXPECT_TRUE(beyond.empty());
}

// Leads a chain as the domain does: an append whose outcome is not known is settled by reading the head.
class Leader {
 public:
  Leader(ChainStore& store, ChainId id, std::string_view origin, std::uint64_t term)
      : store_(store), id_(id), term_(term), chain_(std::string(origin)) {
    const ChainHead head = ReadHead();
    while (chain_.size() < head.size) {
      const auto rows = store_.ReadEntries(id_, chain_.size(), 4'096);
      if (!rows.ok() || rows->empty()) std::_Exit(4);
      AppendBatch held;
      held.rows = *rows;
      held.new_head = rows->back().leaf;
      chain_.Committed(held);
    }
  }

  // OK once the batch is in the chain, however often that had to be asked; Aborted when fenced.
  absl::Status AppendSettled(std::size_t rows) {
    const AppendBatch batch = chain_.Next(term_, rows);
    while (true) {
      absl::Status status = store_.Append(id_, batch);
      if (!status.ok() && !absl::IsUnknown(status) && !absl::IsUnavailable(status)) return status;
      if (!status.ok()) {
        const ChainHead head = ReadHead();
        if (head.term != term_) return Aborted("another leads");
        if (head.size == batch.old_size) continue;
        if (head.head != batch.new_head) return DataLoss("the chain went elsewhere");
      }
      chain_.Committed(batch);
      return absl::OkStatus();
    }
  }
  std::uint64_t size() const { return chain_.size(); }
  const Hash& head() const { return chain_.head(); }

 private:
  ChainHead ReadHead() {
    while (true) {
      auto head = store_.ReadHead(id_);
      if (head.ok()) return *std::move(head);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  ChainStore& store_;
  const ChainId id_;
  const std::uint64_t term_;
  TestChain chain_;
};

}  // namespace virp::onode
