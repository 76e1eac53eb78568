// Which entries are of a source or a subject, and which entry holds a frame: derived from the entries' columns, in a
// file of its own beside the database, PATH-index. In the database these three indexes touched a page each for every
// frame, all over the file, and every commit had to write and sync them (docs/adr/0004-index-beside-the-chain.md).
//
// No verdict and no proof rests on the file: it says where to look, and what is found is checked against the chain. It
// also says whether a frame is held already, before an append. Entries that it does not have yet are kept in memory,
// and what is missing of it, or does not belong to the database, is made again from the entries. Its commits are not
// synced.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/store/sqlite.h"
#include "services/onode/domain/chain_store.h"
#include "services/onode/storage/sqlite/sqlite_readers.h"

namespace virp::onode {

// Of one entry, what the index is made of.
struct IndexKey {
  std::uint64_t sequence = 0;
  FrameNumber frame;
  std::uint64_t subject = 0;
  std::uint8_t kind = 0;
};

class SqliteEntryIndex {
 public:
  static constexpr std::size_t kFlushRows = 16'384;  // written at once: in order, many entries to a page
  static constexpr std::size_t kMostRecent =
      262'144;  // of a chain in memory, some 40 MB; beyond, an append has to write

  // How it reads the database. Called from any thread; errors of the database.
  struct Entries {
    std::function<absl::StatusOr<std::uint64_t>(ChainId)> size;
    std::function<absl::StatusOr<std::vector<IndexKey>>(ChainId, std::uint64_t first, std::uint64_t end,
                                                        std::size_t limit)>
        keys;
    std::function<absl::StatusOr<Hash>(ChainId, std::uint64_t sequence)> leaf;  // NotFound
  };

  // Opens or makes `path` and brings it up to the size of each of `chains`, as far as that can be read. For "" the
  // index is this object's own, in a temporary file. ResourceExhausted: no room; Unavailable: cannot be written.
  static absl::StatusOr<std::unique_ptr<SqliteEntryIndex>> Open(const std::string& path, Entries entries,
                                                                const std::vector<ChainId>& chains);
  ~SqliteEntryIndex();
  SqliteEntryIndex(const SqliteEntryIndex&) = delete;
  SqliteEntryIndex& operator=(const SqliteEntryIndex&) = delete;

  // All below: thread-safe, and with the errors of the database and of the file.

  // Before `rows` are appended at `old_size`. AlreadyExists when a frame of theirs is in the chain, or twice in them.
  // When kMostRecent entries wait it writes some itself first; the error of that when it cannot.
  absl::Status CheckNew(ChainId chain, std::uint64_t old_size, const std::vector<EntryRow>& rows);
  void Appended(ChainId chain, const std::vector<EntryRow>& rows);  // once they are committed

  absl::StatusOr<std::vector<std::uint64_t>> Find(ChainId chain, const std::vector<FrameNumber>& frames);
  // As ChainStore::List, for a filter with a source or a subject other than 0.
  absl::StatusOr<std::vector<std::uint64_t>> List(ChainId chain, const ChainStore::Filter& filter, std::size_t limit);

  std::uint64_t waiting() const;  // entries in memory only, of all chains
  absl::Status Flush();           // until none does; for tests

 private:
  struct Tail {
    std::uint64_t in_file = 0;    // entries below are in the file
    std::uint64_t end = 0;        // entries below are known
    std::deque<IndexKey> recent;  // those between; where the database lacks one, so does this
    absl::flat_hash_map<FrameNumber, std::uint64_t> frames;  // of `recent`: the sequence
  };

  explicit SqliteEntryIndex(Entries entries) : entries_(std::move(entries)) {}
  absl::Status OpenFile(const std::string& path);
  absl::StatusOr<bool> BelongsToTheDatabase();
  absl::Status CatchUp(ChainId chain);
  absl::Status CatchUpTo(ChainId chain, std::uint64_t size);
  void Add(ChainId chain, const std::vector<IndexKey>& keys);
  absl::Status MakeRoom(ChainId chain);
  absl::Status FlushSome(ChainId chain, std::size_t most);
  absl::Status Write(ChainId chain, const std::vector<IndexKey>& keys);
  using Sequences = absl::StatusOr<std::vector<std::uint64_t>>;
  Sequences Read(const std::function<Sequences(store::SqliteDb&)>& body);
  std::optional<ChainId> FullTail() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Loop();

  const Entries entries_;
  Mutex writing_mutex_;  // order: a connection's, then mutex_
  Mutex checking_mutex_;
  // A temporary file has one connection only, the first.
  std::unique_ptr<store::SqliteDb> writer_;
  std::unique_ptr<store::SqliteDb> checker_;  // of CheckNew: an append waits for nobody who lists
  std::unique_ptr<SqliteReaders> readers_;
  mutable Mutex mutex_;
  std::condition_variable_any wake_;
  absl::flat_hash_map<ChainId, Tail> tails_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_write_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace virp::onode
