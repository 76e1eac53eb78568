// Tar archives (POSIX.1-2001 ustar), the part that exports use: regular files with short plain names, one after the
// other, read and written as a stream. Reading is strict and bounded: an archive comes from outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/chain/byte_stream.h"

namespace virp::chain {

// Writes the same bytes for the same files: owner 0, time 0, mode 0644. Not thread-safe.
class TarWriter {
 public:
  explicit TarWriter(ByteSink sink) : sink_(std::move(sink)) {}
  // InvalidArgument for a name that TarReader would refuse or content of 8 GiB and more; errors of the sink.
  absl::Status Add(std::string_view name, std::string_view content);
  absl::Status Finish();

 private:
  ByteSink sink_;
};

// Not thread-safe.
class TarReader {
 public:
  explicit TarReader(ByteSource source) : source_(std::move(source)) {}

  struct Member {
    std::string name;  // relative, of [A-Za-z0-9._-] and '/', no empty, "." or ".." part, 1 to 100 bytes
    std::uint64_t size = 0;
  };
  // The next file, nothing at the end; the content of the one before must have been read. InvalidArgument for any
  // header but that of a regular file, a bad name or checksum, bytes that are not zero where only padding may be, or
  // anything but zeros after the end; DataLoss when the stream breaks off.
  absl::StatusOr<std::optional<Member>> Next();
  // The content of the file that Next gave. InvalidArgument when it is larger than `limit`: nothing is read then.
  // Memory grows with the bytes that arrive, not with the size that the header states.
  absl::StatusOr<std::string> Content(std::size_t limit);

 private:
  absl::StatusOr<std::size_t> ReadUpTo(std::span<char> buffer);  // less than asked for only at the end of the stream
  absl::Status ReadZeros(std::size_t count, std::string_view where);
  absl::Status ReadEnd();

  ByteSource source_;
  std::optional<Member> member_;  // whose content is still to be read
};

}  // namespace virp::chain
