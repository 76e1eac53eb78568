// A map from well-spread 64-bit keys whose copies share everything that they have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "lib/base/cow.h"

namespace virp {

// A compressed trie of 32-way nodes (CHAMP: Steindorfer and Vinju, 2015), five bits of the key per level from the top.
// Copying a map costs one reference count, a change after that copies the nodes on the way to its key (log32 of the
// size) and changes in place what no other copy holds. Meant for keys that are parts of hashes; others are right too,
// but up to thirteen levels deep. Nothing can be taken out, so equal contents have equal shape. Thread-safe as Cow is.
template <typename V>
class PersistentMap {
 public:
  std::size_t size() const { return size_; }

  // Null when there is none. Valid until the next Mutable of this map.
  const V* Find(std::uint64_t key) const {
    const Node* node = &*root_;
    for (unsigned level = 0;; ++level) {
      const std::uint32_t bit = Bit(key, level);
      if ((node->values & bit) != 0) {
        const Leaf& leaf = node->leaves[Index(node->values, bit)];
        return leaf.first == key ? &leaf.second : nullptr;
      }
      if ((node->nodes & bit) == 0) return nullptr;
      node = &*node->children[Index(node->nodes, bit)];
    }
  }

  // The value of this key, made with V() when there was none. Valid until the next Mutable of this map.
  V& Mutable(std::uint64_t key) {
    Node* node = &root_.Mutable();
    for (unsigned level = 0;; ++level) {
      const std::uint32_t bit = Bit(key, level);
      if ((node->nodes & bit) != 0) {
        node = &node->children[Index(node->nodes, bit)].Mutable();
        continue;
      }
      const std::size_t at = Index(node->values, bit);
      if ((node->values & bit) == 0) {
        node->values |= bit;
        ++size_;
        return node->leaves.emplace(node->leaves.begin() + static_cast<std::ptrdiff_t>(at), key, V())->second;
      }
      if (node->leaves[at].first == key) return node->leaves[at].second;
      node = &PushDown(*node, bit, at, level);
    }
  }

  // In ascending order of keys.
  template <typename F>
  void ForEach(F&& f) const {
    Visit(*root_, f);
  }

  friend bool operator==(const PersistentMap& a, const PersistentMap& b) {
    return a.size_ == b.size_ && a.root_ == b.root_;
  }

 private:
  using Leaf = std::pair<std::uint64_t, V>;
  struct Node {
    std::uint32_t values = 0;  // which of the 32 places hold a leaf ...
    std::uint32_t nodes = 0;   // ... and which a deeper node
    std::vector<Leaf> leaves;
    std::vector<Cow<Node>> children;
    bool operator==(const Node&) const = default;
  };

  static constexpr unsigned kBits = 5;

  static std::uint32_t Bit(std::uint64_t key, unsigned level) {
    const unsigned used = level * kBits;  // 60 at the last level, where four bits remain
    const unsigned digit =
        used + kBits <= 64 ? static_cast<unsigned>(key >> (64 - kBits - used)) & 31U : static_cast<unsigned>(key) & 15U;
    return std::uint32_t{1} << digit;
  }
  static std::size_t Index(std::uint32_t map, std::uint32_t bit) { return Ones(map & (bit - 1)); }
  // std::popcount is a call into libgcc on a processor that may be without the instruction (the x86-64 baseline).
  static std::size_t Ones(std::uint32_t word) {
    word -= word >> 1 & 0x5555'5555U;
    word = (word & 0x3333'3333U) + (word >> 2 & 0x3333'3333U);
    return ((word + (word >> 4)) & 0x0f0f'0f0fU) * 0x0101'0101U >> 24;
  }

  // Moves the leaf at `at`, which stands where another key has to pass, one level down.
  static Node& PushDown(Node& node, std::uint32_t bit, std::size_t at, unsigned level) {
    Node deeper;
    deeper.values = Bit(node.leaves[at].first, level + 1);
    deeper.leaves.push_back(std::move(node.leaves[at]));
    node.leaves.erase(node.leaves.begin() + static_cast<std::ptrdiff_t>(at));
    node.values &= ~bit;
    const auto place = static_cast<std::ptrdiff_t>(Index(node.nodes, bit));
    node.nodes |= bit;
    return node.children.insert(node.children.begin() + place, Cow<Node>(std::move(deeper)))->Mutable();
  }

  template <typename F>
  static void Visit(const Node& node, F& f) {
    for (std::uint32_t rest = node.values | node.nodes; rest != 0; rest &= rest - 1) {
      const std::uint32_t bit = rest & (~rest + 1);
      if ((node.values & bit) != 0) {
        const Leaf& leaf = node.leaves[Index(node.values, bit)];
        f(leaf.first, leaf.second);
      } else {
        Visit(*node.children[Index(node.nodes, bit)], f);
      }
    }
  }

  Cow<Node> root_;
  std::size_t size_ = 0;
};

}  // namespace virp
