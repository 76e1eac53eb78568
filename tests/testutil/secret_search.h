// Looks for secrets where none may be: in files, in texts, in the memory of a process. Found as raw bytes, hex, base64,
// and so in PEM and DER, too.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::testutil {

// What to look for. Copies of the secrets are in here: do not search the memory of this process. A search for nothing,
// or for what is too short to be told from chance, ends the program.
class SecretSearch {
 public:
  // At least 16 bytes. Either half of it counts, since PEM breaks lines.
  void Add(std::string_view name, std::string_view secret);

  // Names of the secrets that are in `text`, with their spelling: "kek, hex".
  std::vector<std::string> InText(std::string_view text) const;
  // "path: kek, hex", of all files below the folder but those whose path ends in `except`. A file that is there and
  // cannot be read is a finding, too: nobody knows what is in it.
  std::vector<std::string> InFolder(const std::string& folder, std::string_view except = "") const;
  // "7f00...: kek, raw", of all memory that could be written to a core dump or to swap: what is neither read-only nor
  // excluded from dumps. The process should be idle. Its owner, or root, may ask.
  absl::StatusOr<std::vector<std::string>> InMemory(pid_t pid) const;

 private:
  struct Needle {
    std::string what, bytes;
  };
  std::vector<Needle> needles_;
};

// The bytes of a process's memory (an open /proc/<pid>/mem) from an address to another. Pages that cannot be read,
// having been unmapped meanwhile, are zeros. Addresses are multiples of the page size.
std::string ReadPages(int memory, std::uint64_t from, std::uint64_t to);

// The memory that InMemory searches, one text a mapping: to look for a secret in it that becomes known later.
absl::StatusOr<std::vector<std::string>> DumpMemory(pid_t pid);

}  // namespace virp::testutil
