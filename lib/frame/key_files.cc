#include "lib/frame/key_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/names.h"
#include "lib/base/secret_file.h"
#include "lib/base/status.h"
#include "lib/crypto/random.h"

namespace virp::frame {
namespace {

constexpr std::size_t kMaxFileSize = 4096;
constexpr std::size_t kMaxFiles = 200'000;
constexpr std::size_t kMaxFolderDepth = 16;

std::string ErrnoText(int error) {
  return std::string(std::strerror(error));
}

absl::Status CheckOwner(const struct stat& info, std::string_view what, std::string_view path) {
  if (info.st_uid == 0 || info.st_uid == ::geteuid()) return absl::OkStatus();
  return FailedPrecondition("{} {}: owned by user {}, must be owned by this process's user {} or root", what, path,
                            info.st_uid, ::geteuid());
}

absl::Status CheckFolder(int fd, const struct stat& info, std::string_view path) {
  RETURN_IF_ERROR(CheckOwner(info, "key folder", path));
  struct statvfs system{};
  // A Kubernetes secret volume has mode 1777 and is mounted read-only: nobody in here can write to it.
  if (::fstatvfs(fd, &system) == 0 && (system.f_flag & ST_RDONLY) != 0) return absl::OkStatus();
  if ((info.st_mode & S_IWOTH) != 0) {
    return FailedPrecondition("key folder {}: mode {:04o} lets everybody put keys there; chmod o-w", path,
                              info.st_mode & 07777);
  }
  if ((info.st_mode & S_IWGRP) != 0 && !IsOurGroup(info.st_gid)) {
    return FailedPrecondition(
        "key folder {}: mode {:04o} lets group {} put keys there, which this process is not in; chmod g-w", path,
        info.st_mode & 07777, info.st_gid);
  }
  return absl::OkStatus();
}

// Nothing secret: whoever may read it. Who may change it says which key is believed.
absl::Status CheckPublic(const struct stat& info, const KeyFile& file) {
  if (!S_ISREG(info.st_mode)) return FailedPrecondition("key file {}: not a regular file", file.path);
  RETURN_IF_ERROR(CheckOwner(info, "key file", file.path));
  const unsigned mode = info.st_mode & 07777U;
  if ((mode & S_IWOTH) != 0)
    return FailedPrecondition("key file {}: mode {:04o} lets everybody change it; chmod 644", file.path, mode);
  if ((mode & S_IWGRP) != 0 && !IsOurGroup(info.st_gid)) {
    return FailedPrecondition(
        "key file {}: mode {:04o} lets group {} change it, which this process is not in; chmod 644", file.path, mode,
        info.st_gid);
  }
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> OpenKeyFile(const std::string& path, const KeyFile& file) {
  if (IsSecret(file.kind)) return OpenSecretFile(path, "key file");
  // O_NONBLOCK: opening a named pipe must not wait for its writer.
  ASSIGN_OR_RETURN(FileDescriptor opened, OpenFile(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat info{};
  if (::fstat(opened.get(), &info) != 0) return ErrnoStatus(errno, "cannot look at", path);
  RETURN_IF_ERROR(CheckPublic(info, file));
  return opened;
}

std::int64_t Nanos(const struct timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

class Scanner {
 public:
  explicit Scanner(KeyTree& out) : out_(out) {}

  absl::Status Visit(int parent, const char* name, const std::string& source) {
    const std::string shown = source.empty() ? name : source;
    FileDescriptor fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return FailedPrecondition("key folder {}: {}", shown, ErrnoText(errno));
    struct stat info{};
    if (::fstat(fd.get(), &info) != 0) return FailedPrecondition("key folder {}: {}", shown, ErrnoText(errno));
    RETURN_IF_ERROR(CheckFolder(fd.get(), info, shown));
    const auto id = std::pair(info.st_dev, info.st_ino);
    if (std::find(above_.begin(), above_.end(), id) != above_.end() || above_.size() >= kMaxFolderDepth) {
      return FailedPrecondition("key folder {}: nested too deep, or a link to a folder above it", shown);
    }
    above_.push_back(id);
    const int number = fd.get();
    const auto close = [](DIR* dir) { ::closedir(dir); };
    const std::unique_ptr<DIR, decltype(close)> dir(::fdopendir(fd.Release()), close);
    if (dir == nullptr) {
      ::close(number);
      return FailedPrecondition("key folder {}: {}", shown, ErrnoText(errno));
    }
    while (true) {
      errno = 0;
      const struct dirent* entry = ::readdir(dir.get());
      if (entry == nullptr) break;
      if (entry->d_name[0] != '.') RETURN_IF_ERROR(Take(number, entry->d_name, source));
    }
    if (errno != 0) return FailedPrecondition("key folder {}: {}", shown, ErrnoText(errno));
    above_.pop_back();
    return absl::OkStatus();
  }

 private:
  absl::Status Take(int folder, const char* name, const std::string& source) {
    struct stat info{};
    if (::fstatat(folder, name, &info, 0) != 0) {
      if (errno == ENOENT) return absl::OkStatus();  // went away, or a link into nothing
      return FailedPrecondition("key file {}/{}: {}", source, name, ErrnoText(errno));
    }
    const std::string path = source.empty() ? name : source + "/" + name;
    if (S_ISDIR(info.st_mode)) {
      return CheckSourceName(name).ok() ? Visit(folder, name, path) : absl::OkStatus();
    }
    ASSIGN_OR_RETURN(std::optional<KeyFile> file, ParseKeyFileName(source, name, path));
    if (!file.has_value()) return absl::OkStatus();
    if (out_.files.size() >= kMaxFiles) return FailedPrecondition("more than {} key files", kMaxFiles);
    RETURN_IF_ERROR(Annotate(CheckOrigin(source), path));
    marks_.push_back(fmt::format("{} {} {} {} {:o} {} {} {} {}\n", path, info.st_dev, info.st_ino, info.st_size,
                                 info.st_mode, info.st_uid, info.st_gid, Nanos(info.st_mtim), Nanos(info.st_ctim)));
    out_.newest_change_ns = std::max({out_.newest_change_ns, Nanos(info.st_mtim), Nanos(info.st_ctim)});
    out_.files.push_back(*std::move(file));
    return absl::OkStatus();
  }

 public:
  void Finish() {
    std::sort(marks_.begin(), marks_.end());
    for (const std::string& mark : marks_) out_.fingerprint += mark;
    std::sort(out_.files.begin(), out_.files.end(), [](const KeyFile& a, const KeyFile& b) {
      return std::tie(a.source, a.version, a.kind) < std::tie(b.source, b.version, b.kind);
    });
  }

 private:
  KeyTree& out_;
  std::vector<std::pair<dev_t, ino_t>> above_;
  std::vector<std::string> marks_;
};

absl::Status WriteAll(int fd, std::string_view contents) {
  while (!contents.empty()) {
    const ssize_t written = ::write(fd, contents.data(), contents.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FailedPrecondition("write: {}", ErrnoText(errno));
    contents.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(fd) != 0) return FailedPrecondition("fsync: {}", ErrnoText(errno));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KeyTree> ScanKeyTree(const std::string& root) {
  struct stat info{};
  if (::stat(root.c_str(), &info) != 0 && errno == ENOENT) return NotFound("key directory {} does not exist", root);
  KeyTree out;
  Scanner scanner(out);
  RETURN_IF_ERROR(scanner.Visit(AT_FDCWD, root.c_str(), ""));
  scanner.Finish();
  return out;
}

absl::StatusOr<crypto::Secret> ReadKeyFile(const std::string& root, const KeyFile& file) {
  const std::string path = root + "/" + file.path;
  const auto opened = OpenKeyFile(path, file);
  if (absl::IsNotFound(opened.status())) return NotFound("key file {} went away", file.path);
  RETURN_IF_ERROR(WithCode(opened.status(), absl::StatusCode::kFailedPrecondition));
  crypto::Secret contents(kMaxFileSize + 1);
  ASSIGN_OR_RETURN(const std::size_t size, ReadUpTo(opened->get(), contents.data(), contents.size(), path));
  if (size > kMaxFileSize) return FailedPrecondition("key file {}: more than {} bytes", file.path, kMaxFileSize);
  contents.Truncate(size);
  return contents;
}

absl::Status WriteNewFile(const std::string& folder, const std::string& name, std::string_view contents) {
  const FileDescriptor dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() < 0) return FailedPrecondition("{}: {}", folder, ErrnoText(errno));
  const std::string temporary = fmt::format(".{}.{}", name, HexEncode(crypto::RandomBytes(8)));
  const FileDescriptor fd(
      ::openat(dir.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd.get() < 0) return FailedPrecondition("{}/{}: {}", folder, name, ErrnoText(errno));
  absl::Status status = WriteAll(fd.get(), contents);
  // A second name for the finished file, unlike a rename, fails when the name is taken.
  if (status.ok() && ::linkat(dir.get(), temporary.c_str(), dir.get(), name.c_str(), 0) != 0) {
    status = errno == EEXIST ? AlreadyExists("is there already") : FailedPrecondition("{}", ErrnoText(errno));
  }
  ::unlinkat(dir.get(), temporary.c_str(), 0);
  if (status.ok() && ::fsync(dir.get()) != 0) status = FailedPrecondition("fsync: {}", ErrnoText(errno));
  return Annotate(status, fmt::format("{}/{}", folder, name));
}

absl::Status MakeFolders(const std::string& path) {
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (!part.empty() && ::mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      return FailedPrecondition("cannot make folder {}: {}", part, ErrnoText(errno));
    }
    if (at == std::string::npos) return absl::OkStatus();
  }
}

bool MayChangeUnseen(std::int64_t newest_change_ns) {
  // File times come from the kernel's coarse clock and step by its tick, at most 10 ms; be generous.
  constexpr std::int64_t kTick = 100'000'000;
  struct timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return newest_change_ns + kTick > Nanos(now);
}

}  // namespace virp::frame
