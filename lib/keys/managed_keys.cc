#include "lib/keys/managed_keys.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "lib/base/names.h"
#include "lib/base/secret_file.h"
#include "lib/base/status.h"
#include "lib/crypto/secret.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/key_ring.h"
#include "lib/keys/wipe_secrets.h"
#include "virp/keymgr/v1/observation_key.pb.h"

namespace virp::keys {
namespace {

namespace pb = ::virp::keymgr::v1;
using frame::KeyTable;
using frame::KeyVersion;

constexpr std::string_view kMagic = "virp kept keys/1\n";
constexpr std::size_t kMostKept = std::size_t{256} << 20;
constexpr int kMostVersions = 256;

// One source's list, with the message that it came in: what is kept is what was told.
struct Told {
  std::uint32_t first_version = 0;
  bool activated = false;
  std::uint32_t wanted = 0;
  ManagedKeys::Ends files;
  std::map<std::uint32_t, KeyVersion> versions;
  crypto::Secret message;
};
using ToldTable = std::map<std::string, std::shared_ptr<const Told>, std::less<>>;

template <typename Message>
std::optional<UnixNanos> TimeIn(bool there, Message time) {
  return there ? std::optional<UnixNanos>(time) : std::nullopt;
}

absl::StatusOr<KeyVersion> VersionOf(const pb::KeyMaterial& from) {
  KeyVersion to;
  to.version = from.version();
  if (to.version == 0) return InvalidArgument("a version 0");
  if (from.suite() == pb::KEY_SUITE_ED25519) {
    ASSIGN_OR_RETURN(to.key, frame::OKey::Ed25519FromPublic(from.public_key()));
  } else if (from.suite() == pb::KEY_SUITE_HMAC_SHA256) {
    ASSIGN_OR_RETURN(to.key, frame::OKey::Hmac(from.secret()));
  } else {
    return InvalidArgument("a suite that this program does not know");
  }
  to.may_sign = from.may_sign();
  to.accept_from = from.accept_from_ns();
  to.accept_until = TimeIn(from.has_accept_until_ns(), from.accept_until_ns());
  to.sign_until = TimeIn(from.has_sign_until_ns(), from.sign_until_ns());
  to.compromised_since = TimeIn(from.has_compromised_since_ns(), from.compromised_since_ns());
  return to;
}

bool LacksSecret(const pb::KeyMaterial& material) {
  return material.suite() == pb::KEY_SUITE_HMAC_SHA256 && material.secret().empty();
}

// Secrets that the manager cannot give now are those that it gave before; a version that none is known of goes.
void FillGaps(pb::SourceKeys& keys, const Told* before) {
  pb::SourceKeys known;
  if (before != nullptr) known.ParseFromArray(before->message.view().data(), static_cast<int>(before->message.size()));
  for (int i = 0; i < keys.versions_size();) {
    pb::KeyMaterial& material = *keys.mutable_versions(i);
    const auto same = std::find_if(known.versions().begin(), known.versions().end(), [&](const pb::KeyMaterial& one) {
      return one.version() == material.version() && one.suite() == material.suite();
    });
    if (LacksSecret(material) && same == known.versions().end()) {
      keys.mutable_versions()->DeleteSubrange(i, 1);
      continue;
    }
    if (LacksSecret(material)) material.set_secret(same->secret());
    ++i;
  }
  WipeSecrets(known);
}

absl::StatusOr<std::shared_ptr<const Told>> ListOf(const pb::SourceKeys& from) {
  RETURN_IF_ERROR(CheckOrigin(from.source()));
  if (from.versions_size() > kMostVersions)
    return InvalidArgument("{} versions; at most {}", from.versions_size(), kMostVersions);
  auto told = std::make_shared<Told>();
  told->first_version = from.first_version();
  told->activated = from.activated();
  told->wanted = from.wanted_version();
  told->files = {TimeIn(from.has_files_sign_until_ns(), from.files_sign_until_ns()),
                 TimeIn(from.has_files_accept_until_ns(), from.files_accept_until_ns())};
  for (const pb::KeyMaterial& material : from.versions()) {
    auto version = VersionOf(material);
    if (!version.ok()) return Annotate(version.status(), fmt::format("version {}", material.version()));
    if (!told->versions.emplace(version->version, *version).second)
      return InvalidArgument("version {} is there twice", material.version());
  }
  told->message = crypto::Secret(from.ByteSizeLong());
  if (!from.SerializeToArray(told->message.data(), static_cast<int>(told->message.size())))
    return Internal("a list of keys cannot be written");
  return std::shared_ptr<const Told>(std::move(told));
}

bool Same(const ToldTable& a, const ToldTable& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& one, const auto& other) {
    return one.first == other.first && crypto::EqualConstantTime(one.second->message, other.second->message);
  });
}

