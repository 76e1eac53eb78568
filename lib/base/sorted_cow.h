// A map from text whose copies share everything that they have in common, in the order of the keys.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/cow.h"

namespace virp {

// Sorted chunks of at most kChunk entries under one directory, each shared until it is changed. Copying a map costs one
// reference count; the first change after that copies the directory (one pointer and one key per chunk) and one chunk.
// Meant for up to some hundred thousand entries, of which each commit changes few. Thread-safe as Cow is.
template <typename V>
class SortedCow {
 public:
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Null when there is none. Valid until this map changes.
  const V* Find(std::string_view key) const {
    const Directory& chunks = *chunks_;
    const std::size_t at = ChunkOf(chunks, key);
    if (at == chunks.size()) return nullptr;
    const Entries& entries = *chunks[at].entries;
    const auto found = Lower(entries, key);
    return found != entries.end() && found->first == key ? &found->second : nullptr;
  }

  // The value of this key, made with V() when there was none. Valid until this map changes.
  V& Mutable(std::string_view key) {
    Directory& chunks = chunks_.Mutable();
    if (chunks.empty()) chunks.emplace_back();
    const std::size_t at = std::min(ChunkOf(chunks, key), chunks.size() - 1);
    Entries& entries = chunks[at].entries.Mutable();
    auto found = Lower(entries, key);
    if (found != entries.end() && found->first == key) return found->second;
    found = entries.emplace(found, std::string(key), V());
    ++size_;
    if (chunks[at].last < key) chunks[at].last = key;
    return entries.size() <= kChunk ? found->second : Split(chunks, at, key);
  }

  bool Erase(std::string_view key) {
    if (Find(key) == nullptr) return false;
    Directory& chunks = chunks_.Mutable();
    const std::size_t at = ChunkOf(chunks, key);
    Entries& entries = chunks[at].entries.Mutable();
    entries.erase(Lower(entries, key));
    --size_;
    if (entries.empty()) {
      chunks.erase(chunks.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      chunks[at].last = entries.back().first;
    }
    return true;
  }

  // Calls f(key, value) in order, from the first key that is not less than `from`, until it returns false.
  template <typename F>
  void ForEachFrom(std::string_view from, F&& f) const {
    const Directory& chunks = *chunks_;
    for (std::size_t at = ChunkOf(chunks, from); at < chunks.size(); ++at) {
      const Entries& entries = *chunks[at].entries;
      for (auto entry = Lower(entries, from); entry != entries.end(); ++entry) {
        if (!f(entry->first, entry->second)) return;
      }
    }
  }

 private:
  static constexpr std::size_t kChunk = 128;
  using Entries = std::vector<std::pair<std::string, V>>;
  struct Chunk {
    std::string last;  // greatest key in it
    Cow<Entries> entries;
  };
  using Directory = std::vector<Chunk>;

  // The chunk in which the key is, if it is anywhere; size() when it is behind all.
  static std::size_t ChunkOf(const Directory& chunks, std::string_view key) {
    const auto found = std::partition_point(chunks.begin(), chunks.end(),
                                            [&](const Chunk& chunk) { return std::string_view(chunk.last) < key; });
    return static_cast<std::size_t>(found - chunks.begin());
  }
  template <typename E>
  static auto Lower(E& entries, std::string_view key) {
    return std::partition_point(entries.begin(), entries.end(),
                                [&](const auto& entry) { return std::string_view(entry.first) < key; });
  }

  // Halves a chunk that has grown too large; the value of `key`, which is in one of the halves.
  static V& Split(Directory& chunks, std::size_t at, std::string_view key) {
    Entries& low = chunks[at].entries.Mutable();
    const auto middle = low.begin() + static_cast<std::ptrdiff_t>(low.size() / 2);
    Chunk high{chunks[at].last, Cow<Entries>(Entries(std::move_iterator(middle), std::move_iterator(low.end())))};
    low.erase(middle, low.end());
    chunks[at].last = low.back().first;
    chunks.insert(chunks.begin() + static_cast<std::ptrdiff_t>(at) + 1, std::move(high));
    return Lower(chunks[ChunkOf(chunks, key)].entries.Mutable(), key)->second;
  }

  Cow<Directory> chunks_;
  std::size_t size_ = 0;
};

}  // namespace virp
