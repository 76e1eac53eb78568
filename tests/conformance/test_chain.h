// Batches as a leader would make them: entries with real hashes, frontier and tiles, in any number, from a seed.
#pragma once

#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "lib/chain/entry.h"
#include "lib/chain/tiles.h"
#include "services/onode/domain/chain_store.h"

namespace virp::onode {

class TestChain {
 public:
  explicit TestChain(const std::string& origin, std::uint64_t seed = 1)
      : origin_id_(chain::OriginIdOf(origin)), head_(chain::GenesisOf(origin)), random_(seed) {}

  // The next `rows` entries, with frames of `frame_size` random bytes. Does not move the chain: see Committed().
  AppendBatch Next(std::uint64_t term, std::size_t rows, std::size_t frame_size = 100) {
    AppendBatch batch;
    batch.term = term;
    batch.old_size = tree_.size();
    batch.old_head = head_;
    for (std::size_t i = 0; i < rows; ++i) batch.rows.push_back(Row(batch.old_size + i, frame_size));
    Finish(batch);
    return batch;
  }

  // Computes what follows from a batch's rows; for tests that changed them.
  void Finish(AppendBatch& batch) const {
    Hash previous = batch.old_head;
    chain::TileBuilder tree = tree_;
    batch.tiles.clear();
    for (EntryRow& row : batch.rows) {
      if (row.bytes.size() >= chain::kEntryHeaderSize) row.bytes.replace(32, 32, View(previous));
      row.leaf = chain::LeafHash(row.bytes);
      previous = row.leaf;
      for (chain::Tile& tile : tree.Append(row.leaf))
        batch.tiles.push_back({tile.level, tile.index, std::move(tile.hashes)});
    }
    batch.new_head = previous;
    batch.new_frontier = tree.frontier().ToBytes();
  }

  // The batch is in the store: the next one follows it.
  void Committed(const AppendBatch& batch) {
    for (const EntryRow& row : batch.rows) tree_.Append(row.leaf);
    head_ = batch.new_head;
  }

  std::uint64_t size() const { return tree_.size(); }
  const Hash& head() const { return head_; }
  Hash Root() const { return tree_.Root(); }

 private:
  EntryRow Row(std::uint64_t sequence, std::size_t frame_size) {
    EntryRow row;
    row.sequence = sequence;
    row.index.source = 0xf000'0000'0000'0000 + sequence % 7;  // above 2^63: a negative number in the database
    row.index.source_epoch = 1;
    row.index.source_sequence = sequence;
    row.index.subject = random_() % 5 == 0 ? 0 : 0x7fff'ffff'ffff'fffe + random_() % 4;  // on both sides of 2^63
    row.index.received_us = 1'750'000'000'000'000 + sequence;
    row.index.kind = static_cast<std::uint8_t>(random_() % 10 == 0 ? 1 + random_() % 4 : 0);
    row.index.result = static_cast<std::uint8_t>(random_() % 4);
    chain::EntryHeader header;
    header.origin_id = origin_id_;
    header.sequence = sequence;
    header.received_us = row.index.received_us;
    header.source = row.index.source;
    header.source_epoch = row.index.source_epoch;
    header.source_sequence = row.index.source_sequence;
    header.kind = static_cast<chain::Kind>(row.index.kind);
    header.result = row.index.result;
    std::string frame(frame_size, '\0');
    for (char& c : frame) c = static_cast<char>(random_());
    row.bytes = chain::EncodeEntry(header, frame);
    return row;
  }

  std::array<std::uint8_t, 16> origin_id_;
  Hash head_;
  chain::TileBuilder tree_;
  std::mt19937_64 random_;
};

}  // namespace virp::onode
