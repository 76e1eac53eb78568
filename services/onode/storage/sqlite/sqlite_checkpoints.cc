// Checkpoints and the quarantine.
#include <algorithm>

#include "lib/base/status.h"
#include "services/onode/storage/sqlite/sqlite_store.h"
#include "services/onode/storage/store_checks.h"

namespace virp::onode {
namespace {

using store::Blob;
using store::SqliteDb;
using store::SqliteStatement;

struct PathUse {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  bool Fits() const { return frames <= kQuarantineFrames && bytes <= kQuarantineBytes; }
};

absl::StatusOr<PathUse> ReadUse(SqliteDb& db, ChainId chain, std::string_view path) {
  ASSIGN_OR_RETURN(SqliteStatement read,
                   db.Prepare("SELECT frames, bytes FROM quarantine_use WHERE chain_id=? AND path=?"));
  ASSIGN_OR_RETURN(const bool row, read.One(chain, Blob(path)));
  return row ? PathUse{read.Uint(0), read.Uint(1)} : PathUse{};
}

// Removes a path's oldest frames until the rest fits. Returns how many went out.
absl::StatusOr<std::uint64_t> Trim(SqliteDb& db, ChainId chain, std::string_view path, PathUse& use) {
  std::uint64_t gone = 0;
  while (!use.Fits()) {
    std::int64_t id = 0;
    {
      ASSIGN_OR_RETURN(
          SqliteStatement oldest,
          db.Prepare("SELECT id, length(frame) FROM quarantine WHERE chain_id=? AND path=? ORDER BY id LIMIT 1"));
      ASSIGN_OR_RETURN(const bool row, oldest.One(chain, Blob(path)));
      if (!row) {  // the count was not right: somebody removed frames by hand
        use = PathUse{};
        return gone;
      }
      id = oldest.Int(0);
      --use.frames;
      use.bytes -= std::min(use.bytes, oldest.Uint(1));
    }
    RETURN_IF_ERROR(db.Run("DELETE FROM quarantine WHERE id=?", id));
    ++gone;
  }
  return gone;
}

absl::StatusOr<std::uint64_t> KeepOne(SqliteDb& db, ChainId chain, const QuarantinedFrame& frame) {
  ASSIGN_OR_RETURN(PathUse use, ReadUse(db, chain, frame.path));
  ++use.frames;
  use.bytes += frame.frame.size();
  RETURN_IF_ERROR(
      db.Run("INSERT INTO quarantine (chain_id, received_ns, path, source, reason, frame) VALUES (?,?,?,?,?,?)", chain,
             ToSigned(frame.received), Blob(frame.path), Blob(frame.source), frame.reason, Blob(frame.frame)));
  ASSIGN_OR_RETURN(const std::uint64_t gone, Trim(db, chain, frame.path, use));
  RETURN_IF_ERROR(
      db.Run("INSERT INTO quarantine_use (chain_id, path, frames, bytes) VALUES (?,?,?,?)"
             " ON CONFLICT DO UPDATE SET frames=excluded.frames, bytes=excluded.bytes",
             chain, Blob(frame.path), ToSigned(use.frames), ToSigned(use.bytes)));
  return gone;
}

}  // namespace

absl::Status SqliteChainStore::PutCheckpointIntent(ChainId chain, std::uint64_t term, std::uint64_t size,
                                                   const Hash& root) {
  RETURN_IF_ERROR(CheckSize(size));
  return Write([&](SqliteDb& db) -> absl::Status {
    ASSIGN_OR_RETURN(const ChainHead head, HeadFrom(db, chain));
    if (head.term != term) return Fenced(chain, term);
    if (size > head.size) return BeyondHead(chain, size);
    {
      ASSIGN_OR_RETURN(SqliteStatement read, db.Prepare("SELECT root FROM checkpoint WHERE chain_id=? AND size=?"));
      ASSIGN_OR_RETURN(const bool row, read.One(chain, ToSigned(size)));
      if (row) return read.Bytes(0) == View(root) ? absl::OkStatus() : AnotherRoot(chain, size);
    }
    return db.Run("INSERT INTO checkpoint (chain_id, size, root) VALUES (?,?,?)", chain, ToSigned(size), Blob(root));
  });
}

absl::Status SqliteChainStore::PutCheckpointNote(ChainId chain, std::uint64_t size, std::string_view note) {
  RETURN_IF_ERROR(CheckSize(size));
  RETURN_IF_ERROR(CheckNote(note));
  return Write([&](SqliteDb& db) -> absl::Status {
    {
      ASSIGN_OR_RETURN(SqliteStatement read, db.Prepare("SELECT note FROM checkpoint WHERE chain_id=? AND size=?"));
      ASSIGN_OR_RETURN(const bool row, read.One(chain, ToSigned(size)));
      if (row && !read.IsNull(0) && read.Text(0) == note) return absl::OkStatus();
      if (!row || !read.IsNull(0)) return NoIntent(chain, size);
    }
    return db.Run("UPDATE checkpoint SET note=? WHERE chain_id=? AND size=?", note, chain, ToSigned(size));
  });
}

absl::StatusOr<StoredCheckpoint> SqliteChainStore::OneCheckpoint(std::string_view sql, ChainId chain,
                                                                 std::uint64_t size) {
  if (size <= kMaxSequence) {
    ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
    ASSIGN_OR_RETURN(SqliteStatement read, db->Prepare(sql));
    ASSIGN_OR_RETURN(const bool row, read.One(chain, ToSigned(size)));
    if (row) {
      StoredCheckpoint out;
      out.size = read.Uint(0);
      out.root = HashFromBytes(read.Bytes(1)).value_or(Hash{});
      out.note = read.Text(2);
      return out;
    }
  }
  return NotFound("chain {} has no signed checkpoint of size {} or more", chain, size);
}

absl::StatusOr<StoredCheckpoint> SqliteChainStore::LatestCheckpoint(ChainId chain) {
  return OneCheckpoint(
      "SELECT size, root, note FROM checkpoint WHERE chain_id=? AND size>=? AND note IS NOT NULL"
      " ORDER BY size DESC LIMIT 1",
      chain, 0);
}

absl::StatusOr<StoredCheckpoint> SqliteChainStore::CheckpointAtOrAfter(ChainId chain, std::uint64_t size) {
  return OneCheckpoint(
      "SELECT size, root, note FROM checkpoint WHERE chain_id=? AND size>=? AND note IS NOT NULL"
      " ORDER BY size LIMIT 1",
      chain, size);
}

absl::StatusOr<std::uint64_t> SqliteChainStore::PutQuarantine(ChainId chain, const QuarantinedFrame& frame) {
  return PutQuarantineAll(chain, {frame});
}

// One transaction: each costs an fsync, and keeps appends waiting.
absl::StatusOr<std::uint64_t> SqliteChainStore::PutQuarantineAll(ChainId chain,
                                                                 const std::vector<QuarantinedFrame>& frames) {
  for (const QuarantinedFrame& frame : frames) RETURN_IF_ERROR(CheckQuarantined(frame));
  std::uint64_t gone = 0;
  const absl::Status written = Write([&](SqliteDb& db) -> absl::Status {
    gone = 0;
    RETURN_IF_ERROR(HeadFrom(db, chain).status());
    for (const QuarantinedFrame& frame : frames) {
      ASSIGN_OR_RETURN(const std::uint64_t out, KeepOne(db, chain, frame));
      gone += out;
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return gone;
}

absl::StatusOr<std::vector<QuarantinedFrame>> SqliteChainStore::ListQuarantine(ChainId chain, std::uint64_t after_id,
                                                                               std::size_t limit) {
  RETURN_IF_ERROR(CheckReadCount(limit));
  std::vector<QuarantinedFrame> out;
  if (after_id > kMaxSequence) return out;
  ASSIGN_OR_RETURN(SqliteReaders::Loan db, readers_.Take());
  ASSIGN_OR_RETURN(SqliteStatement read,
                   db->Prepare("SELECT id, received_ns, path, source, reason, frame FROM quarantine"
                               " WHERE chain_id=? AND id>? ORDER BY id LIMIT ?"));
  RETURN_IF_ERROR(read.Bind(chain, ToSigned(after_id), static_cast<std::int64_t>(limit)));
  std::size_t bytes = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, read.Step());
    if (!row) return out;
    bytes += read.Bytes(5).size();
    if (bytes > kMaxReadBytes && !out.empty()) return out;
    out.push_back({read.Uint(0), read.Uint(1), std::string(read.Bytes(2)), std::string(read.Bytes(3)),
                   std::string(read.Text(4)), std::string(read.Bytes(5))});
  }
}

}  // namespace virp::onode
