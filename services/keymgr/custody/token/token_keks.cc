#include "services/keymgr/custody/token/token_keks.h"

#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kPrefix = 28;  // of 32; the version's four octets follow
constexpr std::size_t kMostVersions = 64;

absl::Status Sealed(std::string_view why, const absl::Status& status) {
  absl::Status out = WithCode(status, absl::StatusCode::kFailedPrecondition);
  SetReason(out, "SEALED", {{"why", std::string(why)}});
  return out;
}

absl::Status Told(const absl::Status& status) {
  return GetReason(status) == pkcs11::kLoginFailed ? Sealed("TOKEN_LOGIN", status) : status;
}

absl::Status NotKnown(std::uint32_t version) {
  if (version == 0)
    return Sealed("NO_KEK",
                  FailedPrecondition("the manager is sealed, and no key-encryption key is open: its status says why"));
  return Sealed("NO_KEK", FailedPrecondition("version {} of the key-encryption key is not on the token: bring the "
                                             "token back from its backup",
                                             version));
}

}  // namespace

TokenKeks::TokenKeks(pkcs11::Token& token, std::string_view owner)
    : token_(token),
      owner_(owner),
      prefix_(View(crypto::Sha256({std::string_view("virp token kek/1\n"), owner})).substr(0, kPrefix)) {}

std::string TokenKeks::IdOf(std::uint32_t version) const {
  std::string id = prefix_;
  AppendBe(id, version);
  return id;
}

// AES-KWP is deterministic, so what it makes of a fixed text knows the key again. The text is none that is ever a
// data-encryption key, and its hash tells nothing of either.
absl::StatusOr<std::string> TokenKeks::CheckOf(std::uint32_t version) const {
  const crypto::Secret fixed(View(crypto::Sha256("virp kek check/1")));
  const auto wrapped = token_.Wrap(IdOf(version), fixed);
  if (!wrapped.ok()) return Told(wrapped.status());
  return HexEncode(View(crypto::Sha256(*wrapped)).substr(0, 8));
}

absl::StatusOr<std::uint32_t> TokenKeks::Make() {
  const absl::Status loaded = Load();
  if (!absl::IsNotFound(loaded)) RETURN_IF_ERROR(loaded);
  std::uint32_t version = 1;
  {
    const MutexLock lock(mutex_);
    if (checks_.size() >= kMostVersions) {
      return FailedPrecondition("{} versions of the key-encryption key are on the token; rewrap, and destroy old ones",
                                checks_.size());
    }
    if (!checks_.empty()) version = checks_.rbegin()->first + 1;
  }
  const auto made =
      token_.Generate({.kind = pkcs11::KeyKind::kAes256,
                       .id = IdOf(version),
                       .label = fmt::format("virp {} KEK version {}", owner_, version).substr(0, pkcs11::kMaxKeyLabel),
                       .aes_use = pkcs11::AesUse::kWrap});
  if (!made.ok()) return Told(made.status());
  RETURN_IF_ERROR(Load());
  return version;
}

absl::Status TokenKeks::Load() {
  const auto ids = token_.ListIds();
  if (!ids.ok()) return Told(ids.status());
  std::map<std::uint32_t, std::string> checks;
  for (const std::string& id : *ids) {
    if (id.size() != kPrefix + 4 || !id.starts_with(prefix_)) continue;
    if (checks.size() == kMostVersions) return FailedPrecondition("more than {} KEKs on the token", kMostVersions);
    const auto version = LoadBe<std::uint32_t>(id.data() + kPrefix);
    ASSIGN_OR_RETURN(checks[version], CheckOf(version));
  }
  const MutexLock lock(mutex_);
  checks_ = std::move(checks);
  if (!checks_.contains(current_)) current_ = 0;
  return checks_.empty() ? NotFound("key-encryption key: the token has none of '{}'; have it make one", owner_)
                         : absl::OkStatus();
}

void TokenKeks::Forget() {
  {
    const MutexLock lock(mutex_);
    checks_.clear();
    current_ = 0;
  }
  Forgotten();
}

std::vector<KekFacts> TokenKeks::Known() const {
  const MutexLock lock(mutex_);
  std::vector<KekFacts> out;
  for (const auto& [version, check] : checks_) out.push_back({version, check});
  return out;
}

absl::Status TokenKeks::Use(std::uint32_t version) {
  const MutexLock lock(mutex_);
  if (!checks_.contains(version)) {
    return NotFound("version {} of the key-encryption key is not on the token", version);
  }
  current_ = version;
  return absl::OkStatus();
}

std::uint32_t TokenKeks::current() const {
  const MutexLock lock(mutex_);
  return current_;
}

absl::StatusOr<DekWrapper::Wrapped> TokenKeks::Wrap(const crypto::Secret& dek) const {
  const std::uint32_t version = current();
  if (version == 0) return NotKnown(0);
  auto bytes = token_.Wrap(IdOf(version), dek);
  if (absl::IsNotFound(bytes.status())) return NotKnown(version);
  if (!bytes.ok()) return Told(bytes.status());
  return Wrapped{version, *std::move(bytes)};
}

absl::StatusOr<crypto::Secret> TokenKeks::Unwrap(std::uint32_t version, std::string_view wrapped) const {
  {
    const MutexLock lock(mutex_);
    if (!checks_.contains(version)) return NotKnown(checks_.empty() ? 0 : version);
  }
  auto dek = token_.Unwrap(IdOf(version), wrapped);
  if (absl::IsNotFound(dek.status())) return NotKnown(version);
  if (!dek.ok()) return Told(dek.status());
  return dek;
}

}  // namespace virp::keymgr
