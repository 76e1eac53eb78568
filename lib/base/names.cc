#include "lib/base/names.h"

#include "lib/base/status.h"

namespace virp {
namespace {

constexpr std::size_t kMaxName = 128;
constexpr std::size_t kMaxOrigin = 255;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

}  // namespace

absl::Status CheckSourceName(std::string_view name) {
  if (name.empty()) return InvalidArgument("a source name is empty; use [a-z0-9][a-z0-9._-]{{0,127}}");
  if (name.size() > kMaxName) return InvalidArgument("a source name of {} bytes; at most {}", name.size(), kMaxName);
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool fits = IsAlphanumeric(c) || (i > 0 && (c == '.' || c == '_' || c == '-'));
    if (!fits) return InvalidArgument("source name: byte {} does not fit [a-z0-9][a-z0-9._-]{{0,127}}", i);
  }
  return absl::OkStatus();
}

absl::Status CheckOrigin(std::string_view origin) {
  if (origin.size() > kMaxOrigin)
    return InvalidArgument("an origin of {} bytes; at most {}", origin.size(), kMaxOrigin);
  std::size_t start = 0;
  while (true) {
    const std::size_t slash = origin.find('/', start);
    const std::string_view part = origin.substr(start, slash == std::string_view::npos ? slash : slash - start);
    RETURN_IF_ERROR(Annotate(CheckSourceName(part), "origin"));
    if (slash == std::string_view::npos) return absl::OkStatus();
    start = slash + 1;
  }
}

}  // namespace virp
