#include "lib/chain/merkle.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "lib/base/status.h"
#include "lib/chain/chain_vectors.h"
#include "lib/chain/entry.h"

namespace virp::chain {
namespace {

using Leaves = std::span<const Hash>;

// The definitions of RFC 9162, section 2.1, as they stand there: slow, and nothing in common with the code under test.
std::size_t NaiveSplit(std::size_t n) {
  std::size_t k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

Hash NaiveRoot(Leaves d) {
  if (d.empty()) return EmptyRoot();
  if (d.size() == 1) return d[0];
  const std::size_t k = NaiveSplit(d.size());
  return NodeHash(NaiveRoot(d.first(k)), NaiveRoot(d.subspan(k)));
}

std::vector<Hash> NaivePath(std::size_t m, Leaves d) {
  if (d.size() <= 1) return {};
  const std::size_t k = NaiveSplit(d.size());
  std::vector<Hash> path = m < k ? NaivePath(m, d.first(k)) : NaivePath(m - k, d.subspan(k));
  path.push_back(m < k ? NaiveRoot(d.subspan(k)) : NaiveRoot(d.first(k)));
  return path;
}

std::vector<Hash> NaiveProof(std::size_t m, Leaves d, bool whole = true) {
  if (m == d.size()) return whole ? std::vector<Hash>{} : std::vector<Hash>{NaiveRoot(d)};
  const std::size_t k = NaiveSplit(d.size());
  std::vector<Hash> path = m <= k ? NaiveProof(m, d.first(k), whole) : NaiveProof(m - k, d.subspan(k), false);
  path.push_back(m <= k ? NaiveRoot(d.subspan(k)) : NaiveRoot(d.first(k)));
  return path;
}

SubtreeReader ReaderOf(Leaves leaves) {
  return [leaves](unsigned level, std::uint64_t index) -> absl::StatusOr<Hash> {
    const std::uint64_t width = std::uint64_t{1} << level;
    if ((index + 1) * width > leaves.size()) return Internal("subtree ({}, {}) is not complete", level, index);
    return NaiveRoot(leaves.subspan(index * width, width));
  };
}

std::vector<Hash> SomeLeaves(std::size_t count) {
  std::vector<Hash> leaves;
  for (std::size_t i = 0; i < count; ++i) leaves.push_back(LeafHash("observation " + std::to_string(i)));
  return leaves;
}

// Every single changed bit position of every byte would be slow; one flipped bit per byte tells the same.
template <typename Check>
void ExpectEachByteMatters(std::vector<Hash> proof, Check refused) {
  for (std::size_t i = 0; i < proof.size(); ++i) {
    for (std::size_t byte = 0; byte < sizeof(Hash); ++byte) {
      proof[i][byte] ^= 0x10;
      EXPECT_TRUE(refused(proof)) << "hash " << i << ", byte " << byte;
      proof[i][byte] ^= 0x10;
    }
  }
  std::vector<Hash> longer = proof;
  longer.push_back(Hash{});
  EXPECT_TRUE(refused(longer));
  if (!proof.empty()) {
    proof.pop_back();
    EXPECT_TRUE(refused(proof));
  }
}

TEST(Merkle, VectorRootsAndFrontier) {
  for (const std::string_view name : kVectorChains) {
    Frontier frontier;
    EXPECT_EQ(frontier.Root(), EmptyRoot());
    for (const auto& entry : VectorChain(name)["entries"]) {
      frontier.Append(UnhexHash(entry["leaf_hash_hex"]));
      EXPECT_EQ(HexEncode(View(frontier.Root())), Text(entry["root_hex"]));
      const auto again = Frontier::FromBytes(frontier.size(), frontier.ToBytes());
      ASSERT_TRUE(again.ok());
      EXPECT_EQ(*again, frontier);
    }
  }
  EXPECT_EQ(HexEncode(View(EmptyRoot())), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Merkle, VectorInclusionProofs) {
  for (const std::string_view name : kVectorChains) {
    const std::vector<Hash> leaves = VectorLeaves(name);
    for (const auto& vector : VectorChain(name)["inclusion"]) {
      const std::uint64_t index = vector["index"];
      const std::uint64_t size = vector["size"];
      const std::vector<Hash> expected = UnhexHashes(vector["path_hex"]);
      const auto proof = InclusionProof(index, size, ReaderOf(leaves));
      ASSERT_TRUE(proof.ok()) << proof.status();
      EXPECT_EQ(*proof, expected);
      const Hash root = UnhexHash(VectorChain(name)["entries"][size - 1]["root_hex"]);
      EXPECT_TRUE(VerifyInclusion(leaves[index], index, size, expected, root).ok());
      ExpectEachByteMatters(expected, [&](const std::vector<Hash>& bad) {
        return VerifyInclusion(leaves[index], index, size, bad, root).code() == absl::StatusCode::kDataLoss;
      });
    }
  }
}

TEST(Merkle, VectorConsistencyProofs) {
  for (const std::string_view name : kVectorChains) {
    const std::vector<Hash> leaves = VectorLeaves(name);
    const auto& entries = VectorChain(name)["entries"];
    for (const auto& vector : VectorChain(name)["consistency"]) {
      const std::uint64_t old_size = vector["old"];
      const std::uint64_t size = vector["new"];
      const std::vector<Hash> expected = UnhexHashes(vector["path_hex"]);
      const auto proof = ConsistencyProof(old_size, size, ReaderOf(leaves));
      ASSERT_TRUE(proof.ok()) << proof.status();
      EXPECT_EQ(*proof, expected);
      const Hash old_root = UnhexHash(entries[old_size - 1]["root_hex"]);
      const Hash root = UnhexHash(entries[size - 1]["root_hex"]);
      EXPECT_TRUE(VerifyConsistency(old_size, old_root, size, root, expected).ok());
      ExpectEachByteMatters(expected, [&](const std::vector<Hash>& bad) {
        return VerifyConsistency(old_size, old_root, size, root, bad).code() == absl::StatusCode::kDataLoss;
      });
    }
  }
}

TEST(Merkle, AgreesWithTheDefinitionUpTo300) {
  const std::vector<Hash> all = SomeLeaves(300);
  std::vector<Hash> roots = {EmptyRoot()};
  Frontier frontier;
  for (const Hash& leaf : all) {
    frontier.Append(leaf);
    roots.push_back(frontier.Root());
  }
  std::mt19937 random(20);
  for (std::size_t size = 1; size <= all.size(); ++size) {
    const Leaves leaves = Leaves(all).first(size);
    ASSERT_EQ(roots[size], NaiveRoot(leaves));
    ASSERT_EQ(RootOf(leaves), roots[size]);
    // All positions of small trees, and some of each of the others: the naive proofs are quadratic.
    const std::size_t step = size <= 40 ? 1 : 1 + random() % 61;
    for (std::size_t at = 0; at < size; at += step) {
      const auto path = InclusionProof(at, size, ReaderOf(leaves));
      ASSERT_TRUE(path.ok());
      ASSERT_EQ(*path, NaivePath(at, leaves)) << at << " of " << size;
      ASSERT_TRUE(VerifyInclusion(all[at], at, size, *path, roots[size]).ok());
      ASSERT_FALSE(VerifyInclusion(all[(at + 1) % 300], at, size, *path, roots[size]).ok());
      ASSERT_FALSE(VerifyInclusion(all[at], at, size, *path, roots[size - 1]).ok());
      if (at + 1 < size && all[at] != all[at + 1]) {
        ASSERT_FALSE(VerifyInclusion(all[at], at + 1, size, *path, roots[size]).ok());
      }
      const auto proof = ConsistencyProof(at + 1, size, ReaderOf(leaves));
      ASSERT_TRUE(proof.ok());
      ASSERT_EQ(*proof, NaiveProof(at + 1, leaves)) << at + 1 << " to " << size;
      ASSERT_TRUE(VerifyConsistency(at + 1, roots[at + 1], size, roots[size], *proof).ok());
      ASSERT_FALSE(VerifyConsistency(at + 1, roots[at], size, roots[size], *proof).ok());
      ASSERT_FALSE(VerifyConsistency(at + 1, roots[at + 1], size, roots[size - 1], *proof).ok());
    }
  }
}

TEST(Merkle, ImpossibleQuestions) {
  const std::vector<Hash> leaves = SomeLeaves(4);
  const SubtreeReader read = ReaderOf(leaves);
  EXPECT_EQ(InclusionProof(4, 4, read).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(InclusionProof(0, 0, read).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ConsistencyProof(0, 4, read).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ConsistencyProof(5, 4, read).status().code(), absl::StatusCode::kOutOfRange);
  const Hash root = RootOf(leaves);
  EXPECT_EQ(VerifyInclusion(leaves[0], 4, 4, {}, root).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(VerifyInclusion(leaves[0], 0, 0, {}, root).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(VerifyConsistency(5, root, 4, root, {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(VerifyConsistency(3, root, 4, root, {}).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(VerifyConsistency(2, root, 4, root, {}).code(), absl::StatusCode::kDataLoss);
}

TEST(Merkle, TheEmptyTreeIsExtendedByEveryTree) {
  const Hash root = RootOf(SomeLeaves(4));
  EXPECT_TRUE(VerifyConsistency(0, EmptyRoot(), 4, root, {}).ok());
  EXPECT_TRUE(VerifyConsistency(0, EmptyRoot(), 0, EmptyRoot(), {}).ok());
  EXPECT_FALSE(VerifyConsistency(0, root, 4, root, {}).ok());
  EXPECT_FALSE(VerifyConsistency(0, EmptyRoot(), 0, root, {}).ok());
  const std::vector<Hash> proof = {root};
  EXPECT_FALSE(VerifyConsistency(0, EmptyRoot(), 4, root, proof).ok());
}

TEST(Merkle, SameSizeOtherRootIsAFork) {
  const Hash root = RootOf(SomeLeaves(4));
  Hash other = root;
  other[31] ^= 1;
  EXPECT_TRUE(VerifyConsistency(4, root, 4, root, {}).ok());
  EXPECT_EQ(VerifyConsistency(4, root, 4, other, {}).code(), absl::StatusCode::kDataLoss);
}

TEST(Merkle, ReaderFailuresArePassedOn) {
  const SubtreeReader broken = [](unsigned, std::uint64_t) -> absl::StatusOr<Hash> { return Unavailable("disk"); };
  EXPECT_EQ(InclusionProof(1, 5, broken).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ConsistencyProof(3, 5, broken).status().code(), absl::StatusCode::kUnavailable);
}

TEST(Merkle, HugeTreesNeitherHangNorOverflow) {
  const SubtreeReader any = [](unsigned level, std::uint64_t index) -> absl::StatusOr<Hash> {
    if (level < 63 && index > (~std::uint64_t{0} >> level)) return Internal("({}, {})", level, index);
    return LeafHash(std::to_string(level) + "/" + std::to_string(index));
  };
  for (const std::uint64_t size : {kMaxTreeSize, kMaxTreeSize - 1, (kMaxTreeSize >> 1) + 1}) {
    for (const std::uint64_t index : {std::uint64_t{0}, size / 3, size - 1}) {
      const auto path = InclusionProof(index, size, any);
      ASSERT_TRUE(path.ok()) << path.status();
      EXPECT_LE(path->size(), 63u);
      EXPECT_EQ(VerifyInclusion(Hash{}, index, size, *path, Hash{}).code(), absl::StatusCode::kDataLoss);
      const auto proof = ConsistencyProof(index + 1, size, any);
      ASSERT_TRUE(proof.ok()) << proof.status();
      EXPECT_LE(proof->size(), 64u);
    }
  }
}

TEST(Frontier, SubtreesJoinLikeLeaves) {
  const std::vector<Hash> leaves = SomeLeaves(300);
  for (const std::size_t width : {2u, 8u, 64u}) {
    Frontier whole;
    Frontier joined;
    for (std::size_t at = 0; at + width <= leaves.size(); at += width) {
      for (std::size_t i = at; i < at + width; ++i) whole.Append(leaves[i]);
      const auto level = static_cast<unsigned>(std::countr_zero(width));
      ASSERT_TRUE(joined.AppendSubtree(level, RootOf(Leaves(leaves).subspan(at, width))).ok());
      ASSERT_EQ(joined, whole);
    }
    joined.Append(leaves[0]);
    EXPECT_EQ(joined.AppendSubtree(1, leaves[0]).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(joined.AppendSubtree(63, leaves[0]).code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Frontier, KnowsItsSubtrees) {
  const std::vector<Hash> leaves = SomeLeaves(300);
  Frontier frontier;
  for (std::size_t size = 1; size <= leaves.size(); ++size) {
    frontier.Append(leaves[size - 1]);
    int found = 0;
    for (unsigned level = 0; level < 12; ++level) {
      for (std::uint64_t index = 0; index <= size >> level; ++index) {
        const auto hash = frontier.Subtree(level, index);
        if (!hash) continue;
        ++found;
        ASSERT_EQ(*hash, NaiveRoot(Leaves(leaves).subspan(index << level, std::size_t{1} << level)));
      }
    }
    ASSERT_EQ(found, std::popcount(size));
  }
  EXPECT_FALSE(frontier.Subtree(63, 0));
  EXPECT_FALSE(frontier.Subtree(64, 0));
}

TEST(Frontier, BytesOfAnotherSizeAreRefused) {
  EXPECT_TRUE(Frontier::FromBytes(0, "").ok());
  EXPECT_EQ(Frontier::FromBytes(3, std::string(32, 'x')).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Frontier::FromBytes(2, std::string(33, 'x')).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Frontier::FromBytes(0, std::string(32, 'x')).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace virp::chain
