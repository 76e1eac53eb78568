#include "services/onode/storage/file_vault.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/status.h"

namespace virp::onode {
namespace {

constexpr std::size_t kSignTogether = 2;  // the old key and the new one, for the overlap

}  // namespace

absl::StatusOr<std::unique_ptr<FileVault>> FileVault::Open(const std::string& keys_directory,
                                                           const std::string& state_directory,
                                                           const std::string& origin) {
  ASSIGN_OR_RETURN(auto directory, frame::KeyDirectory::Open(keys_directory));
  RETURN_IF_ERROR(MakeDirectory(state_directory));
  ASSIGN_OR_RETURN(auto largest, chain::CheckpointStore::Open(state_directory));
  std::string name = origin;
  std::replace(name.begin(), name.end(), '/', '_');
  std::unique_ptr<FileVault> vault(new FileVault(origin, fmt::format("{}/{}.signing", state_directory, name),
                                                 std::move(directory), std::move(largest)));
  RETURN_IF_ERROR(vault->Load());
  return vault;
}

absl::Status FileVault::Load() {
  const MutexLock lock(mutex_);
  keys_.clear();
  for (const frame::KeyVersion& version : directory_->Versions(origin_)) {
    if (version.key->suite() != frame::Suite::kEd25519 || !version.key->can_sign()) continue;
    ASSIGN_OR_RETURN(chain::VerifierKey verifier, chain::VerifierKey::Make(origin_, version.key->public_key()));
    keys_.push_back({version.version, version.key, std::move(verifier)});
  }
  if (keys_.empty())
    return FailedPrecondition(
        "no checkpoint key for chain {}: its folder in the checkpoint key directory needs a 1.seed", origin_);
  active_.clear();
  if (const auto content = ReadFile(active_file_, 4'096); content.ok()) {
    for (const char *at = content->data(), *end = at + content->size(); at < end;) {
      std::uint32_t version = 0;
      const auto parsed = std::from_chars(at, end, version);
      if (parsed.ec != std::errc()) return DataLoss("{} is not a list of key versions", active_file_);
      active_.push_back(version);
      at = parsed.ptr + 1;
    }
  }
  if (active_.empty()) active_.push_back(keys_.front().version);
  for (const std::uint32_t version : active_) {
    const bool there = std::any_of(keys_.begin(), keys_.end(), [&](const Key& key) { return key.version == version; });
    if (!there)
      return FailedPrecondition("checkpoint key version {} of chain {} signs and is not in the key directory", version,
                                origin_);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> FileVault::Sign(const chain::Checkpoint& checkpoint) {
  const std::string text = chain::CheckpointText(checkpoint);
  std::string note = text + "\n";
  const MutexLock lock(mutex_);
  for (const Key& key : keys_) {
    if (std::find(active_.begin(), active_.end(), key.version) == active_.end()) continue;
    ASSIGN_OR_RETURN(const std::string signature, key.key->Sign(text));
    std::string blob;
    AppendBe(blob, key.verifier.key_id());
    note += fmt::format("\u2014 {} {}\n", origin_, Base64Encode(blob + signature));
  }
  return note;
}

std::vector<chain::VerifierKey> FileVault::Verifiers() const {
  const MutexLock lock(mutex_);
  std::vector<chain::VerifierKey> verifiers;
  for (const Key& key : keys_) {
    if (key.version <= active_.back()) verifiers.push_back(key.verifier);
  }
  return verifiers;
}

std::vector<chain::VerifierKey> FileVault::Signing() const {
  const MutexLock lock(mutex_);
  std::vector<chain::VerifierKey> verifiers;
  for (const Key& key : keys_) {
    if (std::find(active_.begin(), active_.end(), key.version) != active_.end()) verifiers.push_back(key.verifier);
  }
  return verifiers;
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
  RETURN_IF_ERROR(directory_->Refresh());
  RETURN_IF_ERROR(Load());
  const MutexLock lock(mutex_);
  for (const Key& key : keys_) {
    if (key.version > active_.back()) return key.verifier;
  }
  return NotFound("no checkpoint key newer than version {} for chain {}; put the next <version>.seed into its folder",
                  active_.back(), origin_);
}

absl::Status FileVault::Activate(const chain::VerifierKey& verifier) {
  const MutexLock lock(mutex_);
  for (const Key& key : keys_) {
    if (key.verifier.ToString() != verifier.ToString()) continue;
    std::vector<std::uint32_t> active = active_;
    active.push_back(key.version);
    if (active.size() > kSignTogether) active.erase(active.begin(), active.end() - kSignTogether);
    RETURN_IF_ERROR(ReplaceFile(active_file_, fmt::format("{}\n", fmt::join(active, "\n"))));
    active_ = std::move(active);
    return absl::OkStatus();
  }
  return NotFound("chain {} has no checkpoint key {}", origin_, verifier.ToString());
}

}  // namespace virp::onode
