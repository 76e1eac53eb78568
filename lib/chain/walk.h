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
#include "lib/chain/note.h"
#include "lib/chain/source_book.h"
#include "lib/frame/key.h"

namespace virp::chain {

// Kinds of break; the names are those of the API and of virpctl. When several are there at once, the one that says most
// is reported: an entry out of place is kNotContiguous whatever its hashes are, a frame whose tag fails is kTag
// whatever it claims.
enum class BreakKind : std::uint8_t {
  kLeafHash,        // entry bytes do not hash to the stored leaf hash
  kPreviousHash,    // the header's previous hash is not the leaf hash before
  kNotContiguous,   // a chain sequence is missing or out of place
  kMalformedEntry,  // the bytes are no entry of this chain or no frame, header and frame disagree, or receipt falls
                    // back
  kSourceSequence,  // the source's numbers jump without a gap entry, repeat, or an epoch falls
  kSourceRules,     // unknown source, wrong suite or key version, result byte or scope wrong, O-Node types by others
  kTag,             // the frame's tag fails
  kSubject,         // subject or link fields are not what the payload says
  kIndex,           // the store's index columns disagree with the entry
  kCheckpointRoot,  // root differs from a signed checkpoint
  kCheckpointSignature,
  kTailMissing,  // fewer entries than a signed checkpoint says
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
  // The deeper mode: parse every payload and derive subjects, links and the flags that content earns. Without it,
  // payloads of types 19 and 22 to 26 alone are read, and the book keeps no subjects unless an observer is set.
  bool check_subjects = false;
  const frame::KeyProvider* keys = nullptr;  // HMAC secrets; Ed25519 public halves are in the chain itself
};

// Columns that a store keeps beside an entry; absent in an export.
struct IndexColumns {
  std::uint64_t source = 0, source_epoch = 0, source_sequence = 0, subject = 0, received_us = 0;
  std::uint8_t kind = 0, result = 0;
  bool operator==(const IndexColumns&) const = default;
};

// Feed entries in order. A walk that starts at 0 checks everything, one that starts later needs the book and frontier
// of its start, or leaves the rules that only the entries before it could decide unchecked. Not thread-safe;
// independent walks run in parallel. Between two Adds a walk holds its book and nothing of the entries.
class ChainWalk {
 public:
  ChainWalk(const std::string& origin, WalkOptions options);
  // Continues from a known state: `book` has applied `frontier.size()` entries and `head` is the last leaf hash.
  ChainWalk(SourceBook book, Frontier frontier, Hash head, WalkOptions options);

  // A part of a chain by itself, to be walked beside others: hashes, links, order, agreement of header and frame, tags
  // and index columns. Rules of sources, sequences and subjects are left to a walk from the start and counted in
  // unchecked(). `sources` is a book of the chain at any later size, for names and keys; `before` the leaf hash before
  // entry `first`, when it is known. Here size() is `first` and what was added, and Root() the root over the part's
  // leaves alone: when the part is an aligned subtree (first a multiple of its power-of-two length), that subtree's
  // hash.
  static ChainWalk ForRange(const SourceBook& sources, std::uint64_t first, std::optional<Hash> before,
                            WalkOptions options);
  ~ChainWalk();
  ChainWalk(ChainWalk&&) noexcept;
  ChainWalk& operator=(ChainWalk&&) noexcept;

  // Checks the next entry. The first break ends the walk: neither that entry nor what is added after it is taken in,
  // and size, head, root and book stay those of the good part. `stored_leaf` is null in an export without stored
  // hashes.
  void Add(std::string_view entry_bytes, const Hash* stored_leaf, const IndexColumns* index);

  // States a signed checkpoint that has to fit at `size`, before that size is passed; later it cannot be checked any
  // more and is counted in unchecked().
  void Expect(std::uint64_t size, const Hash& root);
  // The same for a note that is not opened yet. A bad signature or another chain's note is a break; a note without a
  // signature by any of `keys` is counted in unchecked().
  void ExpectNote(std::string_view note, const std::vector<VerifierKey>& keys);

  // There are no more entries: checkpoints of larger sizes say that the tail is missing. Call it at the end of a chain,
  // or wherever more entries were to be had. Adding goes on afterwards if nothing broke.
  void Finish();

  std::uint64_t size() const;
  Hash Root() const;
  Hash head() const;
  const Frontier& frontier() const;
  const SourceBook& book() const;
  SourceBook TakeBook() &&;
  const std::optional<Break>& first_break() const;
  std::vector<Unchecked> unchecked() const;  // by what

  // Called for every entry that passed, when the book has applied it, with its decoded parts; lets a caller fold more
  // state in the same pass. With an observer every payload is read, whatever the options say.
  using Observer =
      std::function<void(const Entry&, const frame::Frame&, const Statement&, const std::optional<frame::Value>&)>;
  void SetObserver(Observer observer);

 private:
  struct Impl;
  explicit ChainWalk(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::chain
