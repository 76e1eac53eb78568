// What an O-Node needs of a database: ordered entries, one head per chain, tiles, checkpoints and a quarantine.
// Implemented by storage/sqlite and storage/postgres; both pass tests/conformance. Nothing in it is believed: every
// byte that a verdict rests on is checked against hashes after it was read.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/chain/walk.h"

namespace virp::onode {

using ChainId = std::int32_t;

struct ChainInfo {
  ChainId id = 0;
  std::string origin;
  std::string predecessor;  // checkpoint note of the chain that this one succeeds; empty for none
};

struct ChainHead {
  std::uint64_t term = 0;      // fencing token: grows by one with every take-over
  std::string holder;          // instance id of the leader; empty when nobody leads
  std::string holder_address;  // where clients reach it (host:port)
  bool lease_valid = false;    // by the database's clock, at the time of reading
  std::uint64_t size = 0;
  Hash head{};           // leaf hash of entry size-1, or the genesis value
  std::string frontier;  // chain::Frontier::ToBytes()
};

struct EntryRow {
  std::uint64_t sequence = 0;
  Hash leaf{};
  std::string bytes;
  chain::IndexColumns index;  // a cache of what the bytes say
};

// Which frame: its source's short id, and its number in one of that source's epochs.
struct FrameNumber {
  std::uint64_t source = 0, epoch = 0, number = 0;

  auto operator<=>(const FrameNumber&) const = default;
  template <typename H>
  friend H AbslHashValue(H hash, const FrameNumber& of) {
    return H::combine(std::move(hash), of.source, of.epoch, of.number);
  }
};

// As the row's index columns say.
inline FrameNumber FrameOf(const EntryRow& row) {
  return {row.index.source, row.index.source_epoch, row.index.source_sequence};
}

struct Tile {
  unsigned level = 0;
  std::uint64_t index = 0;
  std::string hashes;  // 256 hashes, 8,192 bytes
};

struct AppendBatch {
  std::uint64_t term = 0;
  std::uint64_t old_size = 0;
  Hash old_head{};
  Hash new_head{};
  std::string new_frontier;
  std::vector<EntryRow> rows;  // rows[i].sequence == old_size + i; at most 4,096
  std::vector<Tile> tiles;     // full tiles that this batch completes
};

struct StoredCheckpoint {
  std::uint64_t size = 0;
  Hash root{};
  std::string note;  // empty while it is only an intent
};

struct QuarantinedFrame {
  std::uint64_t id = 0;  // rising; given by the store
  UnixNanos received = 0;
  std::string path;    // how it came in: deliverer's identity
  std::string source;  // as claimed; may be empty
  std::string reason;  // frame::ReasonName
  std::string frame;
};

// The hashes of one chain's full tile, as ChainStore::ReadTile gives them.
using TileReader = std::function<absl::StatusOr<std::string>(unsigned level, std::uint64_t index)>;

struct StoreUsage {
  std::uint64_t used_bytes = 0;   // with logs and indexes
  std::uint64_t limit_bytes = 0;  // the smaller of the configured limit and used plus free space; 0: unknown
  std::uint64_t unindexed = 0;    // entries in memory that wait for the index beside the database, of all chains
};

// Thread-safe. Errors common to all calls: Unavailable (connection lost, locked; retry), DataLoss (the database says
// that it is corrupt), ResourceExhausted (disk full).
class ChainStore {
 public:
  virtual ~ChainStore() = default;

  virtual absl::StatusOr<std::vector<ChainInfo>> ListChains() = 0;
  // AlreadyExists when there is a chain of that origin.
  virtual absl::StatusOr<ChainId> CreateChain(std::string_view origin, std::string_view predecessor_note) = 0;

  virtual absl::StatusOr<ChainHead> ReadHead(ChainId chain) = 0;

  // Takes the lease when nobody holds a valid one, or `instance` does; the term grows. Aborted when another holds it.
  virtual absl::StatusOr<ChainHead> TakeLease(ChainId chain, std::string_view instance, std::string_view address,
                                              std::chrono::milliseconds duration) = 0;
  // Aborted when the term is no longer ours.
  virtual absl::Status RenewLease(ChainId chain, std::uint64_t term, std::chrono::milliseconds duration) = 0;
  virtual absl::Status ReleaseLease(ChainId chain, std::uint64_t term) = 0;

