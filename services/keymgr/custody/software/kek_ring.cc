#include "services/keymgr/custody/software/kek_ring.h"

#include <sys/stat.h>

#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/secret_file.h"
#include "lib/base/status.h"
#include "lib/crypto/key_wrap.h"
#include "lib/crypto/mac.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kKekSize = 32;
constexpr std::size_t kMostVersions = 64;
constexpr std::string_view kExtension = ".kek";

// The version in "<version>.kek"; nothing for other names. "007.kek" is none: one version has one name.
std::optional<std::uint32_t> VersionOf(std::string_view name) {
  if (!name.ends_with(kExtension)) return std::nullopt;
  name.remove_suffix(kExtension.size());
  std::uint32_t version = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), version);
  if (error != std::errc() || end != name.data() + name.size() || version == 0 || name.front() == '0')
    return std::nullopt;
  return version;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// 32 octets as they are, or 64 hex characters with at most one line end behind them.
absl::StatusOr<crypto::Secret> Parse(crypto::Secret contents, const std::string& path) {
  if (contents.size() == kKekSize) return contents;
  std::string_view text = contents.view();
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  crypto::Secret key(kKekSize);
  bool good = text.size() == 2 * kKekSize;
  for (std::size_t i = 0; good && i < kKekSize; ++i) {
    const int high = HexDigit(text[2 * i]);
    const int low = HexDigit(text[2 * i + 1]);
    good = high >= 0 && low >= 0;
    key.data()[i] = static_cast<char>(high << 4 | low);
  }
  if (good) return key;
  return FailedPrecondition(
      "key-encryption key {}: holds {} bytes; wanted 32 octets, or 64 hex characters "
      "(openssl rand -hex 32)",
      path, contents.size());
}

absl::StatusOr<crypto::Secret> ReadKek(const std::string& path) {
  ASSIGN_OR_RETURN(const FileDescriptor file, OpenSecretFile(path, "key-encryption key"));
  crypto::Secret contents(2 * kKekSize + 3);
  ASSIGN_OR_RETURN(const std::size_t size, ReadUpTo(file.get(), contents.data(), contents.size(), path));
  contents.Truncate(size);
  return Parse(std::move(contents), path);
}

absl::Status NotKnown(std::uint32_t version) {
  if (version == 0)
    return WithReason(
        FailedPrecondition("the manager is sealed, and no key-encryption key is open: its status says why"), "SEALED",
        {{"why", "NO_KEK"}});
  return WithReason(
      FailedPrecondition("version {} of the key-encryption key is not here: bring its file back", version), "SEALED",
      {{"why", "NO_KEK"}});
}

// The file's octets key nothing but this derivation, so what wraps and what is shown share no key.
crypto::Secret Labelled(const crypto::Secret& secret, std::string_view label) {
  Hash derived = crypto::HmacKey(secret.view()).Sign(label);
  crypto::Secret out(View(derived));
  crypto::Wipe(derived.data(), derived.size());
  return out;
}

}  // namespace

absl::StatusOr<KekRing::Kek> KekRing::Derive(const crypto::Secret& secret) {
  Kek kek;
  kek.wrapping = Labelled(secret, "virp kek wrap/1");
  kek.check = HexEncode(Labelled(secret, "virp kek check/1").view().substr(0, 8));
  return kek;
}

absl::Status KekRing::Load() {
  std::map<std::uint32_t, std::string> paths;
  struct stat info{};
  if (::stat(path_.c_str(), &info) != 0) return ErrnoStatus(errno, "key-encryption key", path_);
  if (S_ISDIR(info.st_mode)) {
    ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(path_));
    for (const std::string& name : names) {
      if (const auto version = VersionOf(name)) paths[*version] = path_ + "/" + name;
    }
  } else if (const auto version = VersionOf(path_.substr(path_.rfind('/') + 1))) {
    paths[*version] = path_;
  } else {
    return FailedPrecondition("key-encryption key {}: name it <version>.kek, for instance 1.kek", path_);
  }
  if (paths.empty()) return NotFound("key-encryption key: no <version>.kek in {}", path_);
  if (paths.size() > kMostVersions)
    return FailedPrecondition("{} key-encryption keys in {}; at most {}", paths.size(), path_, kMostVersions);
  std::map<std::uint32_t, Kek> keks;
  for (const auto& [version, path] : paths) {
    ASSIGN_OR_RETURN(const crypto::Secret secret, ReadKek(path));
    ASSIGN_OR_RETURN(keks[version], Derive(secret));
  }
  const MutexLock lock(mutex_);
  keks_ = std::move(keks);
  if (!keks_.contains(current_)) current_ = 0;
  return absl::OkStatus();
}

void KekRing::Forget() {
  {
    const MutexLock lock(mutex_);
    keks_.clear();
    current_ = 0;
  }
  Forgotten();
}

std::vector<KekFacts> KekRing::Known() const {
  const MutexLock lock(mutex_);
  std::vector<KekFacts> out;
  for (const auto& [version, kek] : keks_) out.push_back({version, kek.check});
  return out;
}

absl::Status KekRing::Use(std::uint32_t version) {
  const MutexLock lock(mutex_);
  if (!keks_.contains(version)) return NotFound("version {} of the key-encryption key is not in {}", version, path_);
  current_ = version;
  return absl::OkStatus();
}

std::uint32_t KekRing::current() const {
  const MutexLock lock(mutex_);
  return current_;
}

absl::StatusOr<KekRing::Wrapped> KekRing::Wrap(const crypto::Secret& dek) const {
  const MutexLock lock(mutex_);
  const auto kek = keks_.find(current_);
  if (kek == keks_.end()) return NotKnown(0);
  ASSIGN_OR_RETURN(std::string bytes, crypto::WrapKeyPadded(kek->second.wrapping, dek.view()));
  return Wrapped{current_, std::move(bytes)};
}

absl::StatusOr<crypto::Secret> KekRing::Unwrap(std::uint32_t version, std::string_view wrapped) const {
  const MutexLock lock(mutex_);
  const auto kek = keks_.find(version);
  if (kek == keks_.end()) return NotKnown(keks_.empty() ? 0 : version);
  return crypto::UnwrapKeyPadded(kek->second.wrapping, wrapped);
}

}  // namespace virp::keymgr
