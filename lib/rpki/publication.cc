#include "lib/rpki/publication.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace virp::rpki {
namespace {

constexpr std::string_view kPrefix = "generation-";
constexpr std::string_view kUnfinished = ".unfinished";
constexpr std::string_view kNewLink = "current.new";
constexpr std::string_view kLock = "lock";
constexpr unsigned kFileMode = 0644, kFolderMode = 0755;  // others serve it
constexpr std::size_t kSyncOneByOne = 32;                 // with more new files, one sync of the file system is cheaper
constexpr int kMaxDepth = 8;

std::string NameOf(std::uint64_t generation) {
  return fmt::format("{}{:020}", kPrefix, generation);
}

// 0 when it is no generation's name.
std::uint64_t GenerationOf(std::string_view name) {
  if (!name.starts_with(kPrefix)) return 0;
  name.remove_prefix(kPrefix.size());
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
  return error == std::errc() && end == name.data() + name.size() &&
                 NameOf(value).size() == name.size() + kPrefix.size()
             ? value
             : 0;
}

absl::Status CheckPath(std::string_view path) {
  int depth = 0;
  for (std::size_t at = 0; at <= path.size(); ++depth) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, slash - at);
    const auto allowed = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
             c == '.';
    };
    if (part.empty() || part.front() == '.' || part.size() > 200 || !std::all_of(part.begin(), part.end(), allowed)) {
      return InvalidArgument("publication: '{}' is not a path of plain names", path.substr(0, 1000));
    }
    at = slash + 1;
  }
  return depth <= kMaxDepth ? absl::OkStatus() : InvalidArgument("publication: '{}' is too deep", path.substr(0, 1000));
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return error ? ErrnoStatus(error.value(), "cannot remove", path) : absl::OkStatus();
}

absl::Status WriteFile(const std::string& path, std::string_view content, bool sync) {
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kFileMode));
  if (::fchmod(fd.get(), kFileMode) != 0) return ErrnoStatus(errno, "cannot set the mode of", path);
  RETURN_IF_ERROR(WriteAll(fd.get(), content, path));
  return sync ? SyncFile(fd.get(), path) : absl::OkStatus();
}

// Others serve what is in it, whatever this process's umask is. One that is there is left as somebody made it.
absl::Status MakeServedFolder(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0) return absl::OkStatus();
  if (const std::string parent = ParentDirectory(path); parent != path) RETURN_IF_ERROR(MakeServedFolder(parent));
  RETURN_IF_ERROR(MakeDirectory(path, kFolderMode));
  return ::chmod(path.c_str(), kFolderMode) == 0 ? absl::OkStatus()
                                                 : ErrnoStatus(errno, "cannot set the mode of", path);
}

absl::Status SyncFileSystem(const std::string& path) {
  ASSIGN_OR_RETURN(const FileDescriptor fd, OpenFile(path, O_RDONLY | O_DIRECTORY));
  return ::syncfs(fd.get()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "cannot sync the file system of", path);
}

absl::Status ReadInto(const std::string& folder, const std::string& below, int depth, PublicationFolder::Tree& out) {
  if (depth > kMaxDepth) return FailedPrecondition("{} is deeper than a publication", folder);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(folder));
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name;
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "cannot look at", path);
    if (S_ISDIR(info.st_mode)) {
      RETURN_IF_ERROR(ReadInto(path, below + name + "/", depth + 1, out));
    } else {
      ASSIGN_OR_RETURN(out[below + name], ReadFile(path, kMaxPublishedFile));
    }
  }
  return absl::OkStatus();
}

// 0 when there is none yet.
absl::StatusOr<std::uint64_t> CurrentOf(const std::string& folder) {
  std::error_code error;
  const std::string link = folder + "/current";
  const std::string target = std::filesystem::read_symlink(link, error).string();
  if (error == std::errc::no_such_file_or_directory) return 0;
  const std::uint64_t generation = error ? 0 : GenerationOf(target);
  if (generation == 0) return FailedPrecondition("{} is not a link to one of our generations", link);
  return generation;
}

}  // namespace

absl::StatusOr<PublicationFolder> PublicationFolder::Open(std::string folder, Options options) {
  RETURN_IF_ERROR(MakeServedFolder(folder));
  PublicationFolder out(std::move(folder), std::move(options));
  ASSIGN_OR_RETURN(out.generation_, CurrentOf(out.folder_));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(out.folder_));
  for (const std::string& name : names) {
    const bool ours = name == "current" || name == kNewLink || name == kLock || GenerationOf(name) != 0 ||
                      (name.ends_with(kUnfinished) && name.starts_with(kPrefix));
    if (!ours) return FailedPrecondition("{} holds '{}', which is no publication's", out.folder_, name);
  }
  // Who holds the lock removes what is left, too.
  if (const auto lock = out.Lock(); lock.ok()) RETURN_IF_ERROR(out.RemoveOthers());
  return out;
}

