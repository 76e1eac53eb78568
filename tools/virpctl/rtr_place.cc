#include "tools/virpctl/rtr_place.h"

#include "lib/base/status.h"

namespace virp::virpctl {
namespace {

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

absl::StatusOr<RtrPlace> ParseRtrPlace(std::string_view text) {
  RtrPlace place;
  place.text = text;
  if (text.starts_with("http://") || text.starts_with("https://")) {
    place.kind = RtrPlace::Kind::kUrl;
    return place;
  }
  if (text.starts_with('/') || text.starts_with('.')) {
    place.kind = RtrPlace::Kind::kFile;
    return place;
  }
  std::string_view address = text;
  if (TakePrefix(address, "tls://")) {
    place.kind = RtrPlace::Kind::kTls;
  } else if (TakePrefix(address, "ssh://")) {
    place.kind = RtrPlace::Kind::kSsh;
    if (const std::size_t at = address.rfind('@'); at != std::string_view::npos) {
      place.user = address.substr(0, at);
      address.remove_prefix(at + 1);
    }
  } else {
    TakePrefix(address, "tcp://");
  }
  auto parsed = ParseHostPort(address);
  if (!parsed.ok() || place.user.empty())
    return InvalidArgument(
        "'{}' is no place to read from: tcp://HOST:PORT, tls://HOST:PORT, ssh://USER@HOST:PORT, an http or https URL, "
        "or a path such as ./vrps.json",
        text);
  place.address = *std::move(parsed);
  return place;
}

}  // namespace virp::virpctl
