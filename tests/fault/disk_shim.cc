// A disk that can be told to forget and to be full, put below a program with LD_PRELOAD. Every call that changes a file
// below VIRP_DISK_ROOT is done as ever and written to a journal; at a power cut the test kills the program and makes of
// the journal what a disk may hold then (disk_model.h). What goes through memory maps is not seen: SQLite's -shm, which
// is made anew after a crash, is the only file that may be mapped for writing.
//
// System calls are made directly: the functions of these names in libc are ours now. Thread-safe; nothing is undone, so
// a process may be killed at any instruction.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string_view>

#include "tests/fault/disk_journal.h"

namespace {

using virp::fault::DiskControl;
using virp::fault::DiskOp;
using virp::fault::DiskRecord;

constexpr int kMostFiles = 65'536;
constexpr std::uint64_t kFolder = ~std::uint64_t{0};

struct File {
  std::atomic<std::uint64_t> id{0};  // inode; 0: not below the root; kFolder
  bool appends = false, syncs = false;
};

// Folders are named in journal records; few are open at a time.
struct OpenFolder {
  int fd = -1;
  char name[PATH_MAX] = {};
};

// A path made absolute.
class Path {
 public:
  explicit Path(const char* path) {
    std::size_t have = 0;
    if (path != nullptr && path[0] != '/' && ::getcwd(text_, sizeof(text_)) != nullptr) {
      have = std::strlen(text_);
      text_[have++] = '/';
    }
    if (path != nullptr && have + std::strlen(path) < sizeof(text_)) std::strcpy(text_ + have, path);
  }
  const char* text() const { return text_; }
  operator std::string_view() const { return text_; }

 private:
  char text_[PATH_MAX] = {};
};

class Disk {
 public:
  static Disk& Get() {
    alignas(Disk) static char storage[sizeof(Disk)];  // never destroyed: threads may write until the very end
    static Disk* const disk = new (storage) Disk;
    return *disk;
  }

  // What is not below the root is left alone.
  bool Ours(std::string_view path) const {
    return !root_.empty() && path.starts_with(root_) && (path.size() == root_.size() || path[root_.size()] == '/');
  }
  File* Find(int fd) {
    return fd >= 0 && fd < kMostFiles && files_[fd].id.load(std::memory_order_relaxed) != 0 ? &files_[fd] : nullptr;
  }
  File* FindFile(int fd) {
    File* const file = Find(fd);
    return file != nullptr && file->id != kFolder ? file : nullptr;
  }
  const char* FolderOf(int fd) const {
    for (const OpenFolder& folder : folders_) {
      if (folder.fd == fd) return folder.name;
    }
    return "";
  }

  void Opened(int fd, const char* path, int flags, bool created);
  void Closing(int fd);
  void Write(DiskOp op, std::uint64_t file, std::uint64_t at, std::string_view data = {}, std::string_view more = {});

  // How much of a write to [at, at + length) has room; 0 and ENOSPC when nothing has.
  std::size_t Admit(int fd, std::uint64_t at, std::size_t length);
  bool AdmitName();  // a new file or folder
  void Step();       // a write or a sync is about to be done
  void GiveBack(std::int64_t bytes) {
    if (control_ != nullptr) control_->free_bytes += bytes;
  }
  const DiskControl* control() const { return control_; }

  std::mutex mutex;  // around each call and its record

 private:
  Disk();

  std::string_view root_;
  int journal_ = -1;
  DiskControl* control_ = nullptr;
  File files_[kMostFiles];
  OpenFolder folders_[16];
};

Disk::Disk() {
  const char* const root = std::getenv(virp::fault::kDiskRoot);
  if (root == nullptr) return;
  // A copy: PostgreSQL writes its process title over the environment that it was started with.
  static char copy[PATH_MAX];
  std::strncpy(copy, root, sizeof(copy) - 1);
  root_ = copy;
  if (const char* const path = std::getenv(virp::fault::kDiskJournal)) {
    journal_ = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (journal_ < 0) std::abort();
  }
  if (const char* const path = std::getenv(virp::fault::kDiskControl)) {
    const auto fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0));
    void* const page =
        fd < 0 ? MAP_FAILED : ::mmap(nullptr, sizeof(DiskControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) std::abort();
    control_ = static_cast<DiskControl*>(page);
    ::syscall(SYS_close, fd);
  }
}

