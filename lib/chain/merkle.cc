#include "lib/chain/merkle.h"

#include <bit>
#include <cstring>

#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::chain {
namespace {

// The largest power of two below n, for n >= 2: where RFC 9162 splits a tree.
std::uint64_t Split(std::uint64_t n) {
  return std::bit_floor(n - 1);
}

unsigned LevelOf(std::uint64_t power_of_two) {
  return static_cast<unsigned>(std::countr_zero(power_of_two));
}

// Root over leaves [begin, begin + count), which are one complete subtree or the tree's ragged right edge. Edges are
// put together from the right, out of one complete subtree for each bit of `count`.
absl::StatusOr<Hash> RangeRoot(std::uint64_t begin, std::uint64_t count, const SubtreeReader& read) {
  std::uint64_t end = begin + count;
  std::uint64_t width = count & (~count + 1);
  ASSIGN_OR_RETURN(Hash root, read(LevelOf(width), (end - width) / width));
  end -= width;
  for (count -= width; count != 0; count -= width, end -= width) {
    width = count & (~count + 1);
    ASSIGN_OR_RETURN(const Hash left, read(LevelOf(width), (end - width) / width));
    root = NodeHash(left, root);
  }
  return root;
}

// The part of both verifications that they share: whether a step up comes from the left (RFC 9162, 2.1.3.2
// and 2.1.4.2).
struct Climb {
  std::uint64_t node;
  std::uint64_t last;
  bool TakesLeft() const { return (node & 1) != 0 || node == last; }
  void SkipRightEdge() {
    while ((node & 1) == 0 && node != 0) Up();
  }
  void Up() {
    node >>= 1;
    last >>= 1;
  }
};

}  // namespace

Hash NodeHash(const Hash& left, const Hash& right) {
  char bytes[1 + 2 * sizeof(Hash)] = {1};  // joined here: three updates of a digest cost more than one copy
  std::memcpy(bytes + 1, left.data(), sizeof(Hash));
  std::memcpy(bytes + 1 + sizeof(Hash), right.data(), sizeof(Hash));
  return crypto::Sha256(std::string_view(bytes, sizeof(bytes)));
}

Hash EmptyRoot() {
  return crypto::Sha256(std::string_view());
}

Hash RootOf(std::span<const Hash> leaves) {
  Frontier frontier;
  for (const Hash& leaf : leaves) frontier.Append(leaf);
  return frontier.Root();
}

absl::StatusOr<Frontier> Frontier::FromBytes(std::uint64_t size, std::string_view bytes) {
  const auto count = static_cast<std::size_t>(std::popcount(size));
  if (bytes.size() != count * sizeof(Hash)) {
    return InvalidArgument("the frontier of a tree of {} leaves has {} bytes, got {}", size, count * sizeof(Hash),
                           bytes.size());
  }
  Frontier out;
  out.size_ = size;
  for (std::size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const Hash hash, HashFromBytes(bytes.substr(i * sizeof(Hash), sizeof(Hash))));
    out.hashes_.push_back(hash);
  }
  return out;
}

std::string Frontier::ToBytes() const {
  std::string out;
  out.reserve(hashes_.size() * sizeof(Hash));
  for (const Hash& hash : hashes_) out.append(View(hash));
  return out;
}

void Frontier::Append(const Hash& leaf) {
  Push(0, leaf);
}

absl::Status Frontier::AppendSubtree(unsigned level, const Hash& root) {
  if (level > 62 || (size_ & ((std::uint64_t{1} << level) - 1)) != 0) {
    return InvalidArgument("a subtree of level {} cannot follow {} leaves", level, size_);
  }
  Push(level, root);
  return absl::OkStatus();
}

// Like a carry in binary addition: every complete subtree of the same size on the left is joined.
void Frontier::Push(unsigned level, Hash hash) {
  for (std::uint64_t carry = size_ >> level; (carry & 1) != 0; carry >>= 1) {
    hash = NodeHash(hashes_.back(), hash);
    hashes_.pop_back();
  }
  hashes_.push_back(hash);
  size_ += std::uint64_t{1} << level;
}

Hash Frontier::Root() const {
  if (hashes_.empty()) return EmptyRoot();
  Hash root = hashes_.back();
  for (std::size_t i = hashes_.size() - 1; i-- > 0;) root = NodeHash(hashes_[i], root);
  return root;
}

std::optional<Hash> Frontier::Subtree(unsigned level, std::uint64_t index) const {
  if (level > 63 || ((size_ >> level) & 1) == 0 || index != (size_ >> level) - 1) return std::nullopt;
  const std::uint64_t bigger = level == 63 ? 0 : size_ >> (level + 1);
  return hashes_[static_cast<std::size_t>(std::popcount(bigger))];
}

