#include "lib/base/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "lib/base/status.h"

namespace virp {
namespace {

absl::Status Check(const struct stat& info, const std::string& path, std::string_view what) {
  if (!S_ISREG(info.st_mode)) return FailedPrecondition("{} {}: not a regular file", what, path);
  if (info.st_uid != 0 && info.st_uid != ::geteuid()) {
    return FailedPrecondition("{} {}: owned by user {}, must be owned by this process's user {} or root", what, path,
                              info.st_uid, ::geteuid());
  }
  const unsigned mode = info.st_mode & 07777U;
  if ((mode & S_IRWXO) != 0)
    return FailedPrecondition("{} {}: mode {:04o} lets everybody at it; chmod 0400", what, path, mode);
  if ((mode & S_IWGRP) != 0)
    return FailedPrecondition("{} {}: mode {:04o} lets its group change it; chmod 0400", what, path, mode);
  if ((mode & S_IRGRP) != 0 && !IsOurGroup(info.st_gid)) {
    return FailedPrecondition("{} {}: mode {:04o} lets group {} read it, which this process is not in; chmod 0400",
                              what, path, mode, info.st_gid);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FileDescriptor> OpenSecretFile(const std::string& path, std::string_view what) {
  ASSIGN_OR_RETURN(FileDescriptor file, OpenFile(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return ErrnoStatus(errno, "cannot look at", path);
  RETURN_IF_ERROR(Check(info, path, what));
  return file;
}

absl::StatusOr<std::size_t> ReadUpTo(int fd, char* to, std::size_t size, std::string_view path) {
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = ::read(fd, to + have, size - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "cannot read", path);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return have;
}

}  // namespace virp
