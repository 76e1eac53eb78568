// All subjects that a chain knows, in the order of their text: what ListSubjects pages through. Subjects are long and
// begin alike, so neighbours are kept together and each is stored as what it adds to the one before: about 20 bytes
// for a path instead of the 150 of a node in a set of strings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace virp::onode {

// A set of strings of at most 64 KiB each. Nothing is ever taken out. Const calls may run in parallel.
class SubjectIndex {
 public:
  // False when it was there. Reads at most one block of 64 strings.
  bool Insert(std::string_view text);

  // Those that begin with `prefix` and come after `after` (both may be empty), ascending, at most `limit`.
  std::vector<std::string> List(std::string_view prefix, std::string_view after, std::size_t limit) const;

  std::size_t size() const { return size_; }
  std::size_t MemoryBytes() const { return memory_; }

 private:
  // Each string as three parts: how many bytes it shares with the one before, how many follow, and those.
  struct Block {
    std::string coded;
    std::uint16_t count = 0;
  };
  using Blocks = std::map<std::string, Block, std::less<>>;  // by their first string

  class Cursor;
  static void Append(std::string& coded, std::string_view previous, std::string_view text);
  void Split(Blocks::iterator at);

  Blocks blocks_;
  std::size_t size_ = 0;
  std::size_t memory_ = 0;
};

}  // namespace virp::onode
