// C2SP signed notes and checkpoints (docs/formats/chain.md, "Checkpoint"). Pure; thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"

namespace virp::chain {

// Whose signature to believe: name, 4-byte key id and Ed25519 public key, written
// `name+hex8(key id)+base64(0x01 || public key)`.
class VerifierKey {
 public:
  static absl::StatusOr<VerifierKey> Parse(std::string_view text);
  static absl::StatusOr<VerifierKey> Make(std::string_view name, std::string_view public32);
  const std::string& name() const { return name_; }
  const std::string& public_key() const { return public_key_; }
  std::uint32_t key_id() const { return key_id_; }
  std::string ToString() const;

 private:
  std::string name_;
  std::string public_key_;
  std::uint32_t key_id_ = 0;
};

struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Hash root{};
};

// The three lines that are signed, each ended by LF.
std::string CheckpointText(const Checkpoint& checkpoint);

// Parses a note's text without checking any signature: for display, and to find which key is needed.
absl::StatusOr<Checkpoint> ParseCheckpointUnverified(std::string_view note);

// Parses a note and verifies it: at least one signature by one of `keys`, none of theirs failing; lines of unknown keys
// are ignored (at most 16 are looked at). InvalidArgument for a malformed note, NotFound when no known key signed,
// DataLoss when a known key's signature fails or the origin is not the key's name.
absl::StatusOr<Checkpoint> OpenCheckpoint(std::string_view note, const std::vector<VerifierKey>& keys);

// Signs checkpoints. Holds a secret; thread-safe.
class CheckpointSigner {
 public:
  static absl::StatusOr<CheckpointSigner> FromSeed(std::string_view name, std::string_view seed32);
  CheckpointSigner(CheckpointSigner&&) noexcept;
  CheckpointSigner& operator=(CheckpointSigner&&) noexcept;
  ~CheckpointSigner();
  const VerifierKey& verifier_key() const;
  // The note's signature line for this text, with its LF.
  absl::StatusOr<std::string> SignatureLine(std::string_view text) const;
  // A whole note: text, empty line, this signer's line.
  absl::StatusOr<std::string> Sign(const Checkpoint& checkpoint) const;

 private:
  struct Impl;
  CheckpointSigner();
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::chain
