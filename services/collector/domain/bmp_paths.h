// The paths last reported of one view of one peer, and the attribute texts that they share. A million paths have about
// a hundred thousand sets of attributes between them, so a path is a key and a number.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/ip.h"
#include "lib/bmp/update.h"

namespace virp::collector {

// Texts that are held once and counted. Not thread-safe.
class AttributeTexts {
 public:
  using Id = std::uint32_t;
  Id Add(std::string_view text);  // one more user; Remove takes it back
  void Remove(Id id);
  std::string_view Text(Id id) const { return entries_[id].text; }
  std::uint64_t bytes() const { return bytes_; }  // what the texts and their bookkeeping take
  std::size_t size() const { return ids_.size(); }

 private:
  struct Entry {
    std::string text;
    std::uint32_t users = 0;
  };
  struct TextHash {
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::deque<Entry> entries_;  // texts stay where they are: ids_ points into them
  std::vector<Id> free_;
  absl::flat_hash_map<std::string_view, Id, TextHash> ids_;
  std::uint64_t bytes_ = 0;
};

// What is held of a path besides its key.
struct HeldPath {
  AttributeTexts::Id attributes = 0;
  std::uint8_t mark = 0;  // the dump that it was last stated in
};

// Families, and in `PathTable::complete` what a statement of completeness was about.
inline constexpr std::uint8_t kIpv4Bit = 1, kIpv6Bit = 2, kBothFamilies = kIpv4Bit | kIpv6Bit;
inline constexpr std::uint8_t kListedOnly = 4;  // of those families the configured prefixes only
inline std::uint8_t FamilyBit(const Prefix& prefix) {
  return prefix.family() == IpFamily::kV4 ? kIpv4Bit : kIpv6Bit;
}

// About 30 bytes for an IPv4 and 46 for an IPv6 path at the mean load of the maps, twice that while a map grows; beside
// them the shared texts. Not thread-safe.
class PathTable {
 public:
  PathTable() = default;
  PathTable(const PathTable&) = delete;  // users of its texts are counted
  PathTable& operator=(const PathTable&) = delete;

  // Null when it is not held. Valid until the next Insert or Erase.
  HeldPath* Find(const bmp::Route& route);
  // The path must not be held.
  void Insert(const bmp::Route& route, AttributeTexts::Id attributes);
  bool Erase(const bmp::Route& route, AttributeTexts& texts);
  void Clear(AttributeTexts& texts);
  std::uint64_t size() const { return v4_.size() + v6_.size(); }

  // A dump begins: every path counts as not stated until Restate or Insert.
  void BeginDump();
  bool IsStated(const HeldPath& path) const { return path.mark == mark_; }
  void Restate(HeldPath& path) { path.mark = mark_; }
  std::vector<bmp::Route> Unstated() const;

  std::vector<bmp::Route> Routes() const;
  template <typename Visit>  // visit(const bmp::Route&, const HeldPath&)
  void ForEach(Visit&& visit) const {
    for (const auto& [key, path] : v4_) visit(key.ToRoute(), path);
    for (const auto& [key, path] : v6_) visit(key.ToRoute(), path);
  }

  std::uint8_t complete = 0;  // what it was stated to hold all of since it was made; 0: nothing

 private:
  struct V4Key {
    std::uint32_t address = 0;
    std::uint32_t path_id = 0;
    std::uint8_t length = 0;
    explicit V4Key(const bmp::Route& route);
    bmp::Route ToRoute() const;
    friend bool operator==(const V4Key&, const V4Key&) = default;
    template <typename H>
    friend H AbslHashValue(H state, const V4Key& k) {
      return H::combine(std::move(state), k.address, k.path_id, k.length);
    }
  };
  struct V6Key {
    std::array<char, 16> address{};
    std::uint32_t path_id = 0;
    std::uint8_t length = 0;
    explicit V6Key(const bmp::Route& route);
    bmp::Route ToRoute() const;
    friend bool operator==(const V6Key&, const V6Key&) = default;
    template <typename H>
    friend H AbslHashValue(H state, const V6Key& k) {
      return H::combine(std::move(state), k.address, k.path_id, k.length);
    }
  };

  absl::flat_hash_map<V4Key, HeldPath> v4_;
  absl::flat_hash_map<V6Key, HeldPath> v6_;
  std::uint8_t mark_ = 0;
};

}  // namespace virp::collector
