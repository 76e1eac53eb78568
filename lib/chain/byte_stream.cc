#include "lib/chain/byte_stream.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/file.h"

namespace virp::chain {

ByteSink SinkTo(int fd, std::string path) {
  return [fd, path = std::move(path)](std::string_view bytes) { return WriteAll(fd, bytes, path); };
}

ByteSource SourceFrom(int fd, std::string path) {
  return [fd, path = std::move(path)](std::span<char> buffer) -> absl::StatusOr<std::size_t> {
    for (;;) {
      const ssize_t got = read(fd, buffer.data(), buffer.size());
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return ErrnoStatus(errno, "cannot read", path);
    }
  };
}

ByteSource SourceFrom(std::string_view bytes) {
  return [bytes](std::span<char> buffer) mutable -> absl::StatusOr<std::size_t> {
    const std::size_t count = std::min(buffer.size(), bytes.size());
    std::memcpy(buffer.data(), bytes.data(), count);
    bytes.remove_prefix(count);
    return count;
  };
}

}  // namespace virp::chain
