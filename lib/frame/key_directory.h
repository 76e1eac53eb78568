// The first KeyProvider: a directory `<source name>/<version>.{hmac,txt,seed,pub}` beside `<version>.json`
// ({"accept_from_ns": .., "accept_until_ns": ..|null}, optional). An origin's parts are nested folders. `.hmac` and
// `.txt` hold an HMAC key as docs/formats/frame.md "Keys" has it: 32 raw bytes when the file has exactly 32, otherwise
// text whose characters are the key. `.seed` and `.pub` are Ed25519, 32 raw bytes or 64 hex characters. One version has
// one key: one of these files, or a `.seed` with the `.pub` that fits it. Names that begin with a dot and files with
// other extensions are not looked at, so Kubernetes' secret volumes (links into `..data`) work as they are.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/frame/key.h"

namespace virp::frame {

// Every file and folder must be owned by the process's user or root. Secret files must not be accessible to others;
// group access is accepted where the process has that group, or the group is root's. Folders, `.pub` and `.json` must
// not be writable by others, except on a file system that is mounted read-only. Modes and owners are those of the
// opened file. Thread-safe.
class KeyDirectory final : public KeyProvider {
 public:
  // Reads everything once. NotFound when there is no such directory; FailedPrecondition names the first file with a
  // wrong mode, owner or content; Unavailable when the directory changes faster than it is read.
  static absl::StatusOr<std::unique_ptr<KeyDirectory>> Open(std::string path);
  ~KeyDirectory() override;

  // Re-reads when anything changed on disk; on error keeps the last good set and returns the error, which Open
  // documents. Keys that did not change stay the same objects. Call it every second or so and on SIGHUP.
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

// Makes `<directory>/<source>/<version>.seed|hmac` with mode 0600 and its .json, and the folders that are missing, with
// mode 0700. The .json comes first and claims the version. InvalidArgument for a name that is none or version 0;
// AlreadyExists when the version is there; FailedPrecondition when the file system refuses.
absl::Status CreateKeyFile(const std::string& directory, std::string_view source, std::uint32_t version, Suite suite,
                           UnixNanos accept_from);

}  // namespace virp::frame