// Held until it is closed, by the end of the process at the latest.
absl::StatusOr<FileDescriptor> PublicationFolder::Lock() const {
  const std::string path = folder_ + "/" + std::string(kLock);
  ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_RDWR | O_CREAT | O_NOFOLLOW));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno == EWOULDBLOCK) return Unavailable("another process publishes to {} just now", folder_);
  return ErrnoStatus(errno, "cannot lock", path);
}

absl::StatusOr<std::uint64_t> PublicationFolder::Current() const {
  return CurrentOf(folder_);
}

absl::StatusOr<PublicationFolder::Tree> PublicationFolder::Read() const {
  Tree out;
  if (generation_ != 0) RETURN_IF_ERROR(ReadInto(folder_ + "/" + NameOf(generation_), "", 0, out));
  return out;
}

absl::Status PublicationFolder::Publish(const Tree& tree) {
  ASSIGN_OR_RETURN(const std::uint64_t current, Current());
  return Publish(tree, current + 1);
}

absl::Status PublicationFolder::Publish(const Tree& tree, std::uint64_t number) {
  for (const auto& [path, content] : tree) {
    RETURN_IF_ERROR(CheckPath(path));
    if (content.size() > kMaxPublishedFile) return InvalidArgument("publication: {} is too large", path);
  }
  ASSIGN_OR_RETURN(const FileDescriptor lock, Lock());
  ASSIGN_OR_RETURN(const std::uint64_t current, Current());
  if (number <= current) {
    return WithReason(Aborted("publication {} is out in {}: number {} comes too late", current, folder_, number),
                      "NEWER_PUBLICATION");
  }
  known_ = known_ && current == generation_;  // else somebody else published meanwhile
  generation_ = current;
  if (!known_) {
    ASSIGN_OR_RETURN(published_, Read());
    known_ = true;
  }
  RETURN_IF_ERROR(RemoveOthers());
  const std::string unfinished = folder_ + "/" + NameOf(number) + std::string(kUnfinished);
  RETURN_IF_ERROR(Fill(unfinished, tree));
  options_.before_step("rename");
  const std::string finished = folder_ + "/" + NameOf(number);
  if (::rename(unfinished.c_str(), finished.c_str()) != 0) return ErrnoStatus(errno, "cannot rename to", finished);
  RETURN_IF_ERROR(SyncDirectory(folder_));
  RETURN_IF_ERROR(Point(number));
  published_ = tree;
  known_ = true;
  return absl::OkStatus();
}

absl::Status PublicationFolder::Fill(const std::string& path, const Tree& tree) {
  options_.before_step("make folder");
  std::set<std::string> folders{path};
  std::vector<const Tree::value_type*> fresh;
  RETURN_IF_ERROR(MakeServedFolder(path));
  const std::string old = folder_ + "/" + NameOf(generation_);
  for (const auto& entry : tree) {
    const std::string file = path + "/" + entry.first;
    if (const std::string parent = ParentDirectory(file); folders.insert(parent).second) {
      RETURN_IF_ERROR(MakeServedFolder(parent));
    }
    const auto before = published_.find(entry.first);
    const bool same = before != published_.end() && before->second == entry.second;
    // A file system without links, or with too many to this file: written again.
    if (!same || ::link((old + "/" + entry.first).c_str(), file.c_str()) != 0) fresh.push_back(&entry);
  }
  const bool one_by_one = fresh.size() <= kSyncOneByOne;
  for (const auto* entry : fresh) {
    options_.before_step("write file");
    RETURN_IF_ERROR(WriteFile(path + "/" + entry->first, entry->second, one_by_one));
  }
  options_.before_step("sync");
  if (!one_by_one) return SyncFileSystem(path);
  for (const std::string& folder : folders) RETURN_IF_ERROR(SyncDirectory(folder));
  return absl::OkStatus();
}

absl::Status PublicationFolder::Point(std::uint64_t generation) {
  options_.before_step("make link");
  const std::string link = folder_ + "/" + std::string(kNewLink);
  if (::symlink(NameOf(generation).c_str(), link.c_str()) != 0) return ErrnoStatus(errno, "cannot make link", link);
  options_.before_step("switch");
  if (::rename(link.c_str(), current_path().c_str()) != 0) return ErrnoStatus(errno, "cannot switch", current_path());
  generation_ = generation;  // whatever becomes of the sync: this one must not be removed
  known_ = false;
  options_.before_step("sync folder");
  return SyncDirectory(folder_);
}

// All that is neither current nor one of the last few before it: older ones, and what a crash left.
absl::Status PublicationFolder::RemoveOthers() {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(folder_));
  std::reverse(names.begin(), names.end());  // generations: the newest first
  std::size_t kept = 0;
  for (const std::string& name : names) {
    const std::uint64_t generation = GenerationOf(name);
    if (name == "current" || name == kLock) continue;
    if (generation != 0 && generation <= generation_ && kept++ < options_.keep) continue;
    options_.before_step("remove");
    RETURN_IF_ERROR(RemoveTree(folder_ + "/" + name));
  }
  return absl::OkStatus();
}

}  // namespace virp::rpki
