// What a disk may hold after the power was cut: folders and files as they were when they were last made durable, and of
// what was done since then a part, chosen at random. Stricter than most file systems, never laxer: a file's name is
// durable by fsync of its folder alone, its bytes by fsync or fdatasync of the file alone, and unsynced writes persist
// sector by sector.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/fault/disk_journal.h"

namespace virp::fault {

// By path relative to the root: a file's bytes, or nothing for a folder.
using DiskImage = std::map<std::string, std::optional<std::string>>;

absl::StatusOr<DiskImage> ReadImage(const std::string& root);
// Makes the folder hold this and nothing else.
absl::Status WriteImage(const std::string& root, const DiskImage& image);

// Of what was not made durable.
enum class Survives : std::uint8_t { kNothing, kSome };

class DiskModel {
 public:
  // Everything in `durable` is. `root`: as in the journal.
  DiskModel(std::string root, const DiskImage& durable);

  // Records in order; a record that was cut short ends them. FailedPrecondition: a call that is not modelled.
  absl::Status Replay(std::string_view journal);

  DiskImage Now() const;  // as programs see it
  DiskImage AfterCut(Survives survives, std::mt19937& random) const;

 private:
  struct Change {
    bool resizes = false;
    std::uint64_t at = 0;  // or the new size
    std::string bytes;
  };
  struct Node {
    std::string now;  // as programs see it
    std::string durable;
    std::vector<Change> pending;  // in order
    std::uint64_t synced = 0;     // changes before those
  };
  using Names = std::map<std::string, std::shared_ptr<Node>>;  // null: a folder
  struct NameChange {
    std::string removes, adds;  // either may be empty
    std::shared_ptr<Node> node;
  };

  absl::Status Apply(const DiskRecord& record, std::string_view data);
  absl::Status ApplyName(DiskOp op, const std::string& name, const std::string& second);
  absl::Status ApplyToFile(const DiskRecord& record, std::string_view data);
  std::string Relative(std::string_view path) const;
  void ChangeName(NameChange change);
  static void Take(Names& names, const NameChange& change);
  static void Take(std::string& bytes, const Change& change);
  static std::string AfterCut(const Node& node, Survives survives, std::mt19937& random);

  const std::string root_;
  Names now_, durable_;
  std::map<std::string, std::vector<NameChange>> pending_names_;  // by folder
  std::map<std::uint64_t, std::shared_ptr<Node>> files_;          // by inode
  std::map<std::uint64_t, std::uint64_t> syncs_;                  // begun, by number: changes that it covers
};

}  // namespace virp::fault