  // One transaction: compare-and-swap of (term, old_size, old_head), rows, tiles, commit with fsync. Aborted: fenced,
  // nothing was written. Unknown: the commit's outcome is not known; settle it with ReadHead before anything else.
  virtual absl::Status Append(ChainId chain, const AppendBatch& batch) = 0;

  // Entries [first, first + limit) in order, fewer at the end; at most 16 MiB a call. What `rows` holds is replaced and
  // its memory used again: a walk over a whole chain calls this with the same vector and allocates nothing.
  virtual absl::Status ReadEntriesInto(ChainId chain, std::uint64_t first, std::size_t limit,
                                       std::vector<EntryRow>& rows) = 0;
  absl::StatusOr<std::vector<EntryRow>> ReadEntries(ChainId chain, std::uint64_t first, std::size_t limit) {
    std::vector<EntryRow> rows;
    if (absl::Status status = ReadEntriesInto(chain, first, limit, rows); !status.ok()) return status;
    return rows;
  }
  // NotFound when it is not there.
  virtual absl::StatusOr<EntryRow> ReadEntry(ChainId chain, std::uint64_t sequence) = 0;
  // Stored leaf hashes [first, first + count), all of them or DataLoss.
  virtual absl::StatusOr<std::vector<Hash>> ReadLeafHashes(ChainId chain, std::uint64_t first, std::size_t count) = 0;

  // The entries that are indexed under these numbers, ascending chain sequence, in one round trip; a number without one
  // has none among them. InvalidArgument beyond kMostNumbers, so that one call returns less than 16 MiB.
  static constexpr std::size_t kMostNumbers = 256;
  virtual absl::StatusOr<std::vector<EntryRow>> FindByNumber(ChainId chain,
                                                             const std::vector<FrameNumber>& numbers) = 0;
  struct Filter {
    std::optional<std::uint64_t> source;
    std::optional<std::uint64_t> subject;
    std::optional<std::uint8_t> kind;
    std::uint64_t from = 0;                // chain sequence, inclusive
    std::uint64_t to = ~std::uint64_t{0};  // exclusive
    bool descending = false;
  };
  // By index columns, in the order of the chain. By sequence only: read and check the entry itself.
  virtual absl::StatusOr<std::vector<std::uint64_t>> List(ChainId chain, const Filter& filter, std::size_t limit) = 0;

  // NotFound when that full tile is not stored.
  virtual absl::StatusOr<std::string> ReadTile(ChainId chain, unsigned level, std::uint64_t index) = 0;
  TileReader TilesOf(ChainId chain) {
    return [this, chain](unsigned level, std::uint64_t index) { return ReadTile(chain, level, index); };
  }

  // Commits the intent to sign `root` at `size`. DataLoss when another root stands there. Aborted when fenced.
  virtual absl::Status PutCheckpointIntent(ChainId chain, std::uint64_t term, std::uint64_t size, const Hash& root) = 0;
  virtual absl::Status PutCheckpointNote(ChainId chain, std::uint64_t size, std::string_view note) = 0;
  // The largest signed one; NotFound when there is none.
  virtual absl::StatusOr<StoredCheckpoint> LatestCheckpoint(ChainId chain) = 0;
  // The smallest signed one with size >= `size`; NotFound when there is none.
  virtual absl::StatusOr<StoredCheckpoint> CheckpointAtOrAfter(ChainId chain, std::uint64_t size) = 0;

  // Keeps at most 1,000 frames and 16 MiB per path, oldest out. Returns how many went out.
  virtual absl::StatusOr<std::uint64_t> PutQuarantine(ChainId chain, const QuarantinedFrame& frame) = 0;
  // The same for several, in order. On an error some of them may have been kept.
  virtual absl::StatusOr<std::uint64_t> PutQuarantineAll(ChainId chain, const std::vector<QuarantinedFrame>& frames) {
    std::uint64_t gone = 0;
    for (const QuarantinedFrame& frame : frames) {
      const auto out = PutQuarantine(chain, frame);
      if (!out.ok()) return out;
      gone += *out;
    }
    return gone;
  }
  virtual absl::StatusOr<std::vector<QuarantinedFrame>> ListQuarantine(ChainId chain, std::uint64_t after_id,
                                                                       std::size_t limit) = 0;

  virtual absl::StatusOr<StoreUsage> Usage() = 0;
};

}  // namespace virp::onode
