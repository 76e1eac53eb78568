#include "lib/frame/key_directory.h"

#include <atomic>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/mutex.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/crypto/mac.h"
#include "lib/crypto/secret.h"
#include "lib/frame/key_files.h"
#include "lib/frame/key_ring.h"
#include "lib/frame/payload.h"

namespace virp::frame {
namespace {

// What one reading of the directory gave. Immutable once published.
struct KeySet {
  // A keyed digest of each file's contents tells whether it changed, without keeping the secret a second time.
  struct File {
    Hash digest{};
    std::shared_ptr<const OKey> key;  // null for times
    bool operator==(const File& other) const { return digest == other.digest; }
  };
  KeyTable table;
  std::map<std::string, File, std::less<>> files;  // by path
};

absl::Status InFile(const KeyFile& file, const absl::Status& status) {
  if (status.ok()) return status;
  return FailedPrecondition("key file {}: {}", file.path, Message(status));
}

class Loader {
 public:
  Loader(const std::string& root, const crypto::HmacKey& digest_key, const KeySet& last)
      : root_(root), digest_key_(digest_key), last_(last) {}

  absl::StatusOr<KeySet> Load(const KeyTree& tree) {
    for (const KeyFile& file : tree.files) {
      if (file.kind == KeyFileKind::kTimes) continue;
      RETURN_IF_ERROR(TakeKey(file));
    }
    for (const KeyFile& file : tree.files) {
      if (file.kind == KeyFileKind::kTimes) RETURN_IF_ERROR(TakeTimes(file));
    }
    return std::move(out_);
  }

 private:
  absl::Status TakeKey(const KeyFile& file) {
    ASSIGN_OR_RETURN(const crypto::Secret contents, ReadKeyFile(root_, file));
    const Hash digest = digest_key_.Sign(contents.view());
    std::shared_ptr<const OKey> key = Unchanged(file, digest);
    if (key == nullptr) {
      auto parsed = ParseKey(file.kind, contents.view());
      if (!parsed.ok()) return InFile(file, parsed.status());
      key = *std::move(parsed);
    }
    out_.files.emplace(file.path, KeySet::File{digest, key});
    KeyVersion& version = out_.table[file.source][file.version];
    if (version.key != nullptr) {  // files come sorted: a .pub may follow its .seed, nothing else may follow anything
      const bool fits = file.kind == KeyFileKind::kPublic && version.key->public_key() == key->public_key();
      if (fits) return absl::OkStatus();
      return FailedPrecondition("key file {}: version {} of {} has another key file; one version has one key",
                                file.path, file.version, file.source);
    }
    version.version = file.version;
    version.key = std::move(key);
    return absl::OkStatus();
  }

  // Times without a key are left alone: the key may be about to follow.
  absl::Status TakeTimes(const KeyFile& file) {
    const auto source = out_.table.find(file.source);
    if (source == out_.table.end()) return absl::OkStatus();
    const auto version = source->second.find(file.version);
    if (version == source->second.end()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const crypto::Secret contents, ReadKeyFile(root_, file));
    out_.files.emplace(file.path, KeySet::File{digest_key_.Sign(contents.view()), nullptr});
    return InFile(file, ParseKeyTimes(contents.view(), version->second));
  }

  std::shared_ptr<const OKey> Unchanged(const KeyFile& file, const Hash& digest) const {
    const auto known = last_.files.find(file.path);
    return known != last_.files.end() && known->second.digest == digest ? known->second.key : nullptr;
  }

  const std::string& root_;
  const crypto::HmacKey& digest_key_;
  const KeySet& last_;
  KeySet out_;
};

}  // namespace

struct KeyDirectory::Impl {
  explicit Impl(std::string path) : root(std::move(path)), digest_key(crypto::Secret::Random(32).view()) {}

  std::shared_ptr<const KeySet> Current() const {
    const MutexLock lock(mutex);
    return current;
  }

  const std::string root;
  const crypto::HmacKey digest_key;

  Mutex refreshing;  // one Refresh at a time; taken before `mutex`
  std::string fingerprint ABSL_GUARDED_BY(refreshing);
  bool certain ABSL_GUARDED_BY(refreshing) = false;  // whether an equal fingerprint means equal contents

