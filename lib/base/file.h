// Files: descriptors that close themselves, whole reads and writes, and replacing a file so that after a power cut
// either the old or the new content is there. Errors name the path; a full disk is ResourceExhausted.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace virp {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~FileDescriptor() { Reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void Reset(int fd = -1);
  int Release() { return std::exchange(fd_, -1); }  // the caller closes it

 private:
  int fd_ = -1;
};

// The status for an errno value: NotFound, PermissionDenied, AlreadyExists, ResourceExhausted (ENOSPC, EDQUOT), else
// Unavailable.
absl::Status ErrnoStatus(int error, std::string_view what, std::string_view path);

absl::StatusOr<FileDescriptor> OpenFile(const std::string& path, int flags, unsigned mode = 0600);
// Reads the whole file; ResourceExhausted beyond `limit` bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t limit = std::size_t{64} << 20);
// Writes all bytes at the descriptor's position.
absl::Status WriteAll(int fd, std::string_view bytes, std::string_view path);
absl::Status SyncFile(int fd, std::string_view path);      // fdatasync
absl::Status SyncDirectory(const std::string& directory);  // makes creations, renames and removals in it durable
// Temporary file beside it, fsync, rename, fsync of the directory.
absl::Status ReplaceFile(const std::string& path, std::string_view content, unsigned mode = 0600);
// And its parents; OK when it is there. What it made is durable.
absl::Status MakeDirectory(const std::string& path, unsigned mode = 0700);
std::string ParentDirectory(std::string_view path);  // "." for a plain name, "/" at the top
absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);  // names, sorted, without . and ..
// Whether this process is in the group, or it is root's: what such a group may read is not told to strangers.
bool IsOurGroup(gid_t group);

}  // namespace virp
