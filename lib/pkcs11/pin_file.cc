#include "lib/pkcs11/pin_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "lib/base/file.h"
#include "lib/base/status.h"

namespace virp::pkcs11 {
namespace {

bool IsOurGroup(gid_t group) {
  if (group == ::getegid()) return true;
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(0, ::getgroups(0, nullptr))));
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  return count > 0 && std::find(groups.begin(), groups.begin() + count, group) != groups.begin() + count;
}

absl::Status Check(const struct stat& info, const std::string& path) {
  const unsigned mode = info.st_mode & 07777U;
  if (!S_ISREG(info.st_mode)) return FailedPrecondition("PIN file {}: not a regular file", path);
  if (info.st_uid != 0 && info.st_uid != ::geteuid()) {
    return FailedPrecondition("PIN file {}: owned by user {}, must be owned by this process's user {} or root", path,
                              info.st_uid, ::geteuid());
  }
  if ((mode & 0027U) != 0) {
    return FailedPrecondition("PIN file {}: mode {:04o} lets others read or change it; chmod 0400", path, mode);
  }
  if ((mode & 0040U) != 0 && !IsOurGroup(info.st_gid)) {
    return FailedPrecondition(
        "PIN file {}: mode {:04o} lets group {} read it, which this process is not in; chmod 0400", path, mode,
        info.st_gid);
  }
  return absl::OkStatus();
}

// Up to the buffer's size; how many bytes came.
absl::StatusOr<std::size_t> ReadInto(int fd, crypto::Secret& out, const std::string& path) {
  std::size_t have = 0;
  while (have < out.size()) {
    const ssize_t got = ::read(fd, out.data() + have, out.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "cannot read PIN file", path);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return have;
}

}  // namespace

absl::StatusOr<Pin> ReadPinFile(const std::string& path) {
  // Not to wait for a writer when somebody put a FIFO there.
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "cannot look at PIN file", path);
  RETURN_IF_ERROR(Check(info, path));

  Pin pin{.text = crypto::Secret(kMaxPin + 3), .file = {}};
  ASSIGN_OR_RETURN(std::size_t size, ReadInto(fd.get(), pin.text, path));
  std::string_view text = pin.text.view().substr(0, size);
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.empty()) return InvalidArgument("PIN file {}: empty", path);
  if (text.size() > kMaxPin) return InvalidArgument("PIN file {}: more than {} bytes", path, kMaxPin);
  if (text.find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos) {
    return InvalidArgument("PIN file {}: must hold the PIN on one line and nothing else", path);
  }
  pin.text.Truncate(text.size());
  pin.file = {.device = info.st_dev,
              .inode = info.st_ino,
              .size = info.st_size,
              .changed_nanos = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
  return pin;
}

}  // namespace virp::pkcs11
