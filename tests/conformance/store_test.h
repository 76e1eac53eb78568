// The fixture of the conformance suite: a store of the back end under test, and chains in it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "tests/conformance/store_backend.h"
#include "tests/conformance/test_chain.h"
#include "tests/testutil/status_matchers.h"

namespace virp::onode {

inline constexpr std::string_view kOrigin = "virp.example.net/site1";
inline constexpr std::chrono::seconds kLease{60};

inline bool operator==(const EntryRow& a, const EntryRow& b) {
  return a.sequence == b.sequence && a.leaf == b.leaf && a.bytes == b.bytes && a.index.source == b.index.source &&
         a.index.source_epoch == b.index.source_epoch && a.index.source_sequence == b.index.source_sequence &&
         a.index.subject == b.index.subject && a.index.received_us == b.index.received_us &&
         a.index.kind == b.index.kind && a.index.result == b.index.result;
}

inline Hash RootOf(char fill) {
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
    EXPECT_THAT(beyond, ::testing::IsEmpty());
  }

  std::unique_ptr<StoreBackend> backend_;
  std::unique_ptr<ChainStore> store_;
};

}  // namespace virp::onode
