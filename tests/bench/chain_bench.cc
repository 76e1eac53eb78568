// What lib/chain costs: an entry's way into the tree, proofs, checkpoints, exports.
#include <benchmark/benchmark.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/chain/export.h"
#include "lib/chain/merkle.h"
#include "lib/chain/note.h"
#include "lib/chain/proof.h"
#include "lib/chain/tiles.h"
#include "services/onode/domain/tree_reader.h"

namespace virp::chain {
namespace {

constexpr std::string_view kOrigin = "virp.example.net/bench";
constexpr std::size_t kFrame = 64 + 300 + 32;  // version 2, HMAC, a payload of 300 bytes

std::string EntryAt(std::uint64_t sequence) {
  EntryHeader header;
  header.origin_id = OriginIdOf(kOrigin);
  header.sequence = sequence;
  header.received_us = 1'750'000'000'000'000 + sequence;
  return EncodeEntry(header, std::string(kFrame, 'f'));
}

std::vector<Hash> Leaves(std::size_t count) {
  std::vector<Hash> leaves;
  leaves.reserve(count);
  for (std::size_t i = 0; i < count; ++i) leaves.push_back(LeafHash(std::to_string(i)));
  return leaves;
}

// A tree of a million and some leaves, so that all levels have a partial tile.
struct BigTree {
  BigTree() {
    for (std::uint64_t i = 0; i < 1'048'576 + 70'000; ++i) {
      const Hash leaf = LeafHash(std::to_string(i));
      for (Tile& tile : builder.Append(leaf)) full.emplace(std::pair(tile.level, tile.index), std::move(tile.hashes));
      for (onode::TreeReader* reader : {&cached, &uncached}) reader->Append(leaf);
    }
  }
  absl::StatusOr<std::string> Read(unsigned level, std::uint64_t index) const {
    const auto at = full.find({level, index});
    if (at == full.end()) return NotFound("tile {}/{}", level, index);
    return at->second;
  }
  std::map<std::pair<unsigned, std::uint64_t>, std::string> full;
  TileBuilder builder;
  onode::TreeReader cached{[this](unsigned level, std::uint64_t index) { return Read(level, index); }, 8'192};
  onode::TreeReader uncached{[this](unsigned level, std::uint64_t index) { return Read(level, index); }, 0};
};

BigTree& Big() {
  static BigTree tree;
  return tree;
}

void PerItem(benchmark::State& state, std::int64_t items = 1) {
  state.SetItemsProcessed(state.iterations() * items);
}

void EncodeAnEntry(benchmark::State& state) {
  const std::string frame(kFrame, 'f');
  EntryHeader header;
  for (auto _ : state) {
    ++header.sequence;
    benchmark::DoNotOptimize(EncodeEntry(header, frame));
  }
  PerItem(state);
}
BENCHMARK(EncodeAnEntry);

void DecodeAnEntry(benchmark::State& state) {
  const std::string entry = EntryAt(7);
  for (auto _ : state) benchmark::DoNotOptimize(DecodeEntry(entry));
  PerItem(state);
}
BENCHMARK(DecodeAnEntry);

void HashAnEntry(benchmark::State& state) {
  const std::string entry = EntryAt(7);
  for (auto _ : state) benchmark::DoNotOptimize(LeafHash(entry));
  PerItem(state);
}
BENCHMARK(HashAnEntry);

void AppendToFrontier(benchmark::State& state) {
  const std::vector<Hash> leaves = Leaves(65'536);
  for (auto _ : state) {
    Frontier frontier;
    for (const Hash& leaf : leaves) frontier.Append(leaf);
    benchmark::DoNotOptimize(frontier.Root());
  }
  PerItem(state, 65'536);
}
BENCHMARK(AppendToFrontier);

void AppendToTiles(benchmark::State& state) {
  const std::vector<Hash> leaves = Leaves(65'536);
  for (auto _ : state) {
    TileBuilder builder;
    for (const Hash& leaf : leaves) benchmark::DoNotOptimize(builder.Append(leaf));
  }
  PerItem(state, 65'536);
}
BENCHMARK(AppendToTiles);

void CopyTileBuilder(benchmark::State& state) {
  for (auto _ : state) {
    TileBuilder copy = Big().builder;
    benchmark::DoNotOptimize(copy);
  }
}
BENCHMARK(CopyTileBuilder);

// Everything that verification does with an entry but frames and sources: bytes, leaf hash, tree.
void VerifyEntries(benchmark::State& state) {
  std::vector<std::string> entries;
  for (std::uint64_t i = 0; i < 4'096; ++i) entries.push_back(EntryAt(i));
  for (auto _ : state) {
    Frontier frontier;
    for (const std::string& bytes : entries) {
      const auto entry = DecodeEntry(bytes);
      if (!entry.ok() || entry->header.sequence != frontier.size()) state.SkipWithError("not an entry");
      frontier.Append(LeafHash(bytes));
    }
    benchmark::DoNotOptimize(frontier.Root());
  }
  PerItem(state, 4'096);
}
BENCHMARK(VerifyEntries);

// newest: the last entries instead of all over the tree. cached: 8,192 tiles, or none.
void MakeInclusionProof(benchmark::State& state) {
  BigTree& tree = Big();
  onode::TreeReader& reader = state.range(1) == 0 ? tree.uncached : tree.cached;
  const std::uint64_t size = tree.builder.size();
  std::uint64_t at = 0;
  for (auto _ : state) {
    at = (at + 611'953) % size;
    const std::uint64_t index = state.range(0) == 0 ? at : size - 1 - at % 64;
    const auto path = reader.Inclusion(index, size);
    if (!path.ok()) state.SkipWithError(std::string(Message(path.status())).c_str());
    benchmark::DoNotOptimize(path);
  }
  PerItem(state);
}
BENCHMARK(MakeInclusionProof)->ArgNames({"newest", "cached"})->Args({0, 0})->Args({0, 1})->Args({1, 1});

void CheckInclusionProof(benchmark::State& state) {
  BigTree& tree = Big();
  const std::uint64_t size = tree.builder.size();
  const auto path = tree.cached.Inclusion(12'345, size);
  const Hash root = tree.builder.Root();
  const Hash leaf = LeafHash("12345");
  for (auto _ : state) {
    if (!VerifyInclusion(leaf, 12'345, size, *path, root).ok()) state.SkipWithError("does not verify");
  }
  PerItem(state);
}
BENCHMARK(CheckInclusionProof);

void CheckConsistencyProof(benchmark::State& state) {
  BigTree& tree = Big();
  const std::uint64_t size = tree.builder.size();
  Frontier older;
  for (std::uint64_t i = 0; i < 777'777; ++i) older.Append(LeafHash(std::to_string(i)));
  const auto proof = tree.cached.Consistency(older.size(), size);
  for (auto _ : state) {
    if (!VerifyConsistency(older.size(), older.Root(), size, tree.builder.Root(), *proof).ok()) {
      state.SkipWithError("does not verify");
    }
  }
  PerItem(state);
}
BENCHMARK(CheckConsistencyProof);

const CheckpointSigner& Signer() {
  static const CheckpointSigner signer = CheckpointSigner::FromSeed(kOrigin, std::string(32, 'b')).value();
  return signer;
}

void SignCheckpoint(benchmark::State& state) {
  const Checkpoint checkpoint{std::string(kOrigin), 7, EmptyRoot()};
  for (auto _ : state) benchmark::DoNotOptimize(Signer().Sign(checkpoint));
  PerItem(state);
}
BENCHMARK(SignCheckpoint);

void OpenACheckpoint(benchmark::State& state) {
  const std::string note = Signer().Sign({std::string(kOrigin), 7, EmptyRoot()}).value();
  const std::vector<VerifierKey> keys = {Signer().verifier_key()};
  for (auto _ : state) benchmark::DoNotOptimize(OpenCheckpoint(note, keys));
  PerItem(state);
}
BENCHMARK(OpenACheckpoint);

void VerifyAProofFile(benchmark::State& state) {
  std::vector<std::string> entries;
  Frontier frontier;
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    entries.push_back(EntryAt(i));
    frontier.Append(LeafHash(entries.back()));
  }
  const SubtreeReader read = [&](unsigned level, std::uint64_t index) -> absl::StatusOr<Hash> {
    Frontier part;
    for (std::uint64_t i = index << level; i < (index + 1) << level; ++i) part.Append(LeafHash(entries[i]));
    return part.Root();
  };
  const std::string file = EncodeProof({entries[321], 321, InclusionProof(321, 1'000, read).value(),
                                        Signer().Sign({std::string(kOrigin), 1'000, frontier.Root()}).value()});
  const std::vector<VerifierKey> keys = {Signer().verifier_key()};
  for (auto _ : state) {
    const auto proof = DecodeProof(file);
    if (!proof.ok() || !VerifyProof(*proof, keys).ok()) state.SkipWithError("does not verify");
  }
  PerItem(state);
}
BENCHMARK(VerifyAProofFile);

constexpr std::uint64_t kExported = 16'384;

std::string ExportOf(const std::vector<std::string>& entries, std::string_view note) {
  std::string tar;
  auto writer = ExportWriter::Start(note, {}, [&tar](std::string_view bytes) {
    tar += bytes;
    return absl::OkStatus();
  });
  for (const std::string& entry : entries) (void)writer->Add(entry);
  (void)writer->Finish();
  return tar;
}

struct Exported {
  Exported() {
    Frontier frontier;
    for (std::uint64_t i = 0; i < kExported; ++i) {
      entries.push_back(EntryAt(i));
      frontier.Append(LeafHash(entries.back()));
    }
    note = Signer().Sign({std::string(kOrigin), kExported, frontier.Root()}).value();
  }
  std::vector<std::string> entries;
  std::string note;
};

void WriteExport(benchmark::State& state) {
  const Exported chain;
  for (auto _ : state) benchmark::DoNotOptimize(ExportOf(chain.entries, chain.note));
  PerItem(state, kExported);
}
BENCHMARK(WriteExport);

void ReadExport(benchmark::State& state) {
  const Exported chain;
  const std::string tar = ExportOf(chain.entries, chain.note);
  for (auto _ : state) {
    auto reader = ExportReader::Open(SourceFrom(tar));
    std::uint64_t count = 0;
    while (true) {
      const auto item = reader->Next();
      if (!item.ok() || !*item) break;
      ++count;
    }
    if (count != kExported) state.SkipWithError("breaks off");
  }
  PerItem(state, kExported);
}
BENCHMARK(ReadExport);

}  // namespace
}  // namespace virp::chain