// Magic, SHA-256 of the rest, then each list with its length in front.
crypto::Secret FileOf(const ToldTable& table) {
  const std::size_t head = kMagic.size() + 32;
  std::size_t size = head;
  for (const auto& [source, told] : table) size += 4 + told->message.size();
  crypto::Secret out(size);
  std::size_t at = head;
  for (const auto& [source, told] : table) {
    StoreBe(out.data() + at, static_cast<std::uint32_t>(told->message.size()));
    told->message.view().copy(out.data() + at + 4, told->message.size());
    at += 4 + told->message.size();
  }
  kMagic.copy(out.data(), kMagic.size());
  View(crypto::Sha256(out.view().substr(head))).copy(out.data() + kMagic.size(), 32);
  return out;
}

absl::StatusOr<ToldTable> TableIn(std::string_view contents, const std::string& file) {
  const auto damaged = [&file] {
    return DataLoss("{}: not what the program wrote; remove it, the key manager sends all keys again", file);
  };
  const std::size_t head = kMagic.size() + 32;
  if (contents.size() < head || !contents.starts_with(kMagic)) return damaged();
  std::string_view rest = contents.substr(head);
  if (View(crypto::Sha256(rest)) != contents.substr(kMagic.size(), 32)) return damaged();
  ToldTable table;
  while (!rest.empty()) {
    if (rest.size() < 4) return damaged();
    const std::size_t size = LoadBe<std::uint32_t>(rest.data());
    rest.remove_prefix(4);
    pb::SourceKeys message;
    if (size > rest.size() || !message.ParseFromArray(rest.data(), static_cast<int>(size))) return damaged();
    rest.remove_prefix(size);
    auto told = ListOf(message);
    WipeSecrets(message);
    if (!told.ok()) return Annotate(WithCode(told.status(), absl::StatusCode::kDataLoss), file);
    table[message.source()] = *std::move(told);
  }
  return table;
}

absl::StatusOr<ToldTable> ReadKept(const std::string& file) {
  auto opened = OpenSecretFile(file, "kept keys");
  if (absl::IsNotFound(opened.status())) return ToldTable{};
  RETURN_IF_ERROR(opened.status());
  struct stat info{};
  if (::fstat(opened->get(), &info) != 0) return ErrnoStatus(errno, "cannot look at", file);
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size > kMostKept) return ResourceExhausted("{}: {} bytes; at most {}", file, size, kMostKept);
  crypto::Secret contents(size);
  ASSIGN_OR_RETURN(const std::size_t got, ReadUpTo(opened->get(), contents.data(), size, file));
  return TableIn(contents.view().substr(0, got), file);
}

}  // namespace

struct ManagedKeys::Impl {
  explicit Impl(std::string path) : file(std::move(path)) {}
  const std::string file;

  Mutex taking;                                // one message at a time; before `mutex`
  bool whole ABSL_GUARDED_BY(taking) = false;  // a full list is being taken
  ToldTable next ABSL_GUARDED_BY(taking);      // what it will be
  // Why a source's keys cannot be used: of the list in use, and of the one being taken.
  using Refused = std::map<std::string, absl::Status, std::less<>>;
  Refused refused ABSL_GUARDED_BY(taking), next_refused ABSL_GUARDED_BY(taking);
  bool begun ABSL_GUARDED_BY(taking) = false;
  bool kept ABSL_GUARDED_BY(taking) = true;

  mutable Mutex mutex;
  std::shared_ptr<const ToldTable> told ABSL_GUARDED_BY(mutex) = std::make_shared<const ToldTable>();
  std::atomic<std::uint64_t> generation{1};

  std::shared_ptr<const ToldTable> Current() const {
    const MutexLock lock(mutex);
    return told;
  }
  void Publish(ToldTable table) {
    const MutexLock lock(mutex);
    told = std::make_shared<const ToldTable>(std::move(table));
    ++generation;
  }
  absl::Status Keep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(taking) {
    if (kept || file.empty()) return absl::OkStatus();
    const crypto::Secret contents = FileOf(*Current());
    if (contents.size() > kMostKept) return ResourceExhausted("{}: more than {} bytes of keys", file, kMostKept);
    RETURN_IF_ERROR(Annotate(ReplaceFile(file, contents.view(), 0600), "the keys are in use and not kept"));
    kept = true;
    return absl::OkStatus();
  }
};

