// Archives for fuzz targets: raw bytes, or a list of files that is packed well, so that a fuzzer gets past the
// checksums.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/chain/tar.h"

namespace virp::fuzz {

// First byte even: the rest is the archive. Odd: files follow, each a length of its name (1 byte), the name, a length
// of its content (2 bytes), the content.
inline std::string ArchiveOf(std::string_view input) {
  if (input.empty() || input[0] % 2 == 0) return std::string(input.substr(std::min<std::size_t>(1, input.size())));
  input.remove_prefix(1);
  std::string archive;
  chain::TarWriter tar([&archive](std::string_view bytes) {
    archive += bytes;
    return absl::OkStatus();
  });
  const auto take = [&input](std::size_t size) {
    const std::string_view part = input.substr(0, size);
    input.remove_prefix(part.size());
    return part;
  };
  while (input.size() >= 3) {
    const std::string_view name = take(LoadBe<std::uint8_t>(take(1).data()));
    if (input.size() < 2) break;
    const std::string_view content = take(LoadBe<std::uint16_t>(take(2).data()));
    if (!tar.Add(name, content).ok()) break;
  }
  (void)tar.Finish();
  return archive;
}

}  // namespace virp::fuzz
