#include "tests/fault/disk_model.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "lib/base/file.h"
#include "lib/base/status.h"

namespace virp::fault {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSector = 512;
constexpr std::size_t kMostBytes = std::size_t{1} << 30;

std::string FolderOf(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

bool OneIn(unsigned n, std::mt19937& random) {
  return random() % n == 0;
}

}  // namespace

absl::StatusOr<DiskImage> ReadImage(const std::string& root) {
  DiskImage image;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    std::optional<std::string>& content = image[entry.path().lexically_relative(root)];
    if (entry.is_directory()) continue;
    ASSIGN_OR_RETURN(content, ReadFile(entry.path(), kMostBytes));
  }
  return image;
}

absl::Status WriteImage(const std::string& root, const DiskImage& image) {
  for (const auto& entry : fs::directory_iterator(root)) fs::remove_all(entry.path());
  for (const auto& [name, content] : image) {  // folders come before what is in them
    const std::string path = fmt::format("{}/{}", root, name);
    if (!content) {
      RETURN_IF_ERROR(MakeDirectory(path));
      continue;
    }
    ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_WRONLY | O_CREAT | O_EXCL));
    RETURN_IF_ERROR(WriteAll(fd.get(), *content, path));
  }
  return absl::OkStatus();
}

DiskModel::DiskModel(std::string root, const DiskImage& durable) : root_(std::move(root)) {
  for (const auto& [name, content] : durable) {
    std::shared_ptr<Node>& node = durable_[name];
    if (!content) continue;
    node = std::make_shared<Node>();
    node->now = node->durable = *content;
  }
  now_ = durable_;
}

absl::Status DiskModel::Replay(std::string_view journal) {
  while (journal.size() >= sizeof(DiskRecord)) {
    DiskRecord record;
    std::memcpy(&record, journal.data(), sizeof(record));
    journal.remove_prefix(sizeof(record));
    if (journal.size() < record.length) break;
    RETURN_IF_ERROR(Apply(record, journal.substr(0, record.length)));
    journal.remove_prefix(record.length);
  }
  return absl::OkStatus();
}

std::string DiskModel::Relative(std::string_view path) const {
  return path.size() <= root_.size() ? "" : std::string(path.substr(root_.size() + 1));
}

absl::Status DiskModel::Apply(const DiskRecord& record, std::string_view data) {
  switch (record.op) {
    case DiskOp::kCreate:
    case DiskOp::kMakeFolder:
    case DiskOp::kUnlink:
      RETURN_IF_ERROR(ApplyName(record.op, Relative(data), ""));
      if (record.op == DiskOp::kCreate) files_[record.file] = now_[Relative(data)];
      return absl::OkStatus();
    case DiskOp::kRename: {
      const std::size_t end = data.find('\0');
      return ApplyName(record.op, Relative(data.substr(0, end)), Relative(data.substr(end + 1)));
    }
    case DiskOp::kOpen: {
      const auto found = now_.find(Relative(data));
      if (found == now_.end() || found->second == nullptr)
        return FailedPrecondition("{} was made behind the journal's back", data);
      files_[record.file] = found->second;
      return absl::OkStatus();
    }
    case DiskOp::kSyncFolder: {
      std::vector<NameChange>& pending = pending_names_[Relative(data)];
      for (const NameChange& change : pending) Take(durable_, change);
      pending.clear();
      return absl::OkStatus();
    }
    case DiskOp::kWrite:
    case DiskOp::kResize:
    case DiskOp::kSyncBegin:
    case DiskOp::kSyncEnd:
    case DiskOp::kSyncFailed:
      return ApplyToFile(record, data);
    case DiskOp::kUnmodelled:
      break;
  }
  return FailedPrecondition("the program does what is not modelled: {}", data);
}

absl::Status DiskModel::ApplyName(DiskOp op, const std::string& name, const std::string& second) {
  if (op == DiskOp::kMakeFolder) {
    ChangeName({"", name, nullptr});
  } else if (op == DiskOp::kCreate) {
    ChangeName({"", name, std::make_shared<Node>()});
  } else if (now_.count(name) == 0) {
    return FailedPrecondition("{} was made behind the journal's back", name);
  } else if (op == DiskOp::kUnlink) {
    ChangeName({name, "", nullptr});
  } else if (FolderOf(name) != FolderOf(second) || now_[name] == nullptr) {
    return FailedPrecondition("a rename of {} to {} is not modelled", name, second);
  } else {
    ChangeName({name, second, now_[name]});
  }
  return absl::OkStatus();
}