  mutable Mutex mutex;
  std::shared_ptr<const KeySet> current ABSL_GUARDED_BY(mutex) = std::make_shared<KeySet>();
  std::atomic<std::uint64_t> generation{0};
};

KeyDirectory::KeyDirectory(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeyDirectory::~KeyDirectory() = default;

absl::StatusOr<std::unique_ptr<KeyDirectory>> KeyDirectory::Open(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  std::unique_ptr<KeyDirectory> out(new KeyDirectory(std::make_unique<Impl>(std::move(path))));
  RETURN_IF_ERROR(out->Refresh());
  return out;
}

absl::Status KeyDirectory::Refresh() {
  Impl& impl = *impl_;
  const MutexLock lock(impl.refreshing);
  constexpr int kTries = 3;
  for (int i = 0; i < kTries; ++i) {
    ASSIGN_OR_RETURN(const KeyTree tree, ScanKeyTree(impl.root));
    if (impl.certain && tree.fingerprint == impl.fingerprint) return absl::OkStatus();
    const std::shared_ptr<const KeySet> last = impl.Current();
    absl::StatusOr<KeySet> loaded = Loader(impl.root, impl.digest_key, *last).Load(tree);
    // Files that were swapped meanwhile may have been read half from the old set and half from the new one.
    ASSIGN_OR_RETURN(const KeyTree after, ScanKeyTree(impl.root));
    if (after.fingerprint != tree.fingerprint) continue;
    if (!loaded.ok()) {
      impl.certain = false;
      return loaded.status();
    }
    impl.fingerprint = tree.fingerprint;
    impl.certain = !MayChangeUnseen(tree.newest_change_ns);
    if (impl.generation != 0 && loaded->files == last->files) return absl::OkStatus();
    const MutexLock publish(impl.mutex);
    impl.current = std::make_shared<const KeySet>(*std::move(loaded));
    ++impl.generation;
    return absl::OkStatus();
  }
  return Unavailable("key directory {} changes faster than it can be read; try again", impl.root);
}

std::shared_ptr<const OKey> KeyDirectory::Find(std::string_view source, std::uint32_t version) const {
  return FindIn(impl_->Current()->table, source, version);
}

std::vector<KeyVersion> KeyDirectory::Versions(std::string_view source) const {
  return VersionsIn(impl_->Current()->table, source);
}

std::vector<std::string> KeyDirectory::Sources() const {
  return SourcesIn(impl_->Current()->table);
}

std::uint64_t KeyDirectory::Generation() const {
  return impl_->generation;
}

absl::Status CreateKeyFile(const std::string& directory, std::string_view source, std::uint32_t version, Suite suite,
                           UnixNanos accept_from) {
  RETURN_IF_ERROR(CheckOrigin(source));
  if (version == 0) return InvalidArgument("key versions count from 1");
  const std::string folder = fmt::format("{}/{}", directory, source);
  RETURN_IF_ERROR(MakeFolders(folder));
  ASSIGN_OR_RETURN(const KeyTree tree, ScanKeyTree(directory));
  for (const KeyFile& file : tree.files) {
    if (file.source == source && file.version == version && file.kind != KeyFileKind::kTimes) {
      return AlreadyExists("version {} of {} is there: {}", version, source, file.path);
    }
  }
  JsonWriter times;
  times.BeginObject().Field("accept_from_ns", accept_from).Key("accept_until_ns").Null().EndObject();
  RETURN_IF_ERROR(
      Annotate(WriteNewFile(folder, fmt::format("{}.json", version), times.Take() + "\n"),
               fmt::format("version {} of {} is claimed; if no key follows its .json, remove that", version, source)));
  // Text of 64 characters serves every reader: for HMAC it is the key itself, as `openssl rand -hex 32` makes it.
  const crypto::Secret random = crypto::Secret::Random(32);
  std::string text = HexEncode(random.view());
  text += '\n';
  const KeyFileKind kind = suite == Suite::kEd25519 ? KeyFileKind::kSeed : KeyFileKind::kHmac;
  const absl::Status status = WriteNewFile(folder, fmt::format("{}.{}", version, KeyFileExtension(kind)), text);
  crypto::Wipe(text.data(), text.size());
  return status;
}

}  // namespace virp::frame