void Disk::Write(DiskOp op, std::uint64_t file, std::uint64_t at, std::string_view data, std::string_view more) {
  if (journal_ < 0) return;
  DiskRecord record;
  record.length = static_cast<std::uint32_t>(data.size() + more.size());
  record.op = op;
  record.file = file;
  record.at = at;
  const iovec parts[] = {{&record, sizeof(record)},
                         {const_cast<char*>(data.data()), data.size()},
                         {const_cast<char*>(more.data()), more.size()}};
  const auto whole = static_cast<long>(sizeof(record) + record.length);
  if (::syscall(SYS_writev, journal_, parts, 3) != whole) std::abort();  // a test whose journal has holes says nothing
}

void Disk::Opened(int fd, const char* path, int flags, bool created) {
  struct stat info{};
  if (fd < 0 || ::fstat(fd, &info) != 0) return;
  if (fd >= kMostFiles) std::abort();
  if (S_ISDIR(info.st_mode)) {
    for (OpenFolder& folder : folders_) {
      if (folder.fd >= 0) continue;
      folder.fd = fd;
      std::strncpy(folder.name, path, sizeof(folder.name) - 1);
      files_[fd].id = kFolder;
      return;
    }
    std::abort();
  }
  if (!S_ISREG(info.st_mode)) return;
  files_[fd].appends = (flags & O_APPEND) != 0;
  files_[fd].syncs = (flags & (O_SYNC | O_DSYNC)) != 0;
  files_[fd].id = info.st_ino;
  Write(created ? DiskOp::kCreate : DiskOp::kOpen, info.st_ino, 0, path);
}

void Disk::Closing(int fd) {
  File* const file = Find(fd);
  if (file == nullptr) return;
  if (file->id == kFolder) {
    for (OpenFolder& folder : folders_) {
      if (folder.fd == fd) folder.fd = -1;
    }
  }
  file->id = 0;
}

std::size_t Disk::Admit(int fd, std::uint64_t at, std::size_t length) {
  struct stat info{};
  if (control_ == nullptr || ::fstat(fd, &info) != 0) return length;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (at + length <= size) return length;
  const std::uint64_t grows = at + length - size;
  std::int64_t free = control_->free_bytes;
  std::int64_t takes = 0;
  do {
    takes = std::min(static_cast<std::int64_t>(grows), std::max<std::int64_t>(free, 0));
  } while (takes > 0 && !control_->free_bytes.compare_exchange_weak(free, free - takes));
  const std::uint64_t lacks = grows - static_cast<std::uint64_t>(takes);
  if (lacks == 0) return length;
  ++control_->refused;
  if (lacks < length) return length - lacks;  // a short write, as file systems do
  GiveBack(takes);                            // a hole before it took nothing
  errno = ENOSPC;
  return 0;
}

void Disk::Step() {
  if (control_ == nullptr) return;
  std::uint32_t left = control_->kill_at;
  while (left != 0 && !control_->kill_at.compare_exchange_weak(left, left - 1)) {
  }
  if (left == 1) ::syscall(SYS_kill, ::getpid(), SIGKILL);
}

bool Disk::AdmitName() {
  if (control_ == nullptr || control_->free_bytes > 0) return true;
  ++control_->refused;
  errno = ENOSPC;
  return false;
}

template <typename... Args>
long Call(long number, Args... args) {
  return ::syscall(number, args...);
}

std::int64_t SizeOf(const char* path) {
  struct stat info{};
  return ::stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1 ? info.st_size : 0;
}