absl::Status DiskModel::ApplyToFile(const DiskRecord& record, std::string_view data) {
  const auto found = files_.find(record.file);
  if (found == files_.end()) return FailedPrecondition("inode {} was opened behind the journal's back", record.file);
  Node& node = *found->second;
  if (record.op == DiskOp::kSyncBegin) {
    syncs_[record.at] = node.synced + node.pending.size();
  } else if (record.op == DiskOp::kSyncEnd || record.op == DiskOp::kSyncFailed) {
    const std::uint64_t upto = syncs_[record.at];
    const auto end = node.pending.begin() + static_cast<std::ptrdiff_t>(upto > node.synced ? upto - node.synced : 0);
    if (record.op == DiskOp::kSyncFailed) {
      for (auto change = node.pending.begin(); change != end; ++change) {
        if (!change->resizes) *change = {};  // the disk never hears of it
      }
      return absl::OkStatus();
    }
    for (auto change = node.pending.begin(); change != end; ++change) Take(node.durable, *change);
    node.pending.erase(node.pending.begin(), end);
    node.synced = std::max(node.synced, upto);
  } else {
    node.pending.push_back({record.op == DiskOp::kResize, record.at, std::string(data)});
    Take(node.now, node.pending.back());
  }
  return absl::OkStatus();
}

void DiskModel::ChangeName(NameChange change) {
  Take(now_, change);
  pending_names_[FolderOf(change.adds.empty() ? change.removes : change.adds)].push_back(std::move(change));
}

void DiskModel::Take(Names& names, const NameChange& change) {
  if (!change.removes.empty()) names.erase(change.removes);
  if (!change.adds.empty()) names[change.adds] = change.node;
}

void DiskModel::Take(std::string& bytes, const Change& change) {
  if (change.resizes) {
    bytes.resize(change.at);
    return;
  }
  if (bytes.size() < change.at + change.bytes.size()) bytes.resize(change.at + change.bytes.size());
  bytes.replace(change.at, change.bytes.size(), change.bytes);
}

DiskImage DiskModel::Now() const {
  DiskImage image;
  for (const auto& [name, node] : now_) {
    std::optional<std::string>& content = image[name];
    if (node != nullptr) content = node->now;
  }
  return image;
}

DiskImage DiskModel::AfterCut(Survives survives, std::mt19937& random) const {
  Names names = durable_;
  for (const auto& [folder, pending] : pending_names_) {
    const std::size_t kept = survives == Survives::kNothing ? 0 : random() % (pending.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) Take(names, pending[i]);
  }
  DiskImage image;
  for (const auto& [name, node] : names) {
    const std::string folder = FolderOf(name);
    if (!folder.empty() && image.count(folder) == 0) continue;  // lost with its folder
    image[name] = node == nullptr ? std::nullopt : std::optional(AfterCut(*node, survives, random));
  }
  return image;
}

std::string DiskModel::AfterCut(const Node& node, Survives survives, std::mt19937& random) {
  std::string bytes = node.durable;
  if (survives == Survives::kNothing || node.pending.empty()) return bytes;
  enum : std::uint8_t { kNone, kAll, kFirst, kSectors } const how{static_cast<std::uint8_t>(random() % 4)};
  const std::size_t first = random() % (node.pending.size() + 1);
  std::uint64_t size = bytes.size();  // as the program left it
  for (std::size_t i = 0; i < node.pending.size(); ++i) {
    const Change& change = node.pending[i];
    size = change.resizes ? change.at : std::max(size, change.at + change.bytes.size());
    const bool whole =
        how == kAll || (how == kFirst && i < first) || (how == kSectors && change.resizes && OneIn(2, random));
    if (whole) Take(bytes, change);
    if (how != kSectors || change.resizes) continue;
    for (std::size_t from = 0; from < change.bytes.size();) {
      const std::size_t length = std::min(kSector - (change.at + from) % kSector, change.bytes.size() - from);
      if (OneIn(2, random)) Take(bytes, {false, change.at + from, change.bytes.substr(from, length)});
      from += length;
    }
  }
  if (bytes.size() < size && OneIn(4, random)) bytes.resize(size);  // the size went to disk ahead of the bytes
  return bytes;
}

}  // namespace virp::fault
