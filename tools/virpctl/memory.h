// What virpctl saw of each chain before: the largest signed checkpoint, and without --trust the keys of the first
// contact. Every command that is shown a checkpoint demands that it extends the one that was seen; a chain that was
// rolled back, or shows one history to us and another to others, is found out by whoever asks twice.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/chain/checkpoint_store.h"
#include "lib/chain/note.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

// Reasons of statuses that are an answer about the chain and no failure of the command. Metadata "kept" and "shown" are
// the two notes, where there are two.
inline constexpr std::string_view kForked = "CHAIN_FORKED";                // two histories, both signed
inline constexpr std::string_view kRolledBack = "CHAIN_ROLLED_BACK";       // less than was signed before
inline constexpr std::string_view kBadSignature = "CHECKPOINT_SIGNATURE";  // a key that we believe did not make it
inline constexpr std::string_view kBrokenProof = "PROOF_BROKEN";           // does not lead to the signed root
inline constexpr std::string_view kNotTrusted = "CHECKPOINT_NOT_TRUSTED";  // signed by none of the keys we believe
inline constexpr std::string_view kRecordDiffers = "RECORD_DIFFERS";       // proven, and not what we were told
// kNo, for kNotTrusted kCannotSay; nothing for all other reasons.
std::optional<Exit> ExitOf(const absl::Status& status);

// For one thread; processes may share a directory.
class Memory {
 public:
  // In --state, else in a folder of the user's; InvalidArgument when there is neither, errors of the file system.
  // `channel` leads to the O-Node that is asked for keys and consistency proofs; null for what works offline.
  static absl::StatusOr<Memory> Open(const Options& options, std::shared_ptr<grpc::Channel> channel);

  // Demands that a note that the O-Node showed is signed by a key that is believed and extends what was seen, and keeps
  // it. `note` is empty when the O-Node has none. Errors with the reasons above, and those of the O-Node.
  absl::Status See(const std::string& origin, const std::string& note) const;
  // Verifies these proof files (C2SP tlog-proof) of the chain, and demands the same of the largest checkpoint in them.
  absl::Status SeeProofs(const std::string& origin, const std::vector<std::string>& proofs) const;

  using Kept = chain::CheckpointStore::Kept;
  // Demands that a root that the O-Node worked out from all that it has stored extends what was kept before it began.
  absl::Status SeeRoot(const Kept& kept, std::uint64_t size, const Hash& root) const;
  // What is kept of a chain, by the keys that are believed for it; nothing when there is nothing.
  absl::StatusOr<std::optional<Kept>> Find(const std::string& origin) const;
  // Keeps a note of which somebody who read all its entries knows that it extends what is kept.
  absl::Status Keep(const std::string& note, const std::vector<chain::VerifierKey>& keys) const;

 private:
  using Keys = std::vector<chain::VerifierKey>;
  Memory(Connection connection, std::shared_ptr<grpc::Channel> channel, std::string directory, Keys trust,
         chain::CheckpointStore store)
      : connection_(std::move(connection)),
        channel_(std::move(channel)),
        directory_(std::move(directory)),
        trust_(std::move(trust)),
        store_(std::move(store)) {}

  std::string KeysPath(std::string_view origin) const;
  absl::StatusOr<Keys> KeysOf(const std::string& origin) const;
  absl::Status LearnKeys(const std::string& origin, const std::string& note, Keys& keys) const;
  absl::StatusOr<chain::Checkpoint> Believe(const std::string& origin, const std::string& note, Keys& keys) const;
  absl::Status Advance(const std::string& note, const chain::Checkpoint& shown, const Keys& keys) const;
  absl::Status Behind(const Kept& kept, const std::string& note, const Keys& keys) const;

  Connection connection_;
  std::shared_ptr<grpc::Channel> channel_;
  std::string directory_;
  Keys trust_;
  chain::CheckpointStore store_;
};

// The error for a note that cannot be of the same chain as the one that is kept.
absl::Status Forked(const Memory::Kept& kept, std::string_view shown);

}  // namespace virp::virpctl
