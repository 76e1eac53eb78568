// The PIN of a token, read from a file each time that it is needed and wiped after: nothing of it stays in memory.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"

namespace virp::pkcs11 {

inline constexpr std::size_t kMaxPin = 255;

// What tells a file from the one that replaced it.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t size = 0;
  std::int64_t changed_nanos = 0;  // mtime
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

struct Pin {
  crypto::Secret text;  // 1 to kMaxPin bytes, without the line's end
  FileStamp file;
};

// FailedPrecondition when it is no regular file, is owned by another user than ours or root, may be read by others or
// by a group that this process is not in, or be written by others than its owner; InvalidArgument when it is empty, too
// long, or has more than one line or a NUL byte. No message holds any of its bytes.
absl::StatusOr<Pin> ReadPinFile(const std::string& path);

}  // namespace virp::pkcs11
