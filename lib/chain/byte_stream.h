// Streams of bytes as functions, so that archives go to and come from files, sockets and tests alike.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace virp::chain {

// Takes the next bytes of a stream.
using ByteSink = std::function<absl::Status(std::string_view)>;
// Fills the front of the span and says how much; 0 only at the end of the stream.
using ByteSource = std::function<absl::StatusOr<std::size_t>(std::span<char>)>;

// A descriptor as sink or source, borrowed. Errors name `path`.
ByteSink SinkTo(int fd, std::string path);
ByteSource SourceFrom(int fd, std::string path);
ByteSource SourceFrom(std::string_view bytes);  // borrowed

}  // namespace virp::chain
