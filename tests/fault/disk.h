// A disk below a program of the tests: it can lose its power, lie about fsync, and be full.
#pragma once

#include <map>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "lib/base/file.h"
#include "tests/fault/disk_journal.h"
#include "tests/fault/disk_model.h"
#include "tests/testutil/temp_dir.h"

namespace virp::fault {

// One folder on a disk of its own. Used by one thread; the control by any.
class Disk {
 public:
  // `root` exists; what is in it is durable. Programs run with Environment() from now on, and nobody else writes there.
  // Without a journal it can be full and lose no power: for programs that write more than a test wants to keep.
  explicit Disk(const std::string& root, bool journal = true);
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  std::map<std::string, std::string> Environment() const;
  DiskControl& control() { return *control_; }

  // After all its programs were killed: the folder holds what the disk kept, and that is durable. FailedPrecondition
  // when a program did what is not modelled.
  absl::Status CutPower(Survives survives, std::mt19937& random);
  // What it might have kept.
  absl::StatusOr<DiskImage> AfterCut(Survives survives, std::mt19937& random) const;
  // After its programs ended by themselves: the journal tells what the folder holds, or nothing that CutPower did was
  // true.
  absl::Status CheckJournal() const;

 private:
  absl::StatusOr<DiskModel> Replayed() const;

  testutil::TempDir dir_;
  const std::string root_;
  const bool keeps_journal_;
  DiskImage durable_;
  FileDescriptor control_file_;
  DiskControl* control_ = nullptr;
};

}  // namespace virp::fault
