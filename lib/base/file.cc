#include "lib/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include "lib/base/status.h"

namespace virp {

void FileDescriptor::Reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

absl::Status ErrnoStatus(int error, std::string_view what, std::string_view path) {
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  switch (error) {
    case ENOENT:
      code = absl::StatusCode::kNotFound;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = absl::StatusCode::kPermissionDenied;
      break;
    case EEXIST:
      code = absl::StatusCode::kAlreadyExists;
      break;
    case ENOSPC:
    case EDQUOT:
      code = absl::StatusCode::kResourceExhausted;
      break;
    default:
      break;
  }
  return MakeStatus(code, "{} {}: {}", what, path, std::generic_category().message(error));
}

absl::StatusOr<FileDescriptor> OpenFile(const std::string& path, int flags, unsigned mode) {
  FileDescriptor fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) return ErrnoStatus(errno, "cannot open", path);
  return fd;
}

absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t limit) {
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY));
  std::string content;
  constexpr std::size_t kChunk = 64 << 10;
  while (true) {
    const std::size_t have = content.size();
    content.resize(have + kChunk);
    const ssize_t got = ::read(fd.get(), content.data() + have, kChunk);
    if (got < 0 && errno == EINTR) {
      content.resize(have);
      continue;
    }
    if (got < 0) return ErrnoStatus(errno, "cannot read", path);
    content.resize(have + static_cast<std::size_t>(got));
    if (content.size() > limit) return ResourceExhausted("{} has more than {} bytes", path, limit);
    if (got == 0) return content;
  }
}

absl::Status WriteAll(int fd, std::string_view bytes, std::string_view path) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoStatus(errno, "cannot write", path);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return absl::OkStatus();
}

absl::Status SyncFile(int fd, std::string_view path) {
  return ::fdatasync(fd) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "cannot sync", path);
}

absl::Status SyncDirectory(const std::string& directory) {
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(directory, O_RDONLY | O_DIRECTORY));
  return ::fsync(fd.get()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "cannot sync", directory);
}

std::string ParentDirectory(std::string_view path) {
  const std::size_t end = path.find_last_not_of('/');
  const std::size_t slash = end == std::string_view::npos ? end : path.rfind('/', end);
  if (slash == std::string_view::npos) return path.starts_with('/') ? "/" : ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

absl::Status ReplaceFile(const std::string& path, std::string_view content, unsigned mode) {
  const std::string temporary = path + ".tmp";
  {
    ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
    // One that was left behind may have another mode; no secret goes into it before it has ours.
    if (::fchmod(fd.get(), mode) != 0) return ErrnoStatus(errno, "cannot set the mode of", temporary);
    RETURN_IF_ERROR(WriteAll(fd.get(), content, temporary));
    if (::fsync(fd.get()) != 0) return ErrnoStatus(errno, "cannot sync", temporary);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, "cannot rename to", path);
  return SyncDirectory(ParentDirectory(path));
}

absl::Status MakeDirectory(const std::string& path, unsigned mode) {
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (!part.empty()) {
      if (::mkdir(part.c_str(), mode) == 0)
        RETURN_IF_ERROR(SyncDirectory(ParentDirectory(part)));
      else if (errno != EEXIST)
        return ErrnoStatus(errno, "cannot make", part);
    }
    if (at == std::string::npos) return absl::OkStatus();
  }
}

absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) {
  const auto close = [](DIR* open) { ::closedir(open); };
  const std::unique_ptr<DIR, decltype(close)> directory(::opendir(path.c_str()), close);
  if (directory == nullptr) return ErrnoStatus(errno, "cannot list", path);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool IsOurGroup(gid_t group) {
  if (group == 0 || group == ::getegid()) return true;
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(0, ::getgroups(0, nullptr))));
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  return count > 0 && std::find(groups.begin(), groups.begin() + count, group) != groups.begin() + count;
}

}  // namespace virp
