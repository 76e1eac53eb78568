#include "services/keymgr/outlets/folder_target.h"

#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/x509.h"

namespace virp::keymgr {
namespace {

constexpr const char* kAnchorFile = "ta.cer";

}  // namespace

absl::StatusOr<rpki::PublicationFolder*> FolderTarget::Open() {
  if (path_.empty()) {
    return WithReason(FailedPrecondition("no folder for the RPKI publication is configured: set rpki-publication"),
                      "NOT_CONFIGURED");
  }
  if (!folder_.has_value()) {
    ASSIGN_OR_RETURN(rpki::PublicationFolder folder, rpki::PublicationFolder::Open(path_, options_));
    folder_ = std::move(folder);
  }
  return &*folder_;
}

absl::StatusOr<std::uint64_t> FolderTarget::Number() {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const rpki::PublicationFolder* const folder, Open());
  return folder->Current();
}

// Two managers with a ledger each that name the same folder would each take the other's routers off the air.
absl::Status FolderTarget::CheckAuthority(const rpki::PublicationFolder& folder, const Tree& tree) const {
  const auto ours = tree.find(kAnchorFile);
  if (ours == tree.end()) return InvalidArgument("a publication without a trust anchor");
  const auto there = ReadFile(folder.current_path() + "/" + kAnchorFile);
  if (absl::IsNotFound(there.status())) return absl::OkStatus();
  RETURN_IF_ERROR(there.status());
  const auto old_one = x509::ParseCertificate(*there), new_one = x509::ParseCertificate(ours->second);
  if (old_one.ok() && new_one.ok() && old_one->spki == new_one->spki) return absl::OkStatus();
  return WithReason(FailedPrecondition("{} publishes another trust anchor: give this manager a folder of its own, or "
                                       "empty that one",
                                       path_),
                    "ANOTHER_AUTHORITY");
}

absl::Status FolderTarget::Publish(const Tree& tree, std::uint64_t number) {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(rpki::PublicationFolder* const folder, Open());
  RETURN_IF_ERROR(CheckAuthority(*folder, tree));
  return folder->Publish(tree, number);
}

}  // namespace virp::keymgr
