#include "lib/chain/export.h"

#include <algorithm>
#include <utility>

#include "lib/base/status.h"

namespace virp::chain {
namespace {

constexpr std::string_view kCheckpointName = "checkpoint";
constexpr std::string_view kKeysName = "keys.json";
constexpr std::size_t kMaxNoteFile = 65'536;

unsigned WidthOf(const Tile& tile) {
  return static_cast<unsigned>(tile.hashes.size() / sizeof(Hash));
}

std::string PathOf(const Tile& tile) {
  return TilePath({false, tile.level, tile.index, WidthOf(tile)});
}

}  // namespace

absl::StatusOr<ExportWriter> ExportWriter::Start(std::string_view note, const ExportKeys& keys, ByteSink sink) {
  ASSIGN_OR_RETURN(Checkpoint checkpoint, ParseCheckpointUnverified(note));
  ExportWriter writer(std::move(checkpoint), std::move(sink));
  RETURN_IF_ERROR(writer.tar_.Add(kCheckpointName, note));
  RETURN_IF_ERROR(writer.tar_.Add(kKeysName, EncodeExportKeys(keys)));
  return writer;
}

absl::Status ExportWriter::Add(std::string_view entry) {
  if (tree_.size() >= checkpoint_.size) {
    return FailedPrecondition("export: the checkpoint covers {} entries, this is one more", checkpoint_.size);
  }
  RETURN_IF_ERROR(AppendToBundle(bundle_, entry));
  const std::vector<Tile> completed = tree_.Append(LeafHash(entry));
  return completed.empty() ? absl::OkStatus() : WriteGroup(completed);
}

// Tile of level 0, its bundle, then the tiles above that end here.
absl::Status ExportWriter::WriteGroup(const std::vector<Tile>& tiles) {
  for (const Tile& tile : tiles) {
    RETURN_IF_ERROR(tar_.Add(PathOf(tile), tile.hashes));
    if (tile.level > 0) continue;
    RETURN_IF_ERROR(tar_.Add(TilePath({true, 0, tile.index, WidthOf(tile)}), bundle_));
    bundle_.clear();
  }
  return absl::OkStatus();
}

absl::Status ExportWriter::Finish() {
  if (tree_.size() != checkpoint_.size) {
    return FailedPrecondition("export: {} of the checkpoint's {} entries were given", tree_.size(), checkpoint_.size);
  }
  if (tree_.Root() != checkpoint_.root) {
    return DataLoss("export: the {} entries do not hash to the root that the checkpoint states", checkpoint_.size);
  }
  RETURN_IF_ERROR(WriteGroup(tree_.Partial()));
  return tar_.Finish();
}

absl::StatusOr<ExportReader> ExportReader::Open(ByteSource source) {
  ExportReader reader(std::move(source));
  ASSIGN_OR_RETURN(reader.note_, reader.ReadFile(kCheckpointName, kMaxNoteFile));
  ASSIGN_OR_RETURN(reader.checkpoint_, ParseCheckpointUnverified(reader.note_));
  ASSIGN_OR_RETURN(const std::string keys, reader.ReadFile(kKeysName, kMaxKeysFile));
  ASSIGN_OR_RETURN(reader.keys_, DecodeExportKeys(keys));
  return reader;
}

// The content of the next file, which must have this name.
absl::StatusOr<std::string> ExportReader::ReadFile(std::string_view name, std::size_t limit) {
  ASSIGN_OR_RETURN(const std::optional<TarReader::Member> member, tar_.Next());
  if (!member) return DataLoss("export: ends before {}, with {} of {} entries", name, sequence_, checkpoint_.size);
  if (member->name != name) return InvalidArgument("export: {} where {} comes next", member->name, name);
  return tar_.Content(limit);
}

absl::Status ExportReader::ReadGroup() {
  const std::uint64_t index = sequence_ / kTileWidth;
  const auto width = static_cast<unsigned>(std::min(checkpoint_.size - sequence_, kTileWidth));
  ASSIGN_OR_RETURN(leaves_, ReadFile(TilePath({false, 0, index, width}), kFullTileSize));
  if (leaves_.size() != width * sizeof(Hash)) {
    return InvalidArgument("export: tile {} of level 0 has {} bytes; {} hashes were expected", index, leaves_.size(),
                           width);
  }
  ASSIGN_OR_RETURN(bundle_, ReadFile(TilePath({true, 0, index, width}), kMaxBundle));
  RETURN_IF_ERROR(SplitBundle(bundle_, width).status());
  bundle_at_ = 0;
  std::vector<Tile> completed;
  for (unsigned i = 0; i < width; ++i) {
    ASSIGN_OR_RETURN(const Hash leaf, HashFromBytes(std::string_view(leaves_).substr(i * sizeof(Hash), sizeof(Hash))));
    completed = tree_.Append(leaf);
  }
  return ReadTiles(completed);
}

// Tiles above level 0 that come next, byte by byte as expected.
absl::Status ExportReader::ReadTiles(const std::vector<Tile>& expected) {
  for (const Tile& tile : expected) {
    if (tile.level == 0) continue;
    ASSIGN_OR_RETURN(const std::string hashes, ReadFile(PathOf(tile), kFullTileSize));
    if (hashes != tile.hashes) return DataLoss("export: {} is not what the tiles below it hash to", PathOf(tile));
  }
  return absl::OkStatus();
}

absl::Status ExportReader::ReadEnd() {
  RETURN_IF_ERROR(ReadTiles(tree_.Partial()));
  ASSIGN_OR_RETURN(const std::optional<TarReader::Member> member, tar_.Next());
  if (member) return InvalidArgument("export: {} where the archive ends", member->name);
  if (tree_.Root() != checkpoint_.root) {
    return DataLoss("export: the leaf hashes do not lead to the root that the checkpoint states");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<ExportReader::Item>> ExportReader::Next() {
  if (sequence_ == checkpoint_.size) {
    if (!ended_) RETURN_IF_ERROR(ReadEnd());
    ended_ = true;
    return std::optional<Item>();
  }
  const std::size_t at = sequence_ % kTileWidth;
  if (at == 0) RETURN_IF_ERROR(ReadGroup());
  ASSIGN_OR_RETURN(const Hash leaf, HashFromBytes(std::string_view(leaves_).substr(at * sizeof(Hash), sizeof(Hash))));
  const std::size_t size = LoadBe<std::uint16_t>(bundle_.data() + bundle_at_);
  const std::string_view entry = std::string_view(bundle_).substr(bundle_at_ + 2, size);
  bundle_at_ += 2 + size;
  return std::optional<Item>({sequence_++, entry, leaf});
}

}  // namespace virp::chain
