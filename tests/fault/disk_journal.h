// What the preloaded library (disk_shim.cc) and the test (disk.h) say to each other: a journal of everything that a
// process did to the files below one folder, in the order in which it did it, and a page of shared memory that the test
// turns knobs on.
#pragma once

#include <atomic>
#include <cstdint>

namespace virp::fault {

// Environment of the process under test.
inline constexpr const char* kDiskRoot = "VIRP_DISK_ROOT";        // folder, without links and without / at its end
inline constexpr const char* kDiskJournal = "VIRP_DISK_JOURNAL";  // file to append to; not set: no journal
inline constexpr const char* kDiskControl = "VIRP_DISK_CONTROL";  // file of a DiskControl

enum class DiskOp : std::uint8_t {
  kCreate = 1,  // name: a new, empty file
  kOpen,        // name: one that is there
  kMakeFolder,  // name
  kWrite,       // at, then bytes
  kResize,      // at: the new size
  kRename,      // name, then the new name behind a zero byte
  kUnlink,      // name
  kSyncBegin,   // fsync, fdatasync: what comes before it is durable when its end is there
  kSyncEnd,     // at: as in the begin
  kSyncFailed,  // at: as in the begin; its end never comes, and a later sync does nothing for what came before it
  kSyncFolder,  // name: names in it are durable; written once the call has returned
  kUnmodelled,  // name: a call that the model does not know; no verdict can be had
};

// One record; `length` bytes (name or data) follow. Files are named by inode: one is not used again while it has a name
// or is open, and kCreate says when it is.
struct DiskRecord {
  std::uint32_t length = 0;
  DiskOp op{};
  std::uint8_t unused[3]{};
  std::uint64_t file = 0;
  std::uint64_t at = 0;
};
static_assert(sizeof(DiskRecord) == 24);

// Shared between processes. All zero: a disk that keeps its promises and has `free_bytes` of none; the test sets it
// first.
struct DiskControl {
  std::atomic<std::int64_t> free_bytes;    // what files may grow by; kDiskUnlimited
  std::atomic<std::uint32_t> ignore_sync;  // fsync answers and does nothing
  std::atomic<std::uint32_t> fail_sync;    // fsync of a file answers EIO; as Linux does, the pages count as clean then
  std::atomic<std::uint32_t> refused;      // calls answered with ENOSPC so far
  std::atomic<std::uint32_t> kill_at;      // the n-th write or sync of a file from now kills the program; 0: none does
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free);

inline constexpr std::int64_t kDiskUnlimited = std::int64_t{1} << 60;

}  // namespace virp::fault