absl::StatusOr<std::vector<Hash>> InclusionProof(std::uint64_t index, std::uint64_t size, const SubtreeReader& read) {
  if (index >= size) return OutOfRange("entry {} is not in a tree of {} entries", index, size);
  // Walks down from the root; the siblings come out root first and are turned round at the end.
  std::vector<Hash> path;
  std::uint64_t begin = 0;
  for (std::uint64_t count = size; count > 1;) {
    const std::uint64_t left = Split(count);
    const bool in_left = index - begin < left;
    ASSIGN_OR_RETURN(path.emplace_back(),
                     in_left ? RangeRoot(begin + left, count - left, read) : RangeRoot(begin, left, read));
    begin += in_left ? 0 : left;
    count = in_left ? left : count - left;
  }
  return std::vector<Hash>(path.rbegin(), path.rend());
}

absl::StatusOr<std::vector<Hash>> ConsistencyProof(std::uint64_t old_size, std::uint64_t size,
                                                   const SubtreeReader& read) {
  if (old_size < 1 || old_size > size) {
    return OutOfRange("no consistency proof from size {} to size {}: the old size is 1 to the new one", old_size, size);
  }
  std::vector<Hash> path;
  std::uint64_t begin = 0;
  std::uint64_t count = size;
  while (begin + count != old_size) {
    const std::uint64_t left = Split(count);
    const bool in_left = old_size - begin <= left;
    ASSIGN_OR_RETURN(path.emplace_back(),
                     in_left ? RangeRoot(begin + left, count - left, read) : RangeRoot(begin, left, read));
    begin += in_left ? 0 : left;
    count = in_left ? left : count - left;
  }
  if (begin != 0) {  // the old tree is not itself a subtree of the new one: the verifier needs where to start
    ASSIGN_OR_RETURN(path.emplace_back(), RangeRoot(begin, count, read));
  }
  return std::vector<Hash>(path.rbegin(), path.rend());
}

absl::Status VerifyInclusion(const Hash& leaf, std::uint64_t index, std::uint64_t size, std::span<const Hash> proof,
                             const Hash& root) {
  if (index >= size) return InvalidArgument("entry {} cannot be in a tree of {} entries", index, size);
  Climb climb{index, size - 1};
  Hash hash = leaf;
  for (const Hash& sibling : proof) {
    if (climb.last == 0) return DataLoss("the inclusion proof of entry {} at size {} is too long", index, size);
    if (climb.TakesLeft()) {
      hash = NodeHash(sibling, hash);
      if ((climb.node & 1) == 0) climb.SkipRightEdge();
    } else {
      hash = NodeHash(hash, sibling);
    }
    climb.Up();
  }
  if (climb.last != 0) return DataLoss("the inclusion proof of entry {} at size {} is too short", index, size);
  if (hash != root)
    return DataLoss("the inclusion proof of entry {} does not lead to the root of size {}", index, size);
  return absl::OkStatus();
}

absl::Status VerifyConsistency(std::uint64_t old_size, const Hash& old_root, std::uint64_t size, const Hash& root,
                               std::span<const Hash> proof) {
  if (old_size > size) return InvalidArgument("a tree of {} entries cannot extend one of {}", size, old_size);
  if (old_size == size || old_size == 0) {
    if (!proof.empty())
      return DataLoss("a consistency proof from size {} to size {} is empty; this is not", old_size, size);
    if ((old_size == size && old_root != root) || (old_size == 0 && old_root != EmptyRoot())) {
      return DataLoss("two roots for size {}: the chain was forked or rewritten", old_size);
    }
    return absl::OkStatus();
  }
  Climb climb{old_size - 1, size - 1};
  while ((climb.node & 1) != 0) climb.Up();
  // A power of two is a complete subtree of the new tree: the old root itself is where the climb starts.
  const bool whole = std::has_single_bit(old_size);
  if (!whole && proof.empty())
    return DataLoss("the consistency proof from size {} to size {} is too short", old_size, size);
  Hash old_hash = whole ? old_root : proof.front();
  Hash new_hash = old_hash;
  for (const Hash& sibling : whole ? proof : proof.subspan(1)) {
    if (climb.last == 0) return DataLoss("the consistency proof from size {} to size {} is too long", old_size, size);
    if (climb.TakesLeft()) {
      old_hash = NodeHash(sibling, old_hash);
      new_hash = NodeHash(sibling, new_hash);
      if ((climb.node & 1) == 0) climb.SkipRightEdge();
    } else {
      new_hash = NodeHash(new_hash, sibling);
    }
    climb.Up();
  }
  if (climb.last != 0) return DataLoss("the consistency proof from size {} to size {} is too short", old_size, size);
  if (old_hash != old_root || new_hash != root) {
    return DataLoss("the tree of {} entries does not extend the tree of {}: the chain was forked or rewritten", size,
                    old_size);
  }
  return absl::OkStatus();
}

}  // namespace virp::chain
