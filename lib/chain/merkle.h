// The Merkle tree of RFC 9162 over leaf hashes: frontier, roots, proofs. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"

namespace virp::chain {

inline constexpr std::uint64_t kMaxTreeSize = std::uint64_t{1} << 63;  // a proof has at most 63 hashes

Hash NodeHash(const Hash& left, const Hash& right);  // SHA-256(0x01, left, right)
Hash EmptyRoot();                                    // SHA-256 of nothing

// Enough of a tree to append and to compute its root: popcount(size) hashes, biggest subtree first.
class Frontier {
 public:
  Frontier() = default;
  // InvalidArgument unless there are popcount(size) hashes.
  static absl::StatusOr<Frontier> FromBytes(std::uint64_t size, std::string_view bytes);
  std::string ToBytes() const;

  void Append(const Hash& leaf);  // about one node hash on average
  // Appends a complete subtree of 1 << level leaves: how subtrees that were hashed in parallel are joined.
  // InvalidArgument unless size() is a multiple of its width.
  absl::Status AppendSubtree(unsigned level, const Hash& root);
  std::uint64_t size() const { return size_; }
  Hash Root() const;
  // The hash over leaves [index << level, (index + 1) << level) if it is one of those held.
  std::optional<Hash> Subtree(unsigned level, std::uint64_t index) const;
  bool operator==(const Frontier&) const = default;

 private:
  void Push(unsigned level, Hash hash);

  std::uint64_t size_ = 0;
  std::vector<Hash> hashes_;
};

Hash RootOf(std::span<const Hash> leaves);  // root over these leaves; EmptyRoot for none

// Where proofs get complete subtrees from: the hash over leaves [index << level, (index + 1) << level).
using SubtreeReader = std::function<absl::StatusOr<Hash>(unsigned level, std::uint64_t index)>;

// Sibling hashes from the leaf upwards (RFC 9162, 2.1.3.1). OutOfRange unless index < size.
absl::StatusOr<std::vector<Hash>> InclusionProof(std::uint64_t index, std::uint64_t size, const SubtreeReader& read);
// RFC 9162, 2.1.4.1. Empty for old_size == size; OutOfRange unless 1 <= old_size <= size.
absl::StatusOr<std::vector<Hash>> ConsistencyProof(std::uint64_t old_size, std::uint64_t size,
                                                   const SubtreeReader& read);

// DataLoss when the proof does not lead from leaf to root (RFC 9162, 2.1.3.2); InvalidArgument for an impossible index.
absl::Status VerifyInclusion(const Hash& leaf, std::uint64_t index, std::uint64_t size, std::span<const Hash> proof,
                             const Hash& root);
// DataLoss when the two roots are not those of one growing tree (RFC 9162, 2.1.4.2); InvalidArgument for old_size >
// size. Size 0 is extended by every tree, with an empty proof.
absl::Status VerifyConsistency(std::uint64_t old_size, const Hash& old_root, std::uint64_t size, const Hash& root,
                               std::span<const Hash> proof);

// Tiles (C2SP tlog-tiles): height 8, a full tile has 256 hashes of 32 bytes.
inline constexpr unsigned kTileHeight = 8;
inline constexpr std::uint64_t kTileWidth = 256;

}  // namespace virp::chain
