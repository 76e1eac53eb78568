// The deliverer's watch over its O-Node: what was acknowledged must be in every later checkpoint, and each checkpoint
// must extend the one before. Keeps the largest audited note on disk. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/chain/merkle.h"
#include "lib/chain/note.h"
#include "lib/deliver/connection.h"

namespace virp::deliver {

class Audit {
 public:
  // `directory` holds `audited` (note and frontier) and, after a mismatch, both notes. DataLoss when the file does not
  // verify.
  static absl::StatusOr<Audit> Open(std::string directory, std::string origin, std::vector<chain::VerifierKey> keys);

  const std::string& note() const { return note_; }  // largest audited; empty for none
  std::uint64_t size() const { return frontier_.size(); }

  // All of these: DataLoss says what does not fit; both notes are then kept on disk.
  absl::Status Begin(const Welcome& welcome);
  // An ack: this entry is said to be at this place. With `header` in front the frame must be what has that leaf hash:
  // another entry's place and hash would pass every later check.
  absl::Status Expect(std::uint64_t chain_sequence, const Hash& leaf, std::string_view header, std::string_view frame);
  absl::Status Check(const CheckpointNotice& notice);

  // True when an audited checkpoint shows the entry at this place, with the leaf hash that the ack named.
  bool Shown(std::uint64_t chain_sequence) const {
    return chain_sequence < frontier_.size() && !expected_.contains(chain_sequence);
  }
  std::size_t open() const { return expected_.size(); }

  // A new connection answers everything again.
  void ForgetExpected() { expected_.clear(); }

 private:
  Audit(std::string directory, std::string origin, std::vector<chain::VerifierKey> keys)
      : directory_(std::move(directory)), origin_(std::move(origin)), keys_(std::move(keys)) {}
  absl::StatusOr<chain::Checkpoint> Verify(std::string_view note) const;
  absl::StatusOr<chain::Frontier> FrontierOf(const std::vector<Hash>& hashes,
                                             const chain::Checkpoint& checkpoint) const;
  absl::StatusOr<chain::Frontier> AddLeaves(const CheckpointNotice& notice, const chain::Checkpoint& checkpoint) const;
  absl::Status CheckInclusions(const CheckpointNotice& notice, const chain::Checkpoint& checkpoint) const;
  absl::Status Accept(std::string note, chain::Frontier frontier);
  absl::Status Mismatch(std::string_view note, const absl::Status& why) const;

  std::string directory_;
  std::string origin_;
  std::vector<chain::VerifierKey> keys_;
  std::string note_;
  chain::Frontier frontier_;
  std::map<std::uint64_t, Hash> expected_;  // acknowledged and not shown yet, by chain sequence
};

}  // namespace virp::deliver
