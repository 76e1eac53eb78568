// Private to lib/frame: key files on disk, found and read with the checks that docs/formats/frame.md ("Key directory")
// states. Trust is decided on the opened file, never on its name, so a swapped link cannot get round a check.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/crypto/secret.h"
#include "lib/frame/key_format.h"

namespace virp::frame {

struct KeyTree {
  std::vector<KeyFile> files;  // by source, version and kind
  std::string fingerprint;     // equal when nothing was touched: names, inodes, sizes, modes, owners, times
  std::int64_t newest_change_ns = 0;
};

// Walks the directory. NotFound when it is not there; FailedPrecondition names the folder or file that is in the way.
absl::StatusOr<KeyTree> ScanKeyTree(const std::string& root);

// Reads one file of at most 4 KiB, with its mode and owner checked. NotFound when it went away.
absl::StatusOr<crypto::Secret> ReadKeyFile(const std::string& root, const KeyFile& file);

// Writes a file with mode 0600, durably, that is there whole or not at all. AlreadyExists when the name is taken.
absl::Status WriteNewFile(const std::string& folder, const std::string& name, std::string_view contents);

// Makes the folder and those above it, as far as they are missing, with mode 0700.
absl::Status MakeFolders(const std::string& path);

// Whether a change at this time may be followed by another one with an equal time stamp.
bool MayChangeUnseen(std::int64_t newest_change_ns);

}  // namespace virp::frame
