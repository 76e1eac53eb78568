// Which store a service uses: `sqlite:PATH` or `postgresql://...`.
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

// Accepts `sqlite:PATH` (not `sqlite://`, whose slashes would be read as a host), `postgresql://` and `postgres://`.
// InvalidArgument: another scheme, an empty or NUL-holding location, or a password (in the user part or as a query
// parameter, percent-encoded spellings included) from the command line. Messages never repeat the URL.
absl::StatusOr<StorageUrl> ParseStorageUrl(std::string_view url, UrlOrigin origin);

// The URL for logs and error messages: password values replaced by "***".
std::string Redacted(const StorageUrl& url);

}  // namespace virp::store
