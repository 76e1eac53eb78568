// Exports: a whole chain up to a checkpoint as one tar file in the layout of C2SP tlog-tiles (docs/formats/chain.md,
// "Export"). Written and read as a stream in one fixed order, so that both need the memory of one bundle (17 MB) and of
// the tree's right edge only, and no name can come twice. An export proves itself against a verifier key that the
// reader brings; keys.json is for convenience and never a reason to believe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/chain/control.h"
#include "lib/chain/note.h"
#include "lib/chain/tar.h"
#include "lib/chain/tiles.h"

namespace virp::chain {

// keys.json: public halves, as the exporting O-Node knew them.
struct ExportKeys {
  struct Source {
    std::string name;
    std::vector<KeyStatement> keys;
    bool operator==(const Source&) const = default;
  };
  std::vector<VerifierKey> checkpoint_keys;  // oldest first
  std::vector<Source> sources;
  bool operator==(const ExportKeys&) const = default;
};
inline constexpr std::size_t kMaxKeysFile = std::size_t{4} << 20;
std::string EncodeExportKeys(const ExportKeys& keys);
absl::StatusOr<ExportKeys> DecodeExportKeys(std::string_view json);  // InvalidArgument naming the key that is wrong

// Not thread-safe.
class ExportWriter {
 public:
  // Begins an export that ends with this signed note, which is taken at its word. InvalidArgument for a malformed note;
  // errors of the sink, also below.
  static absl::StatusOr<ExportWriter> Start(std::string_view note, const ExportKeys& keys, ByteSink sink);

  // The next entry, from sequence 0 on. InvalidArgument above 65,535 bytes, FailedPrecondition beyond the checkpoint's
  // size.
  absl::Status Add(std::string_view entry);
  // FailedPrecondition when entries are missing; DataLoss when they do not hash to the checkpoint's root: the export is
  // not ended then and no reader takes it.
  absl::Status Finish();

 private:
  ExportWriter(Checkpoint checkpoint, ByteSink sink) : checkpoint_(std::move(checkpoint)), tar_(std::move(sink)) {}
  absl::Status WriteGroup(const std::vector<Tile>& tiles);

  Checkpoint checkpoint_;
  TarWriter tar_;
  TileBuilder tree_;
  std::string bundle_;  // entries since the last full bundle
};

// Checks the layout whole: names, order, widths, and that each tile is what the tiles below it hash to, up to the root
// that the checkpoint states. Does not check the note's signature, nor that an entry hashes to its leaf: the first is
// OpenCheckpoint's matter, the second ChainWalk's, which says which entry is wrong. Not thread-safe.
class ExportReader {
 public:
  // Reads checkpoint and keys.json. Errors of TarReader, of the note and of keys.json.
  static absl::StatusOr<ExportReader> Open(ByteSource source);

  const std::string& note() const { return note_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }  // as stated; not to be believed before OpenCheckpoint
  const ExportKeys& keys() const { return keys_; }

  struct Item {
    std::uint64_t sequence = 0;
    std::string_view entry;  // valid until the next call
    Hash leaf{};             // as the export's tile has it
  };
  // The next entry; nothing after the last, when the archive has ended as it must. InvalidArgument for anything but the
  // format; DataLoss when the archive breaks off, ends before the checkpoint's size, or a tile or the root is wrong.
  absl::StatusOr<std::optional<Item>> Next();

 private:
  explicit ExportReader(ByteSource source) : tar_(std::move(source)) {}
  absl::StatusOr<std::string> ReadFile(std::string_view name, std::size_t limit);
  absl::Status ReadGroup();
  absl::Status ReadTiles(const std::vector<Tile>& expected);
  absl::Status ReadEnd();

  TarReader tar_;
  std::string note_;
  Checkpoint checkpoint_;
  ExportKeys keys_;
  TileBuilder tree_;    // over the leaf hashes of the tiles read
  std::string leaves_;  // of the group that is being handed out
  std::string bundle_;
  std::size_t bundle_at_ = 0;   // where in it the next entry begins
  std::uint64_t sequence_ = 0;  // of the next entry
  bool ended_ = false;
};

}  // namespace virp::chain