int Open(int folder, const char* name, int flags, mode_t mode) {
  Disk& disk = Disk::Get();
  const Path absolute(folder == AT_FDCWD ? name : nullptr);
  if (!disk.Ours(absolute)) return static_cast<int>(Call(SYS_openat, folder, name, flags, mode));
  const char* const path = absolute.text();
  const std::lock_guard lock(disk.mutex);
  const bool makes = (flags & O_CREAT) != 0 && Call(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
  if (makes && !disk.AdmitName()) return -1;
  const std::int64_t before = (flags & O_TRUNC) != 0 ? SizeOf(path) : 0;
  const auto fd = static_cast<int>(Call(SYS_openat, AT_FDCWD, path, flags, mode));
  if (fd < 0) return fd;
  disk.Opened(fd, path, flags, makes);
  File* const file = disk.FindFile(fd);
  if ((flags & O_TRUNC) != 0 && !makes && file != nullptr) {
    disk.GiveBack(before);
    disk.Write(DiskOp::kResize, file->id, 0);
  }
  return fd;
}

// An O_SYNC or O_DSYNC write: durable when it returns.
void SyncIfAsked(Disk& disk, const File& file) {
  if (!file.syncs || (disk.control() != nullptr && disk.control()->ignore_sync != 0)) return;
  disk.Write(DiskOp::kSyncBegin, file.id, 0);
  disk.Write(DiskOp::kSyncEnd, file.id, 0);
}

ssize_t WriteAt(Disk& disk, int fd, File& file, const void* bytes, std::size_t length, std::uint64_t at,
                bool positioned) {
  if (file.appends) {
    struct stat info{};
    if (::fstat(fd, &info) == 0) at = static_cast<std::uint64_t>(info.st_size);
  }
  disk.Step();
  const std::size_t room = disk.Admit(fd, at, length);
  if (room == 0 && length != 0) return -1;
  const long done = positioned ? Call(SYS_pwrite64, fd, bytes, room, at) : Call(SYS_write, fd, bytes, room);
  if (done <= 0) return done;
  disk.Write(DiskOp::kWrite, file.id, at, {static_cast<const char*>(bytes), static_cast<std::size_t>(done)});
  SyncIfAsked(disk, file);
  return done;
}

// The descriptor's own position.
std::uint64_t PositionOf(int fd) {
  return static_cast<std::uint64_t>(std::max(0L, Call(SYS_lseek, fd, 0L, SEEK_CUR)));
}

ssize_t WriteParts(int fd, const iovec* parts, int count, std::uint64_t at, bool positioned) {
  Disk& disk = Disk::Get();
  File* const file = disk.FindFile(fd);
  if (file == nullptr)
    return positioned ? Call(SYS_pwritev, fd, parts, count, at, 0L) : Call(SYS_writev, fd, parts, count);
  const std::lock_guard lock(disk.mutex);
  if (!positioned) at = PositionOf(fd);
  ssize_t all = 0;
  for (int i = 0; i < count; ++i) {
    const ssize_t done =
        WriteAt(disk, fd, *file, parts[i].iov_base, parts[i].iov_len, at + static_cast<std::uint64_t>(all), positioned);
    if (done < 0) return all > 0 ? all : done;
    all += done;
    if (static_cast<std::size_t>(done) < parts[i].iov_len) break;
  }
  return all;
}

int Resize(int fd, off_t size) {
  Disk& disk = Disk::Get();
  File* const file = disk.FindFile(fd);
  if (file == nullptr) return static_cast<int>(Call(SYS_ftruncate, fd, size));
  const std::lock_guard lock(disk.mutex);
  struct stat info{};
  if (::fstat(fd, &info) != 0) return -1;
  if (size > info.st_size) {
    const auto grows = static_cast<std::size_t>(size - info.st_size);
    const std::size_t room = disk.Admit(fd, static_cast<std::uint64_t>(info.st_size), grows);
    if (room < grows) {
      disk.GiveBack(static_cast<std::int64_t>(room));
      errno = ENOSPC;
      return -1;
    }
  }
  const auto result = static_cast<int>(Call(SYS_ftruncate, fd, size));
  if (result != 0) return result;
  if (size < info.st_size) disk.GiveBack(info.st_size - size);
  disk.Write(DiskOp::kResize, file->id, static_cast<std::uint64_t>(size));
  return 0;
}

int Allocate(int fd, int mode, off_t at, off_t length) {
  struct stat info{};
  File* const file = Disk::Get().FindFile(fd);
  if (file == nullptr) return static_cast<int>(Call(SYS_fallocate, fd, mode, at, length));
  if (mode != 0) {
    Disk::Get().Write(DiskOp::kUnmodelled, file->id, 0, "fallocate with a mode");
    errno = EOPNOTSUPP;
    return -1;
  }
  return ::fstat(fd, &info) != 0 || at + length <= info.st_size ? 0 : Resize(fd, at + length);
}

int Sync(long call, int fd) {
  Disk& disk = Disk::Get();
  const File* const file = disk.Find(fd);
  if (file == nullptr) return static_cast<int>(Call(call, fd));
  disk.Step();
  if (disk.control() != nullptr && disk.control()->ignore_sync != 0) return 0;
  if (file->id == kFolder) {
    const std::lock_guard lock(disk.mutex);
    const auto result = static_cast<int>(Call(call, fd));
    if (result == 0) disk.Write(DiskOp::kSyncFolder, 0, 0, disk.FolderOf(fd));
    return result;
  }
  static std::atomic<std::uint64_t> calls{0};
  const std::uint64_t id = file->id, number = ++calls;
  {
    const std::lock_guard lock(disk.mutex);
    disk.Write(DiskOp::kSyncBegin, id, number);
    if (disk.control() != nullptr && disk.control()->fail_sync != 0) {
      disk.Write(DiskOp::kSyncFailed, id, number);
      errno = EIO;
      return -1;
    }
  }
  const auto result = static_cast<int>(Call(call, fd));  // others write meanwhile
  const std::lock_guard lock(disk.mutex);
  if (result == 0) disk.Write(DiskOp::kSyncEnd, id, number);
  return result;
}

// Calls on names below the root: `call` does it.
template <typename F>
int Named(const Path& path, DiskOp op, std::int64_t gives_back, std::string_view second, const F& call) {
  Disk& disk = Disk::Get();
  const auto result = static_cast<int>(call());
  if (result == 0) disk.GiveBack(gives_back);
  if (result == 0) disk.Write(op, 0, 0, path, second);
  return result;
}

int Rename(const char* from, const char* to) {
  const Path path(from), target(to);
  const auto call = [&] { return Call(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to); };
  Disk& disk = Disk::Get();
  if (!disk.Ours(path)) return static_cast<int>(call());
  const std::lock_guard lock(disk.mutex);
  char second[PATH_MAX + 1] = {};
  std::strcpy(second + 1, target.text());
  return Named(path, DiskOp::kRename, SizeOf(to), {second, std::strlen(target.text()) + 1}, call);
}

int Unlink(const char* name) {
  const Path path(name);
  const auto call = [&] { return Call(SYS_unlinkat, AT_FDCWD, name, 0); };
  Disk& disk = Disk::Get();
  if (!disk.Ours(path)) return static_cast<int>(call());
  const std::lock_guard lock(disk.mutex);
  return Named(path, DiskOp::kUnlink, SizeOf(name), {}, call);
}

int MakeFolder(const char* name, mode_t mode) {
  const Path path(name);
  const auto call = [&] { return Call(SYS_mkdirat, AT_FDCWD, name, mode); };
  Disk& disk = Disk::Get();
  if (!disk.Ours(path)) return static_cast<int>(call());
  const std::lock_guard lock(disk.mutex);
  if (Call(SYS_faccessat, AT_FDCWD, name, F_OK) != 0 && !disk.AdmitName()) return -1;
  return Named(path, DiskOp::kMakeFolder, 0, {}, call);
}

template <typename F>
int Unmodelled(const char* what, const char* name, const F& call) {
  Disk& disk = Disk::Get();
  if (disk.Ours(Path(name))) {
    const std::lock_guard lock(disk.mutex);
    disk.Write(DiskOp::kUnmodelled, 0, 0, what);
  }
  return static_cast<int>(call());
}

mode_t ModeIn(int flags, va_list& list) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? static_cast<mode_t>(va_arg(list, unsigned)) : 0;
}

