// The second KeyProvider: O-Keys as the key manager last told them, kept in one file of the state directory, so that a
// service starts and goes on without the manager (docs/adr/0005-keys-from-the-key-manager.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/frame/key.h"

namespace virp::keymgr::v1 {
class WatchObservationKeysResponse;
}

namespace virp::keys {

// Thread-safe.
class ManagedKeys final : public frame::KeyProvider {
 public:
  // `file` is made when there is something to keep; nothing is kept when it is empty. Errors as OpenSecretFile
  // (lib/base/secret_file.h); ResourceExhausted when it is too large; DataLoss when it is not what was written.
  static absl::StatusOr<std::unique_ptr<ManagedKeys>> Open(std::string file);
  ~ManagedKeys() override;

  // A message of the watch stream. Nothing of a list is used before its last message; what was known then goes on. A
  // source with a version that cannot be used (a public half that is none) is passed over whole; all others are used.
  // The error names the first such source, with this message and each later one, until all are told anew.
  absl::Status Take(const keymgr::v1::WatchObservationKeysResponse& message);
  // A stream began or ended: what was taken of an unfinished list is dropped.
  void Interrupted();
  // Writes what was taken to the file, if there is anything new. Unavailable or ResourceExhausted when it cannot be
  // kept: it is in use all the same, and the next call tries again.
  absl::Status Keep();

  // The first version of the source that is the manager's; 0 when it told nothing of it.
  std::uint32_t FirstVersion(std::string_view source) const;
  bool Has(std::string_view source) const { return FirstVersion(source) != 0; }
  bool Activated(std::string_view source) const;  // one of its versions has signed
  // When the versions of key files, below the first, end: by frame time, and by receipt.
  struct Ends {
    std::optional<UnixNanos> sign_until{}, accept_until{};
  };
  Ends FilesEnd(std::string_view source) const;
  // Versions that the manager waits for: whoever signs makes them (lib/keys/key_maker.h). Sources and numbers.
  std::vector<std::pair<std::string, std::uint32_t>> Wanted() const;

  std::shared_ptr<const frame::OKey> Find(std::string_view source, std::uint32_t version) const override;
  std::vector<frame::KeyVersion> Versions(std::string_view source) const override;
  std::vector<std::string> Sources() const override;
  std::uint64_t Generation() const override;

 private:
  struct Impl;
  explicit ManagedKeys(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Key files and the manager's lists, read as one. Of a source that the manager knows, files count for the versions
// below its first, and for the private half of a version whose public half it knows; of others as ever. A version from
// a file signs until the manager has activated one, and ends when the manager then said. `made`, if given, counts for
// private halves only. Thread-safe; owns nothing.
class JoinedKeys final : public frame::KeyProvider {
 public:
  JoinedKeys(const frame::KeyProvider& files, const ManagedKeys& managed, const frame::KeyProvider* made = nullptr);
  ~JoinedKeys() override;

  std::shared_ptr<const frame::OKey> Find(std::string_view source, std::uint32_t version) const override;
  std::vector<frame::KeyVersion> Versions(std::string_view source) const override;
  std::vector<std::string> Sources() const override;
  std::uint64_t Generation() const override;

 private:
  struct Joined;
  std::shared_ptr<const Joined> Current() const;

  const frame::KeyProvider& files_;
  const ManagedKeys& managed_;
  const frame::KeyProvider* const made_;
  struct Cache;
  const std::unique_ptr<Cache> cache_;
};

}  // namespace virp::keys
