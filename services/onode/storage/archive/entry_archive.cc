#include "services/onode/storage/archive/entry_archive.h"

#include <algorithm>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::onode {
namespace {

constexpr std::size_t kKeptBundles = 4;
constexpr unsigned kFileMode = 0644;  // whoever may enter the folder may serve it
constexpr unsigned kFolderMode = 0755;

// As CheckpointStore names its files: readable, of bounded length, and told apart by the digits.
std::string FolderOf(std::string_view root, std::string_view origin) {
  std::string name(origin.substr(0, 100));
  std::replace_if(name.begin(), name.end(), [](char c) { return c <= ' ' || c > '~' || c == '/' || c == '.'; }, '_');
  return fmt::format("{}/{}-{}", root, name, HexEncode(View(crypto::Sha256(origin)).substr(0, 8)));
}

std::string BundleName(std::uint64_t index) {
  return chain::TilePath({true, 0, index, static_cast<unsigned>(chain::kTileWidth)});
}

}  // namespace

EntryArchive::EntryArchive(std::string_view root, std::string_view origin) : folder_(FolderOf(root, origin)) {}

absl::StatusOr<std::shared_ptr<const Bundle>> EntryArchive::ReadBundle(std::uint64_t index) {
  {
    const MutexLock lock(mutex_);
    const auto at = std::find_if(kept_.begin(), kept_.end(), [&](const auto& kept) { return kept.first == index; });
    if (at != kept_.end()) {
      std::rotate(kept_.begin(), at, at + 1);
      return kept_.front().second;
    }
  }
  const std::string path = fmt::format("{}/{}", folder_, BundleName(index));
  auto bundle = std::make_shared<Bundle>();
  ASSIGN_OR_RETURN(bundle->bytes, ReadFile(path, chain::kMaxBundle));
  auto entries = chain::SplitBundle(bundle->bytes, chain::kTileWidth);
  if (!entries.ok()) return DataLoss("the archive's {} is damaged: {}", path, Message(entries.status()));
  bundle->entries = *std::move(entries);
  const MutexLock lock(mutex_);
  kept_.emplace(kept_.begin(), index, bundle);
  if (kept_.size() > kKeptBundles) kept_.pop_back();
  return bundle;
}

absl::Status EntryArchive::WriteBundle(std::uint64_t index, std::string_view bundle) {
  return Write(BundleName(index), bundle);
}

absl::Status EntryArchive::WriteTile(const chain::Tile& tile) {
  return Write(chain::TilePath({false, tile.level, tile.index, static_cast<unsigned>(chain::kTileWidth)}), tile.hashes);
}

absl::Status EntryArchive::WriteNote(std::string_view note) {
  return Write("checkpoint", note);
}

absl::Status EntryArchive::Write(std::string_view name, std::string_view content) {
  const std::string path = fmt::format("{}/{}", folder_, name);
  RETURN_IF_ERROR(MakeDirectory(ParentDirectory(path), kFolderMode));
  return ReplaceFile(path, content, kFileMode);
}

}  // namespace virp::onode
