// Archived entries of one chain in a folder: a C2SP tlog-tiles directory (docs/formats/chain.md, "Tiles") that any
// static web server can serve. Full bundles and tiles only, and the signed checkpoint that they were held against.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/mutex.h"
#include "lib/chain/tiles.h"

namespace virp::onode {

// 256 entries.
struct Bundle {
  std::string bytes;
  std::vector<std::string_view> entries;  // borrowed from `bytes`
};

// Thread-safe. Errors of files: NotFound, PermissionDenied, ResourceExhausted, Unavailable, each naming the path.
class EntryArchive {
 public:
  // `root` may hold several chains, each in a folder named after its origin.
  EntryArchive(std::string_view root, std::string_view origin);

  const std::string& folder() const { return folder_; }

  // DataLoss when the file is no bundle of 256 entries. The four that were read last are kept.
  absl::StatusOr<std::shared_ptr<const Bundle>> ReadBundle(std::uint64_t index);

  // Durable when they return: written beside, synced, renamed, folder synced.
  absl::Status WriteBundle(std::uint64_t index, std::string_view bundle);
  absl::Status WriteTile(const chain::Tile& tile);
  absl::Status WriteNote(std::string_view note);

 private:
  absl::Status Write(std::string_view name, std::string_view content);

  const std::string folder_;
  Mutex mutex_;
  std::vector<std::pair<std::uint64_t, std::shared_ptr<const Bundle>>> kept_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::onode
