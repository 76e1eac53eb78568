// Opening files that hold secrets, by one rule for all of them.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/file.h"

namespace virp {

// Opens it for reading, without waiting when it is a pipe. FailedPrecondition when it is no regular file, is owned by
// another user than this process's or root, may be used by everybody, be written by its group, or be read by a group
// that this process is not in; else as OpenFile. `what` begins the message: "PIN file".
absl::StatusOr<FileDescriptor> OpenSecretFile(const std::string& path, std::string_view what);

// Reads up to `size` bytes to the place; how many there were.
absl::StatusOr<std::size_t> ReadUpTo(int fd, char* to, std::size_t size, std::string_view path);

}  // namespace virp
