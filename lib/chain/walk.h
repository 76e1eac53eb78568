// The verifying walk: one implementation for VerifyChain, start-up, followers and `virpctl verify --offline`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/chain/entry.h"
#include "lib/chain/merkle.h"
#include "lib/chain/source_book.h"
#include "lib/frame/key.h"

namespace virp::chain {

// Kinds of break, in the order in which they are looked for; the names are those of the API and of virpctl.
enum class BreakKind : std::uint8_t {
  kLeafHash,          // entry bytes do not hash to the stored leaf hash
  kPreviousHash,      // the header's previous hash is not the leaf hash before
  kNotContiguous,     // a chain sequence is missing or out of place
  kMalformedEntry,    // the bytes are no entry or no frame, or header and frame disagree
  kSourceSequence,    // the source's numbers jump without a gap entry, repeat, or an epoch falls
  kSourceRules,       // unknown source, wrong suite or key version, not registered types, O-Node types by others
  kTag,               // the frame's tag fails
  kSubject,           // subject or link fields are not what the payload says
  kIndex,             // the store's index columns disagree with the entry
  kCheckpointRoot,    // root differs from a signed checkpoint
  kCheckpointSignature,
  kTailMissing,       // fewer entries than a signed checkpoint says
};
std::string_view BreakKindName(BreakKind kind);  // "LEAF_HASH", ...

struct Break {
  std::uint64_t sequence = 0;  // of the first entry (or size of the checkpoint) that is wrong
  BreakKind kind = BreakKind::kLeafHash;
  std::string detail;
};

// What a walk could not check, and what was missing for it ("tag of source edge-a.bgpd version 3: no key").
struct Unchecked {
  std::string what;
  std::uint64_t entries = 0;
};

struct WalkOptions {
  bool check_tags = true;
  bool check_subjects = false;               // the deeper mode: re-derive subjects, links and flags from payloads
  const frame::KeyProvider* keys = nullptr;  // HMAC secrets; Ed25519 public halves are in the chain itself
};

// Columns that a store keeps beside an entry; absent in an export.
struct IndexColumns {
  std::uint64_t source = 0, source_epoch = 0, source_sequence = 0, subject = 0, received_us = 0;
  std::uint8_t kind = 0, result = 0;
};

// Feed entries in order from `first`; a walk that starts at 0 checks everything, one that starts later needs the book and
// frontier of its start or leaves the source rules unchecked. Not thread-safe; independent walks run in parallel.
class ChainWalk {
 public:
  ChainWalk(std::string origin, WalkOptions options);
  // Continues from a known state: `book` has applied `frontier.size()` entries and `head` is the last leaf hash.
  ChainWalk(SourceBook book, Frontier frontier, Hash head, WalkOptions options);
  ~ChainWalk();
  ChainWalk(ChainWalk&&) noexcept;

  // Checks the next entry. A break is recorded once (the first); the walk goes on for counting only.
  // `stored_leaf` is null in an export without stored hashes.
  void Add(std::string_view entry_bytes, const Hash* stored_leaf, const IndexColumns* index);
  // States a signed checkpoint that has to fit at `size`, at any time before or after that size is reached.
  void Expect(std::uint64_t size, const Hash& root);

  std::uint64_t size() const;
  Hash Root() const;
  Hash head() const;
  const Frontier& frontier() const;
  const SourceBook& book() const;
  SourceBook TakeBook() &&;
  const std::optional<Break>& first_break() const;
  std::vector<Unchecked> unchecked() const;

  // Called for every entry that passed, with its decoded parts; lets a caller fold more state in the same pass.
  using Observer = std::function<void(const Entry&, const frame::Frame&, const Statement&, const std::optional<frame::Value>&)>;
  void SetObserver(Observer observer);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::chain
