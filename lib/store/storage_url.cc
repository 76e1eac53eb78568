#include "lib/store/storage_url.h"

#include <algorithm>
#include <optional>

#include "lib/base/bytes.h"
#include "lib/base/secret_file.h"
#include "lib/base/status.h"

namespace virp::store {
namespace {

struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

std::string PercentDecoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const auto byte = HexDecode(text.substr(i + 1, 2));
      if (byte.ok()) {
        out += *byte;
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

bool IsPasswordKey(std::string_view key) {
  const std::string decoded = PercentDecoded(key);
  return decoded == "password" || decoded == "sslpassword";
}

// The user part's password: what is between its first ':' and the '@' of the authority.
std::optional<Span> UserPassword(std::string_view url) {
  const std::size_t start = url.find("://") + 3;
  const std::size_t at = url.find('@', start);
  if (at == std::string_view::npos || at > url.find_first_of("/?", start)) return std::nullopt;
  const std::size_t colon = url.find(':', start);
  if (colon == std::string_view::npos || colon > at || colon + 1 == at) return std::nullopt;
  return Span{colon + 1, at};
}

// The value of the first password parameter of the query that begins at or after `from`.
std::optional<Span> QueryPassword(std::string_view url, std::size_t from) {
  std::size_t at = url.find('?');
  while (at != std::string_view::npos) {
    const std::size_t key = at + 1;
    const std::size_t end = std::min(url.find('&', key), url.size());
    const std::size_t equals = url.find('=', key);
    if (key >= from && equals < end && IsPasswordKey(url.substr(key, equals - key))) return Span{equals + 1, end};
    at = url.find('&', key);
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::string> ReadStorageUrl(std::string_view text) {
  if (!text.starts_with("file:")) return std::string(text);
  constexpr std::size_t kMaxUrl = 4096;
  const std::string path(text.substr(5));
  ASSIGN_OR_RETURN(const FileDescriptor file, OpenSecretFile(path, "storage URL file"));
  std::string contents(kMaxUrl + 1, '\0');
  ASSIGN_OR_RETURN(const std::size_t size, ReadUpTo(file.get(), contents.data(), contents.size(), path));
  contents.resize(size);
  contents.resize(std::min(contents.find('\n'), size));
  if (contents.size() > kMaxUrl)
    return InvalidArgument("storage URL file {}: its first line has more than {} bytes", path, kMaxUrl);
  const std::size_t begin = contents.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return InvalidArgument("storage URL file {}: its first line is empty", path);
  return contents.substr(begin, contents.find_last_not_of(" \t\r") + 1 - begin);
}

absl::StatusOr<StorageUrl> ParseStorageUrl(std::string_view url, UrlOrigin origin) {
  StorageUrl out;
  if (url.starts_with("file:")) {
    ASSIGN_OR_RETURN(const std::string read, ReadStorageUrl(url));
    if (read.starts_with("file:")) return InvalidArgument("a storage URL file names no other file");
    return ParseStorageUrl(read, UrlOrigin::kPrivate);
  }
  if (url.find('\0') != std::string_view::npos) return InvalidArgument("a storage URL holds no zero bytes");
  if (url.starts_with("sqlite:")) {
    out.location = url.substr(7);
    if (out.location.empty()) return InvalidArgument("the storage URL names no file; use sqlite:PATH");
    if (out.location.starts_with("//"))
      return InvalidArgument("write sqlite:PATH, without slashes after the colon that are not the path's");
    return out;
  }
  if (!url.starts_with("postgresql://") && !url.starts_with("postgres://")) {
    return InvalidArgument(
        "the storage URL is neither sqlite:PATH nor postgresql://... nor file:PATH with one of these in it");
  }
  out.backend = Backend::kPostgres;
  out.location = url;
  if (origin == UrlOrigin::kCommandLine && (UserPassword(url) || QueryPassword(url, 0))) {
    return InvalidArgument(
        "a password in a storage URL on the command line can be read by every user of the machine; put the URL into "
        "the "
        "configuration file or the environment, or use passfile=PATH or a client certificate");
  }
  return out;
}

std::string Redacted(const StorageUrl& url) {
  if (url.backend == Backend::kSqlite) return "sqlite:" + url.location;
  std::string out = url.location;
  const auto hide = [&out](Span span) { out.replace(span.begin, span.end - span.begin, "***"); };
  if (const auto user = UserPassword(out)) hide(*user);
  std::size_t from = 0;
  while (const auto query = QueryPassword(out, from)) {
    hide(*query);
    from = query->begin;
  }
  return out;
}

}  // namespace virp::store
