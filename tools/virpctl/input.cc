#include "tools/virpctl/input.h"

#include <iostream>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace virp::virpctl {

absl::StatusOr<std::string> ReadInput(const std::string& file, bool hex, std::size_t limit) {
  std::string text;
  if (file == "-") {
    text.resize(limit + 1);
    std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::cin.gcount()));
    if (text.size() > limit) return ResourceExhausted("standard input: more than {} bytes", limit);
  } else {
    ASSIGN_OR_RETURN(text, ReadFile(file, limit));
  }
  if (!hex) return text;
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; });
  return HexDecode(text);
}

}  // namespace virp::virpctl
