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

// A chain's first key is that of the lowest version; which others are the chain's is what Activate was told, and stands
// in `<state>/<origin>.keys`: verifier keys, one a line, from the first roll on. Thread-safe.
class FileVault final : public CheckpointVault {
 public:
  // FailedPrecondition when there is no checkpoint key for this origin, or files have wrong modes; DataLoss when the
  // file of the chain's keys is not one.
  static absl::StatusOr<std::unique_ptr<FileVault>> Open(const std::string& keys_directory,
                                                         const std::string& state_directory, const std::string& origin);

  absl::StatusOr<std::string> Sign(const chain::Checkpoint& checkpoint) override;
  absl::Status CheckCanSign() override;
  std::vector<chain::VerifierKey> Known() const override;
  std::vector<chain::VerifierKey> Signing() const override;
  std::vector<chain::VerifierKey> Verifiers() const override;
  absl::Status Refresh() override;
  absl::StatusOr<std::optional<std::string>> Largest() override;
  absl::Status Keep(std::string_view note) override;
  absl::StatusOr<chain::VerifierKey> NextKey() override;
  absl::Status Activate(const std::vector<chain::VerifierKey>& rolled) override;

 private:
  struct Key {
    std::uint32_t version = 0;
    std::shared_ptr<const frame::OKey> key;
    chain::VerifierKey verifier;
  };
  FileVault(std::string origin, std::string keys_directory, std::string keys_file,
            std::unique_ptr<frame::KeyDirectory> directory, chain::CheckpointStore largest)
      : origin_(std::move(origin)),
        keys_directory_(std::move(keys_directory)),
        keys_file_(std::move(keys_file)),
        directory_(std::move(directory)),
        largest_(std::move(largest)) {}
  absl::Status LoadKeys() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status LoadKnown() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SyncSeed(std::uint32_t version) const;
  const Key* Find(const chain::VerifierKey& verifier) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  std::vector<chain::VerifierKey> SigningLocked() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::Status MissingLocked() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const std::string origin_;
  const std::string keys_directory_;
  const std::string keys_file_;
  const std::unique_ptr<frame::KeyDirectory> directory_;
  const chain::CheckpointStore largest_;
  mutable Mutex mutex_;
  std::vector<Key> keys_ ABSL_GUARDED_BY(mutex_);                  // all that are there, ascending; never empty
  std::vector<chain::VerifierKey> known_ ABSL_GUARDED_BY(mutex_);  // the chain's, oldest first; never empty
};

}  // namespace virp::onode
