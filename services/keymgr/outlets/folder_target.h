// A publication in a folder that an rsync server serves (docs/operations/rpki.md). Managers that share a ledger may
// share the folder, or have one each; whoever leads fills it.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "lib/base/mutex.h"
#include "lib/rpki/publication.h"
#include "services/keymgr/domain/rpki_authority.h"

namespace virp::keymgr {

// Thread-safe. The folder is opened when it is first needed, so that one that is not mounted yet stops nothing.
class FolderTarget final : public PublicationTarget {
 public:
  // An empty path: every call fails with FailedPrecondition, reason NOT_CONFIGURED.
  explicit FolderTarget(std::string folder, rpki::PublicationFolder::Options options = {})
      : path_(std::move(folder)), options_(std::move(options)) {}

  absl::StatusOr<std::uint64_t> Number() override;
  absl::Status Publish(const Tree& tree, std::uint64_t number) override;

 private:
  absl::StatusOr<rpki::PublicationFolder*> Open() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckAuthority(const rpki::PublicationFolder& folder, const Tree& tree) const;

  const std::string path_;
  const rpki::PublicationFolder::Options options_;
  Mutex mutex_;
  std::optional<rpki::PublicationFolder> folder_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::keymgr
