// The file of a private key that may leave its manager once: it is there, writable and large enough before the key is
// asked for, so that nothing is left that could lose it. For its owner only (0600). For one thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/file.h"

namespace virp::virpctl {

class PackageFile {
 public:
  // A new file. AlreadyExists when one is there; else errors of the file system, ResourceExhausted when it is full.
  static absl::StatusOr<PackageFile> At(const std::string& path);
  // A new file in a folder, under a name that none has: before it is known what the package will be called.
  static absl::StatusOr<PackageFile> In(const std::string& folder);

  PackageFile(PackageFile&& other) noexcept
      : path_(std::exchange(other.path_, {})),
        file_(std::move(other.file_)),
        written_(std::exchange(other.written_, false)) {}
  PackageFile& operator=(PackageFile&&) = delete;
  // Removes it unless it was written.
  ~PackageFile();

  // Once. It stays from then on, also through a power cut. Errors of the file system: the package is not kept then.
  absl::Status Write(std::string_view package);
  // Gives it its name, in the folder where it is. AlreadyExists when that is another file's: it keeps its own then.
  absl::Status Rename(const std::string& path);

  const std::string& path() const { return path_; }

 private:
  PackageFile(std::string path, FileDescriptor file) : path_(std::move(path)), file_(std::move(file)) {}
  absl::Status Reserve();

  std::string path_;  // empty: moved from
  FileDescriptor file_;
  bool written_ = false;
};

}  // namespace virp::virpctl
