#include "lib/chain/checkpoint_store.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::chain {
namespace {

constexpr std::size_t kMaxFile = 65'536;
constexpr std::size_t kMaxMismatchFile = 262'144;
constexpr std::size_t kMaxMismatches = 16;
constexpr std::string_view kMismatch = ".mismatch-";

// Held while a file is compared and replaced. Opened each time, so that threads exclude each other as processes do.
absl::StatusOr<FileDescriptor> LockDirectory(const std::string& directory) {
  const std::string path = directory + "/.lock";
  ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(path, O_RDWR | O_CREAT));
  while (flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "cannot lock", path);
  }
  return fd;
}

}  // namespace

absl::StatusOr<CheckpointStore> CheckpointStore::Open(std::string directory) {
  if (directory.empty()) return InvalidArgument("the directory of the checkpoint store has no name");
  RETURN_IF_ERROR(MakeDirectory(directory));
  RETURN_IF_ERROR(SyncDirectory(ParentDirectory(directory)));
  return CheckpointStore(std::move(directory));
}

// Readable, but of bounded length and without slashes; the digits tell apart what the readable part does not.
std::string CheckpointStore::PathOf(std::string_view origin) const {
  std::string name(origin.substr(0, 100));
  std::replace_if(name.begin(), name.end(), [](char c) { return c <= ' ' || c > '~' || c == '/' || c == '.'; }, '_');
  return fmt::format("{}/{}-{}", directory_, name, HexEncode(View(crypto::Sha256(origin)).substr(0, 8)));
}

absl::StatusOr<std::optional<CheckpointStore::Kept>> CheckpointStore::Load(std::string_view origin,
                                                                           const std::vector<VerifierKey>& keys) const {
  const std::string path = PathOf(origin);
  absl::StatusOr<std::string> note = ReadFile(path, kMaxFile);
  if (absl::IsNotFound(note.status())) return std::optional<Kept>();
  if (!note.ok() && !absl::IsResourceExhausted(note.status())) return note.status();
  absl::StatusOr<Checkpoint> checkpoint = note.ok() ? OpenCheckpoint(*note, keys) : note.status();
  if (!checkpoint.ok()) {
    return DataLoss("the checkpoint in {} does not verify, find out who changed it: {}", path,
                    Message(checkpoint.status()));
  }
  if (checkpoint->origin != origin)
    return DataLoss("the checkpoint in {} is of another chain, {}", path, checkpoint->origin);
  return std::optional<Kept>({*std::move(note), *std::move(checkpoint)});
}

absl::StatusOr<CheckpointStore::Outcome> CheckpointStore::Keep(std::string_view note,
                                                               const std::vector<VerifierKey>& keys) const {
  return Update(note, keys, std::nullopt, {});
}

absl::StatusOr<CheckpointStore::Outcome> CheckpointStore::Advance(std::string_view note,
                                                                  const std::vector<VerifierKey>& keys,
                                                                  std::uint64_t consistency_from,
                                                                  std::span<const Hash> consistency) const {
  return Update(note, keys, consistency_from, consistency);
}

absl::StatusOr<CheckpointStore::Outcome> CheckpointStore::Update(std::string_view note,
                                                                 const std::vector<VerifierKey>& keys,
                                                                 std::optional<std::uint64_t> consistency_from,
                                                                 std::span<const Hash> consistency) const {
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(note, keys));
  ASSIGN_OR_RETURN(const FileDescriptor lock, LockDirectory(directory_));
  ASSIGN_OR_RETURN(const std::optional<Kept> kept, Load(checkpoint.origin, keys));
  if (kept) {
    const Checkpoint& before = kept->checkpoint;
    if (checkpoint.size < before.size) return Outcome::kBehind;
    const bool prove = consistency_from.has_value() && checkpoint.size > before.size;
    if (prove && *consistency_from != before.size) {
      return Aborted("the consistency proof starts at size {}, the checkpoint kept is of size {}", *consistency_from,
                     before.size);
    }
    absl::Status grows;
    if (prove || checkpoint.size == before.size) {
      grows = VerifyConsistency(before.size, before.root, checkpoint.size, checkpoint.root,
                                prove ? consistency : std::span<const Hash>());
    }
    if (!grows.ok()) return RecordMismatch(*kept, note, consistency, grows);
    if (checkpoint.size == before.size) return Outcome::kSame;
  }
  RETURN_IF_ERROR(ReplaceFile(PathOf(checkpoint.origin), note));
  return kept ? Outcome::kAdvanced : Outcome::kFirst;
}

absl::Status CheckpointStore::RecordMismatch(const Kept& kept, std::string_view note, std::span<const Hash> consistency,
                                             const absl::Status& why) const {
  std::string text = fmt::format("{}\n\nkept:\n{}\noffered:\n{}", Message(why), kept.note, note);
  if (!consistency.empty()) text += "\nconsistency proof:\n";
  for (const Hash& hash : consistency.first(std::min<std::size_t>(consistency.size(), 64))) {
    text += Base64Encode(View(hash)) + "\n";
  }
  absl::StatusOr<std::vector<std::string>> before = Mismatches(kept.checkpoint.origin);
  absl::Status recorded = before.status();
  // Whoever shows false notes again and again shall not fill the disk: the first ones prove enough.
  if (recorded.ok() && before->size() < kMaxMismatches &&
      std::find(before->begin(), before->end(), text) == before->end()) {
    recorded = ReplaceFile(fmt::format("{}{}{:02}", PathOf(kept.checkpoint.origin), kMismatch, before->size()), text);
  }
  if (!recorded.ok()) return DataLoss("{} (and the notes could not be recorded: {})", Message(why), Message(recorded));
  return why;
}

absl::StatusOr<std::vector<std::string>> CheckpointStore::Mismatches(std::string_view origin) const {
  std::vector<std::string> out;
  while (out.size() < kMaxMismatches) {
    absl::StatusOr<std::string> text =
        ReadFile(fmt::format("{}{}{:02}", PathOf(origin), kMismatch, out.size()), kMaxMismatchFile);
    if (absl::IsNotFound(text.status())) break;
    RETURN_IF_ERROR(text.status());
    out.push_back(*std::move(text));
  }
  return out;
}

}  // namespace virp::chain
