// Which store a service uses: `sqlite:PATH` or `postgresql://...`, or `file:PATH` with one of these in it.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace virp::store {

enum class Backend { kSqlite, kPostgres };

struct StorageUrl {
  Backend backend = Backend::kSqlite;
  std::string location;  // SQLite: the path. PostgreSQL: the URL for libpq, which may hold a password; see Redacted()
};

enum class UrlOrigin {
  kCommandLine,  // visible to every user of the machine: a password in it is refused
  kPrivate,      // a file or the environment of the process
};

// The URL itself, or with `file:PATH` the first line of that file, without blanks at its ends: where the URL holds a
// password and is a secret's file, as Kubernetes mounts it. The file is checked by OpenSecretFile, whose errors these
// are; InvalidArgument when it holds no line, or one that is longer than 4,096 bytes. Read once, at the start.
absl::StatusOr<std::string> ReadStorageUrl(std::string_view text);

// Accepts `file:PATH`, which is read by ReadStorageUrl and private then whatever the origin, `sqlite:PATH` (not
// `sqlite://`, whose slashes would be read as a host), `postgresql://` and `postgres://`. InvalidArgument: another
// scheme, an empty or NUL-holding location, or a password (in the user part or as a query parameter, percent-encoded
// spellings included) from the command line. Messages never repeat the URL.
absl::StatusOr<StorageUrl> ParseStorageUrl(std::string_view url, UrlOrigin origin);

// The URL for logs and error messages: password values replaced by "***".
std::string Redacted(const StorageUrl& url);

}  // namespace virp::store
