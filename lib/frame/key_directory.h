// The first KeyProvider: a directory `<source name>/<version>.{hmac,txt,seed,pub}` beside `<version>.json`
// ({"accept_from_ns": .., "accept_until_ns": ..|null}, optional). An origin's parts are nested folders. `.hmac` is 64 hex
// characters or 32 raw bytes used as raw key bytes when 32 long and as text otherwise (docs/formats/frame.md "Keys"),
// `.txt` a text key, `.seed` and `.pub` Ed25519, 32 raw bytes or 64 hex characters.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/frame/key.h"

namespace virp::frame {

// Secret files must be owned by the process's user or root and not be accessible to others; group-readable is accepted
// where the process has that group. Folders must not be writable by others.
class KeyDirectory final : public KeyProvider {
 public:
  // Reads everything once. FailedPrecondition names the first file with a wrong mode, owner or content.
  static absl::StatusOr<std::unique_ptr<KeyDirectory>> Open(std::string path);
  ~KeyDirectory() override;

  // Re-reads when anything changed on disk; on error keeps the last good set and returns the error. Call it every
  // second or so and on SIGHUP.
  absl::Status Refresh();

  std::shared_ptr<const OKey> Find(std::string_view source, std::uint32_t version) const override;
  std::vector<KeyVersion> Versions(std::string_view source) const override;
  std::vector<std::string> Sources() const override;
  std::uint64_t Generation() const override;

 private:
  struct Impl;
  explicit KeyDirectory(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Makes `<directory>/<source>/<version>.seed|hmac` with mode 0600 and its .json; AlreadyExists when the version is there.
absl::Status CreateKeyFile(const std::string& directory, std::string_view source, std::uint32_t version, Suite suite,
                           UnixNanos accept_from);

}  // namespace virp::frame
