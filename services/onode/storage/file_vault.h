// Checkpoint keys and the largest checkpoint of one chain, in files: keys in a key directory
// `<keys>/<origin>/<version>.seed`, state beside the database in `<state>/`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/chain/checkpoint_store.h"
#include "lib/frame/key_directory.h"
#include "services/onode/domain/checkpoint_vault.h"

namespace virp::onode {

// Thread-safe.
class FileVault final : public CheckpointVault {
 public:
  // FailedPrecondition when there is no checkpoint key for this origin, or files have wrong modes.
  static absl::StatusOr<std::unique_ptr<FileVault>> Open(const std::string& keys_directory,
                                                         const std::string& state_directory, const std::string& origin);

  absl::StatusOr<std::string> Sign(const chain::Checkpoint& checkpoint) override;
  std::vector<chain::VerifierKey> Verifiers() const override;
  std::vector<chain::VerifierKey> Signing() const override;
  absl::StatusOr<std::optional<std::string>> Largest() override;
  absl::Status Keep(std::string_view note) override;
  absl::StatusOr<chain::VerifierKey> NextKey() override;
  absl::Status Activate(const chain::VerifierKey& key) override;

 private:
  struct Key {
    std::uint32_t version = 0;
    std::shared_ptr<const frame::OKey> key;
    chain::VerifierKey verifier;
  };
  FileVault(std::string origin, std::string active_file, std::unique_ptr<frame::KeyDirectory> directory,
            chain::CheckpointStore largest)
      : origin_(std::move(origin)),
        active_file_(std::move(active_file)),
        directory_(std::move(directory)),
        largest_(std::move(largest)) {}
  absl::Status Load();

  const std::string origin_;
  const std::string active_file_;  // versions that sign, one a line; the two newest at most
  const std::unique_ptr<frame::KeyDirectory> directory_;
  const chain::CheckpointStore largest_;
  mutable Mutex mutex_;
  std::vector<Key> keys_ ABSL_GUARDED_BY(mutex_);  // all that are there, ascending
  std::vector<std::uint32_t> active_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace virp::onode
