#include "tools/virpctl/package_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "lib/base/status.h"

namespace virp::virpctl {
namespace {

// A package holds one P-256 key and certificates of some KiB.
constexpr off_t kRoom = 64 << 10;

}  // namespace

PackageFile::~PackageFile() {
  if (!path_.empty() && !written_) ::unlink(path_.c_str());
}

absl::Status PackageFile::Reserve() {
  const int error = ::posix_fallocate(file_.get(), 0, kRoom);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "no room for a key package in", path_);
}

absl::StatusOr<PackageFile> PackageFile::At(const std::string& path) {
  auto file = OpenFile(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (absl::IsAlreadyExists(file.status()))
    return AlreadyExists("{} is there already, and no package is written over a file; nothing was done", path);
  RETURN_IF_ERROR(file.status());
  PackageFile out(path, *std::move(file));
  RETURN_IF_ERROR(out.Reserve());
  return out;
}

absl::StatusOr<PackageFile> PackageFile::In(const std::string& folder) {
  std::string path = folder + "/package-XXXXXX";
  FileDescriptor file(::mkostemp(path.data(), O_CLOEXEC));  // 0600
  if (!file) return ErrnoStatus(errno, "cannot make a file in", folder);
  PackageFile out(std::move(path), std::move(file));
  RETURN_IF_ERROR(out.Reserve());
  return out;
}

absl::Status PackageFile::Write(std::string_view package) {
  absl::Status status = WriteAll(file_.get(), package, path_);
  if (status.ok() && ::ftruncate(file_.get(), static_cast<off_t>(package.size())) != 0)
    status = ErrnoStatus(errno, "cannot shorten", path_);
  if (status.ok()) status = SyncFile(file_.get(), path_);
  if (!status.ok())
    return Annotate(status, "the package could not be kept; where it comes once only, have the next key made");
  written_ = true;
  return SyncDirectory(ParentDirectory(path_));
}

absl::Status PackageFile::Rename(const std::string& path) {
  if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0)
    return ErrnoStatus(errno, "cannot rename it to", path);
  path_ = path;
  return SyncDirectory(ParentDirectory(path_));
}

}  // namespace virp::virpctl
