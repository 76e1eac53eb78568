#include "services/onode/storage/file_vault.h"

#include <fcntl.h>

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace virp::onode {
namespace {

constexpr std::size_t kSignTogether = 2;  // the old key and the new one, for the overlap
constexpr std::size_t kKeysFileLimit = std::size_t{1} << 20;

bool Contains(const std::vector<chain::VerifierKey>& keys, const chain::VerifierKey& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileVault>> FileVault::Open(const std::string& keys_directory,
                                                           const std::string& state_directory,
                                                           const std::string& origin) {
  ASSIGN_OR_RETURN(auto directory, frame::KeyDirectory::Open(keys_directory));
  RETURN_IF_ERROR(MakeDirectory(state_directory));
  ASSIGN_OR_RETURN(auto largest, chain::CheckpointStore::Open(state_directory));
  std::string name = origin;
  std::replace(name.begin(), name.end(), '/', '_');
  std::unique_ptr<FileVault> vault(new FileVault(origin, keys_directory,
                                                 fmt::format("{}/{}.keys", state_directory, name), std::move(directory),
                                                 std::move(largest)));
  const MutexLock lock(vault->mutex_);
  RETURN_IF_ERROR(vault->LoadKeys());
  RETURN_IF_ERROR(vault->LoadKnown());
  return vault;
}

absl::Status FileVault::LoadKeys() {
  std::vector<Key> keys;
  for (const frame::KeyVersion& version : directory_->Versions(origin_)) {
    if (version.key->suite() != frame::Suite::kEd25519 || !version.key->can_sign()) continue;
    ASSIGN_OR_RETURN(chain::VerifierKey verifier, chain::VerifierKey::Make(origin_, version.key->public_key()));
    keys.push_back({version.version, version.key, std::move(verifier)});
  }
  if (keys.empty()) {
    return FailedPrecondition(
        "no checkpoint key for chain {}: its folder in the checkpoint key directory needs a 1.seed", origin_);
  }
  keys_ = std::move(keys);
  return absl::OkStatus();
}

absl::Status FileVault::LoadKnown() {
  const auto content = ReadFile(keys_file_, kKeysFileLimit);
  if (absl::IsNotFound(content.status())) {
    known_ = {keys_.front().verifier};
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(content.status());
  for (std::string_view rest = *content; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    auto key = chain::VerifierKey::Parse(line);
    if (!key.ok() || key->name() != origin_) {
      return DataLoss(
          "{} is not a list of verifier keys of chain {}: '{}'; move it away, and the keys are learnt from the chain",
          keys_file_, origin_, line);
    }
    known_.push_back(*std::move(key));
  }
  if (known_.empty()) return DataLoss("{} is empty; move it away, and the keys are learnt from the chain", keys_file_);
  return absl::OkStatus();
}

const FileVault::Key* FileVault::Find(const chain::VerifierKey& verifier) const {
  for (const Key& key : keys_) {
    if (key.verifier == verifier) return &key;
  }
  return nullptr;
}

std::vector<chain::VerifierKey> FileVault::SigningLocked() const {
  const std::size_t count = std::min(known_.size(), kSignTogether);
  return {known_.end() - static_cast<std::ptrdiff_t>(count), known_.end()};
}

absl::Status FileVault::MissingLocked() const {
  for (const chain::VerifierKey& key : SigningLocked()) {
    if (Find(key) != nullptr) continue;
    return FailedPrecondition(
        "checkpoint key {} signs chain {} and is not in the checkpoint key directory; "
        "put its <version>.seed there, from the replica that rolled to it",
        key.ToString(), origin_);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> FileVault::Sign(const chain::Checkpoint& checkpoint) {
  const std::string text = chain::CheckpointText(checkpoint);
  std::string note = text + "\n";
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(MissingLocked());
  for (const chain::VerifierKey& verifier : SigningLocked()) {
    ASSIGN_OR_RETURN(const std::string signature, Find(verifier)->key->Sign(text));
    std::string blob;
    AppendBe(blob, verifier.key_id());
    note += fmt::format("\u2014 {} {}\n", origin_, Base64Encode(blob + signature));
  }
  return note;
}

absl::Status FileVault::CheckCanSign() {
  {
    const MutexLock lock(mutex_);
    if (MissingLocked().ok()) return absl::OkStatus();
  }
  RETURN_IF_ERROR(Refresh());
  const MutexLock lock(mutex_);
  return MissingLocked();
}

std::vector<chain::VerifierKey> FileVault::Known() const {
  const MutexLock lock(mutex_);
  return known_;
}

std::vector<chain::VerifierKey> FileVault::Signing() const {
  const MutexLock lock(mutex_);
  return SigningLocked();
}

std::vector<chain::VerifierKey> FileVault::Verifiers() const {
  const MutexLock lock(mutex_);
  std::vector<chain::VerifierKey> verifiers = known_;
  for (const Key& key : keys_) {
    if (!Contains(known_, key.verifier)) verifiers.push_back(key.verifier);
  }
  return verifiers;
}

absl::Status FileVault::Refresh() {
  RETURN_IF_ERROR(directory_->Refresh());
  const MutexLock lock(mutex_);
  return LoadKeys();
}

absl::StatusOr<std::optional<std::string>> FileVault::Largest() {
  ASSIGN_OR_RETURN(auto kept, largest_.Load(origin_, Verifiers()));
  if (!kept) return std::nullopt;
  return std::move(kept->note);
}

absl::Status FileVault::Keep(std::string_view note) {
  return largest_.Keep(note, Verifiers()).status();
}

absl::StatusOr<chain::VerifierKey> FileVault::NextKey() {
  RETURN_IF_ERROR(Refresh());
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(MissingLocked());
  const std::uint32_t newest = Find(known_.back())->version;
  for (const Key& key : keys_) {
    if (key.version <= newest || Contains(known_, key.verifier)) continue;
    RETURN_IF_ERROR(SyncSeed(key.version));
    return key.verifier;
  }
  return NotFound("no checkpoint key newer than version {} for chain {}; put the next <version>.seed into its folder",
                  newest, origin_);
}

// Whoever copied the file here need not have. What the chain promises to sign with must not go with a power cut.
absl::Status FileVault::SyncSeed(std::uint32_t version) const {
  const std::string folder = fmt::format("{}/{}", keys_directory_, origin_);
  const std::string path = fmt::format("{}/{}.seed", folder, version);
  ASSIGN_OR_RETURN(const FileDescriptor file, OpenFile(path, O_RDONLY));
  RETURN_IF_ERROR(SyncFile(file.get(), path));
  return SyncDirectory(folder);
}

absl::Status FileVault::Activate(const std::vector<chain::VerifierKey>& rolled) {
  const MutexLock lock(mutex_);
  // The first key is the one that was never rolled to. Where its file is gone and nothing is remembered, the lowest
  // version that is here was taken for it: it takes its place among the others as soon as it is rolled to.
  std::vector<chain::VerifierKey> known;
  if (!Contains(rolled, known_.front())) known.push_back(known_.front());
  for (const chain::VerifierKey& key : rolled) {
    if (!Contains(known, key)) known.push_back(key);
  }
  if (known.size() < known_.size() || known == known_) return absl::OkStatus();  // fewer: as of a smaller checkpoint
  std::string lines;
  for (const chain::VerifierKey& key : known) lines += key.ToString() + "\n";
  RETURN_IF_ERROR(ReplaceFile(keys_file_, lines));
  known_ = std::move(known);
  return absl::OkStatus();
}

}  // namespace virp::onode
