// C2SP signed notes and checkpoints (docs/formats/chain.md, "Checkpoint"). Pure; thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/chain/merkle.h"
#include "lib/crypto/ed25519.h"

namespace virp::chain {

// Whose signature to believe: name, 4-byte key id and Ed25519 public key, written
// `name+hex8(key id)+base64(0x01 || public key)`.
class VerifierKey {
 public:
  // InvalidArgument: not of that form, another signature type (a witness's), an id that is not this key's, or a name
  // that is not 1 to 255 printable ASCII characters without space and plus.
  static absl::StatusOr<VerifierKey> Parse(std::string_view text);
  static absl::StatusOr<VerifierKey> Make(std::string_view name, std::string_view public32);
  const std::string& name() const { return name_; }
  const std::string& public_key() const { return key_.bytes(); }
  std::uint32_t key_id() const { return key_id_; }
  std::string ToString() const;
  // Whether this key made the signature (64 bytes, without key id) over a note's text.
  bool Verify(std::string_view text, std::string_view signature) const { return key_.Verify(text, signature); }
  friend bool operator==(const VerifierKey& a, const VerifierKey& b) {
    return a.name_ == b.name_ && a.public_key() == b.public_key();
  }

 private:
  VerifierKey(std::string name, crypto::Ed25519PublicKey key, std::uint32_t key_id)
      : name_(std::move(name)), key_(std::move(key)), key_id_(key_id) {}

  std::string name_;
  crypto::Ed25519PublicKey key_;
  std::uint32_t key_id_;
};

struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;  // at most kMaxTreeSize
  Hash root{};
  bool operator==(const Checkpoint&) const = default;
};

// The three lines that are signed, each ended by LF.
std::string CheckpointText(const Checkpoint& checkpoint);

// Parses a note's text without checking any signature: for display, and to find which key is needed.
absl::StatusOr<Checkpoint> ParseCheckpointUnverified(std::string_view note);

// Parses a note and verifies it: at least one signature by one of `keys` whose name is the origin, and no signature by
// any of `keys` failing; lines of unknown keys are ignored. InvalidArgument for a malformed note (also over 64 KiB,
// over 64 signatures, extension lines), NotFound when no known key signed, DataLoss when a known key's signature fails
// or the origin is not the key's name.
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
