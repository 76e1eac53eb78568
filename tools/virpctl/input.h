// What commands read that need no service: bytes of a file or of standard input.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace virp::virpctl {

// "-" is standard input. With `hex` the input holds hex digits, and white space anywhere. At most `limit` bytes are
// read: ResourceExhausted beyond; errors of the file system; InvalidArgument for digits that are none.
absl::StatusOr<std::string> ReadInput(const std::string& file, bool hex, std::size_t limit);

}  // namespace virp::virpctl