template <typename Statvfs>
int FreeSpace(const char* path, Statvfs* out) {
  struct statfs info{};
  if (Call(SYS_statfs, path, &info) != 0) return -1;
  std::memset(out, 0, sizeof(*out));
  out->f_bsize = out->f_frsize = 4'096;
  const DiskControl* const control = Disk::Get().control();
  if (control != nullptr && Disk::Get().Ours(Path(path)))
    info.f_bavail = static_cast<fsblkcnt_t>(std::max<std::int64_t>(control->free_bytes, 0) / 4'096);
  out->f_bfree = out->f_bavail = info.f_bavail;
  out->f_blocks = info.f_blocks;
  return 0;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = ModeIn(flags, list);
  va_end(list);
  return Open(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = ModeIn(flags, list);
  va_end(list);
  return Open(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = ModeIn(flags, list);
  va_end(list);
  return Open(folder, path, flags, mode);
}
int openat64(int folder, const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = ModeIn(flags, list);
  va_end(list);
  return Open(folder, path, flags, mode);
}
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): names of glibc's
int __open_2(const char* path, int flags) {
  return Open(AT_FDCWD, path, flags, 0);
}
int __open64_2(const char* path, int flags) {
  return Open(AT_FDCWD, path, flags, 0);
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
int creat(const char* path, mode_t mode) {
  return Open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char* path, mode_t mode) {
  return Open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd) {
  Disk& disk = Disk::Get();
  if (disk.Find(fd) != nullptr) {
    const std::lock_guard lock(disk.mutex);
    disk.Closing(fd);
  }
  return static_cast<int>(Call(SYS_close, fd));
}

ssize_t write(int fd, const void* bytes, size_t length) {
  Disk& disk = Disk::Get();
  File* const file = disk.FindFile(fd);
  if (file == nullptr) return Call(SYS_write, fd, bytes, length);
  const std::lock_guard lock(disk.mutex);
  return WriteAt(disk, fd, *file, bytes, length, PositionOf(fd), false);
}
ssize_t pwrite(int fd, const void* bytes, size_t length, off_t at) {
  Disk& disk = Disk::Get();
  File* const file = disk.FindFile(fd);
  if (file == nullptr) return Call(SYS_pwrite64, fd, bytes, length, at);
  const std::lock_guard lock(disk.mutex);
  return WriteAt(disk, fd, *file, bytes, length, static_cast<std::uint64_t>(at), true);
}
ssize_t pwrite64(int fd, const void* bytes, size_t length, off64_t at) {
  return pwrite(fd, bytes, length, at);
}
ssize_t writev(int fd, const iovec* parts, int count) {
  return WriteParts(fd, parts, count, 0, false);
}
ssize_t pwritev(int fd, const iovec* parts, int count, off_t at) {
  return WriteParts(fd, parts, count, static_cast<std::uint64_t>(at), true);
}
ssize_t pwritev64(int fd, const iovec* parts, int count, off64_t at) {
  return pwritev(fd, parts, count, at);
}

int ftruncate(int fd, off_t size) noexcept {
  return Resize(fd, size);
}
int ftruncate64(int fd, off64_t size) noexcept {
  return Resize(fd, size);
}
int fallocate(int fd, int mode, off_t at, off_t length) {
  return Allocate(fd, mode, at, length);
}
int fallocate64(int fd, int mode, off64_t at, off64_t length) {
  return Allocate(fd, mode, at, length);
}
int posix_fallocate(int fd, off_t at, off_t length) {
  return Allocate(fd, 0, at, length) == 0 ? 0 : errno;
}
int posix_fallocate64(int fd, off64_t at, off64_t length) {
  return Allocate(fd, 0, at, length) == 0 ? 0 : errno;
}

int fsync(int fd) {
  return Sync(SYS_fsync, fd);
}
int fdatasync(int fd) {
  return Sync(SYS_fdatasync, fd);
}
// sync_file_range is not here: it makes no file durable.

int rename(const char* from, const char* to) noexcept {
  return Rename(from, to);
}
int unlink(const char* path) noexcept {
  return Unlink(path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return MakeFolder(path, mode);
}
int remove(const char* path) noexcept {
  const int gone = Unlink(path);
  return gone != 0 && errno == EISDIR ? ::rmdir(path) : gone;
}
int rmdir(const char* path) noexcept {
  return Unmodelled("rmdir", path, [&] { return Call(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR); });
}
int link(const char* from, const char* to) noexcept {
  return Unmodelled("link", from, [&] { return Call(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0); });
}
int truncate(const char* path, off_t size) noexcept {
  return Unmodelled("truncate", path, [&] { return Call(SYS_truncate, path, size); });
}

int statvfs(const char* path, struct statvfs* out) noexcept {
  return FreeSpace(path, out);
}
int statvfs64(const char* path, struct statvfs64* out) noexcept {
  return FreeSpace(path, out);
}

}  // extern "C"