ManagedKeys::ManagedKeys(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ManagedKeys::~ManagedKeys() = default;

absl::StatusOr<std::unique_ptr<ManagedKeys>> ManagedKeys::Open(std::string file) {
  auto impl = std::make_unique<Impl>(std::move(file));
  if (!impl->file.empty()) {
    ASSIGN_OR_RETURN(ToldTable table, ReadKept(impl->file));
    impl->Publish(std::move(table));
  }
  return std::unique_ptr<ManagedKeys>(new ManagedKeys(std::move(impl)));
}

absl::Status ManagedKeys::Take(const pb::WatchObservationKeysResponse& message) {
  Impl& impl = *impl_;
  const MutexLock lock(impl.taking);
  if (message.restart()) {
    impl.next.clear();
    impl.next_refused.clear();
    impl.begun = impl.whole = true;
  } else if (!impl.begun) {
    impl.next = *impl.Current();
    impl.next_refused = impl.refused;
    impl.begun = true;
    impl.whole = false;
  }
  for (const pb::SourceKeys& from : message.sources()) {
    impl.next_refused.erase(from.source());
    if (from.first_version() == 0 && from.wanted_version() == 0) {
      impl.next.erase(from.source());
      continue;
    }
    const auto current = impl.Current();
    const auto before = current->find(from.source());
    absl::StatusOr<std::shared_ptr<const Told>> told;
    if (std::any_of(from.versions().begin(), from.versions().end(), LacksSecret)) {
      pb::SourceKeys whole = from;
      FillGaps(whole, before == current->end() ? nullptr : before->second.get());
      told = ListOf(whole);
      WipeSecrets(whole);
    } else {
      told = ListOf(from);
    }
    if (told.ok()) {
      impl.next[from.source()] = *std::move(told);
      continue;
    }
    impl.next_refused[from.source()] =
        Annotate(told.status(), fmt::format("keys of source {}", from.source().substr(0, 128)));
    // What was known of it goes on; in a full list that is what is in use.
    if (impl.whole && before != current->end()) impl.next[from.source()] = before->second;
  }
  const absl::Status wrong = impl.next_refused.empty() ? absl::OkStatus() : impl.next_refused.begin()->second;
  if (!message.complete()) return wrong;
  impl.begun = false;
  impl.refused = std::exchange(impl.next_refused, {});
  if (!Same(*impl.Current(), impl.next)) {
    impl.Publish(std::exchange(impl.next, {}));
    impl.kept = false;
  }
  impl.next.clear();
  return wrong;
}

void ManagedKeys::Interrupted() {
  const MutexLock lock(impl_->taking);
  impl_->next.clear();
  impl_->next_refused.clear();
  impl_->begun = false;
}

absl::Status ManagedKeys::Keep() {
  const MutexLock lock(impl_->taking);
  return impl_->Keep();
}

std::uint32_t ManagedKeys::FirstVersion(std::string_view source) const {
  const auto current = impl_->Current();
  const auto told = current->find(source);
  return told == current->end() ? 0 : told->second->first_version;
}

bool ManagedKeys::Activated(std::string_view source) const {
  const auto current = impl_->Current();
  const auto told = current->find(source);
  return told != current->end() && told->second->activated;
}

ManagedKeys::Ends ManagedKeys::FilesEnd(std::string_view source) const {
  const auto current = impl_->Current();
  const auto told = current->find(source);
  return told == current->end() ? Ends{} : told->second->files;
}

std::vector<std::pair<std::string, std::uint32_t>> ManagedKeys::Wanted() const {
  std::vector<std::pair<std::string, std::uint32_t>> out;
  const auto current = impl_->Current();
  for (const auto& [source, told] : *current) {
    if (told->wanted != 0) out.emplace_back(source, told->wanted);
  }
  return out;
}

std::shared_ptr<const frame::OKey> ManagedKeys::Find(std::string_view source, std::uint32_t version) const {
  const auto current = impl_->Current();
  const auto told = current->find(source);
  if (told == current->end()) return nullptr;
  const auto found = told->second->versions.find(version);
  return found == told->second->versions.end() ? nullptr : found->second.key;
}

std::vector<KeyVersion> ManagedKeys::Versions(std::string_view source) const {
  std::vector<KeyVersion> out;
  const auto current = impl_->Current();
  const auto told = current->find(source);
  if (told == current->end()) return out;
  for (const auto& [number, version] : told->second->versions) out.push_back(version);
  return out;
}

std::vector<std::string> ManagedKeys::Sources() const {
  std::vector<std::string> out;
  const auto current = impl_->Current();
  for (const auto& [source, told] : *current) out.push_back(source);
  return out;
}

std::uint64_t ManagedKeys::Generation() const {
  return impl_->generation;
}

// ---- both as one ----

struct JoinedKeys::Joined {
  std::uint64_t files = 0, managed = 0, made = 0;  // the generations that it was made of
  KeyTable table;
};

struct JoinedKeys::Cache {
  Mutex mutex;
  std::shared_ptr<const Joined> joined ABSL_GUARDED_BY(mutex);
};

namespace {

// The private half stays where it was made.
void AddPrivateHalf(KeyVersion& version, const std::shared_ptr<const frame::OKey>& key) {
  if (key != nullptr && key->can_sign() && !key->public_key().empty() &&
      key->public_key() == version.key->public_key()) {
    version.key = key;
  }
}

void Narrow(std::optional<UnixNanos>& time, const std::optional<UnixNanos>& to) {
  if (to && (!time || *to < *time)) time = to;
}

std::map<std::uint32_t, KeyVersion> Join(std::string_view source, const std::vector<KeyVersion>& files,
                                         const ManagedKeys& managed, const frame::KeyProvider* made) {
  std::map<std::uint32_t, KeyVersion> out;
  for (const KeyVersion& version : managed.Versions(source)) out.emplace(version.version, version);
  const std::uint32_t first = managed.FirstVersion(source);
  const ManagedKeys::Ends ends = managed.FilesEnd(source);
  for (const KeyVersion& file : files) {
    const auto known = out.find(file.version);
    if (known == out.end()) {
      if (first != 0 && file.version >= first) continue;
      KeyVersion& version = out.emplace(file.version, file).first->second;
      version.may_sign = version.may_sign && !managed.Activated(source);
      Narrow(version.sign_until, ends.sign_until);
      Narrow(version.accept_until, ends.accept_until);
    } else {
      AddPrivateHalf(known->second, file.key);
    }
  }
  if (made != nullptr && first != 0) {
    for (auto& [number, version] : out) AddPrivateHalf(version, made->Find(source, number));
  }
  return out;
}

}  // namespace

JoinedKeys::JoinedKeys(const frame::KeyProvider& files, const ManagedKeys& managed, const frame::KeyProvider* made)
    : files_(files), managed_(managed), made_(made), cache_(std::make_unique<Cache>()) {}
JoinedKeys::~JoinedKeys() = default;

std::shared_ptr<const JoinedKeys::Joined> JoinedKeys::Current() const {
  const MutexLock lock(cache_->mutex);
  // Generations first: what changes meanwhile is read again the next time.
  const std::uint64_t files = files_.Generation(), managed = managed_.Generation();
  const std::uint64_t made = made_ == nullptr ? 0 : made_->Generation();
  if (cache_->joined != nullptr && cache_->joined->files == files && cache_->joined->managed == managed &&
      cache_->joined->made == made) {
    return cache_->joined;
  }
  auto joined = std::make_shared<Joined>();
  joined->files = files;
  joined->managed = managed;
  joined->made = made;
  for (const std::string& source : files_.Sources())
    joined->table[source] = Join(source, files_.Versions(source), managed_, made_);
  for (const std::string& source : managed_.Sources()) {
    if (!joined->table.contains(source)) joined->table[source] = Join(source, {}, managed_, made_);
  }
  cache_->joined = joined;
  return joined;
}

std::shared_ptr<const frame::OKey> JoinedKeys::Find(std::string_view source, std::uint32_t version) const {
  return frame::FindIn(Current()->table, source, version);
}

std::vector<KeyVersion> JoinedKeys::Versions(std::string_view source) const {
  return frame::VersionsIn(Current()->table, source);
}

std::vector<std::string> JoinedKeys::Sources() const {
  return frame::SourcesIn(Current()->table);
}

std::uint64_t JoinedKeys::Generation() const {
  return files_.Generation() + managed_.Generation() + (made_ == nullptr ? 0 : made_->Generation());
}

}  // namespace virp::keys
