#include "services/onode/storage/store_checks.h"

#include <bit>

#include "lib/base/status.h"
#include "lib/base/utf8.h"
#include "lib/chain/entry.h"
#include "lib/chain/merkle.h"

namespace virp::onode {
namespace {

constexpr unsigned kMaxTileLevel = 7;  // 256^8 leaves are more than 2^63

absl::Status CheckText(std::string_view what, std::string_view text) {
  if (text.find('\0') == std::string_view::npos && IsUtf8(text)) return absl::OkStatus();
  return InvalidArgument("{} is not UTF-8 text without zero bytes", what);
}

absl::Status CheckTile(const Tile& tile, std::uint64_t size) {
  if (tile.level > kMaxTileLevel) return InvalidArgument("tile level {} is above {}", tile.level, kMaxTileLevel);
  if (tile.hashes.size() != chain::kTileWidth * sizeof(Hash)) {
    return InvalidArgument("tile {}/{} has {} bytes, a full one has {}", tile.level, tile.index, tile.hashes.size(),
                           chain::kTileWidth * sizeof(Hash));
  }
  const unsigned shift = chain::kTileHeight * (tile.level + 1);
  if (shift >= 64 || tile.index >= size >> shift) {
    return InvalidArgument("tile {}/{} is not full at size {}", tile.level, tile.index, size);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckBatch(const AppendBatch& batch) {
  if (batch.rows.empty() || batch.rows.size() > kMaxBatchRows) {
    return InvalidArgument("a batch of {} rows; 1 to {} are allowed", batch.rows.size(), kMaxBatchRows);
  }
  RETURN_IF_ERROR(CheckSize(batch.old_size));
  RETURN_IF_ERROR(CheckSize(batch.old_size + batch.rows.size()));
  for (std::size_t i = 0; i < batch.rows.size(); ++i) {
    const EntryRow& row = batch.rows[i];
    if (row.sequence != batch.old_size + i) {
      return InvalidArgument("row {} of the batch has sequence {}, expected {}", i, row.sequence, batch.old_size + i);
    }
    if (row.bytes.empty() || row.bytes.size() > chain::kMaxEntry) {
      return InvalidArgument("entry {} has {} bytes; 1 to {} are allowed", row.sequence, row.bytes.size(),
                             chain::kMaxEntry);
    }
  }
  if (batch.new_head != batch.rows.back().leaf) {
    return InvalidArgument("the new head is not the leaf hash of entry {}", batch.rows.back().sequence);
  }
  const std::uint64_t new_size = batch.old_size + batch.rows.size();
  if (batch.new_frontier.size() != static_cast<std::size_t>(std::popcount(new_size)) * sizeof(Hash)) {
    return InvalidArgument("the frontier at size {} has {} bytes", new_size, batch.new_frontier.size());
  }
  for (const Tile& tile : batch.tiles) RETURN_IF_ERROR(CheckTile(tile, new_size));
  return absl::OkStatus();
}

absl::Status CheckLeaseDuration(std::chrono::milliseconds duration) {
  if (duration.count() >= 1 && duration <= kMaxLease) return absl::OkStatus();
  return InvalidArgument("a lease of {} ms; 1 ms to 24 h are allowed", duration.count());
}

absl::Status CheckLease(std::string_view instance, std::string_view address, std::chrono::milliseconds duration) {
  if (instance.empty()) return InvalidArgument("a lease needs an instance id");
  RETURN_IF_ERROR(CheckText("instance id", instance));
  RETURN_IF_ERROR(CheckText("address", address));
  return CheckLeaseDuration(duration);
}

absl::Status CheckSize(std::uint64_t size) {
  if (size <= kMaxSequence) return absl::OkStatus();
  return InvalidArgument("size {} is beyond what a chain can have", size);
}

absl::Status CheckNote(std::string_view note) {
  if (note.empty()) return InvalidArgument("a checkpoint note is empty");
  return CheckText("checkpoint note", note);
}

absl::Status CheckQuarantined(const QuarantinedFrame& frame) {
  RETURN_IF_ERROR(CheckText("reason", frame.reason));
  if (frame.frame.size() <= kMaxQuarantinedFrame) return absl::OkStatus();
  return InvalidArgument("a frame of {} bytes for the quarantine, which takes at most {}", frame.frame.size(),
                         kMaxQuarantinedFrame);
}

absl::Status CheckReadCount(std::size_t count) {
  if (count <= kMaxReadRows) return absl::OkStatus();
  return InvalidArgument("{} rows asked for at once; at most {} are allowed", count, kMaxReadRows);
}

absl::Status CheckNumbers(const std::vector<FrameNumber>& numbers) {
  if (numbers.size() <= ChainStore::kMostNumbers) return absl::OkStatus();
  return InvalidArgument("{} numbers asked for at once; at most {} are allowed", numbers.size(),
                         ChainStore::kMostNumbers);
}

absl::Status NoSuchChain(ChainId chain) {
  return NotFound("there is no chain {} in this store", chain);
}

absl::Status Fenced(ChainId chain, std::uint64_t term) {
  return Aborted("chain {} moved on without us (our term: {}): read its head again", chain, term);
}

absl::Status LeaseHeld(ChainId chain, std::string_view holder) {
  return Aborted("chain {} is led by {}", chain, holder);
}

absl::Status AnotherRoot(ChainId chain, std::uint64_t size) {
  return DataLoss("chain {} has another root at size {}: it must not be signed", chain, size);
}

absl::Status BeyondHead(ChainId chain, std::uint64_t size) {
  return InvalidArgument("size {} is beyond the head of chain {}", size, chain);
}

absl::Status NoIntent(ChainId chain, std::uint64_t size) {
  return FailedPrecondition("chain {} has no intent, or another note, at size {}", chain, size);
}

absl::Status MissingLeaves(ChainId chain, std::uint64_t first, std::size_t count) {
  return DataLoss("chain {} lacks some of the {} leaf hashes from sequence {}", chain, count, first);
}

absl::Status DoesNotFit(ChainId chain, const absl::Status& refused) {
  return Annotate(WithCode(refused, absl::StatusCode::kDataLoss),
                  fmt::format("chain {} holds rows beyond its head, or a source's number twice", chain));
}

absl::Status OpenedReadOnly() {
  return FailedPrecondition("this store was opened read-only");
}

}  // namespace virp::onode
