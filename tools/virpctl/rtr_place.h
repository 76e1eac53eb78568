// Where payloads are to be had: RTR caches over TCP, TLS and SSH, web servers, files. Values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/units.h"

namespace virp::virpctl {

struct RtrPlace {
  enum class Kind : std::uint8_t { kTcp, kTls, kSsh, kUrl, kFile };
  Kind kind = Kind::kTcp;
  HostPort address;           // of a cache
  std::string user = "rpki";  // of SSH
  std::string text;           // as it was given: URL, path, or what messages and metrics name

  bool is_cache() const { return kind <= Kind::kSsh; }
};

// "tcp://HOST:PORT", "tls://HOST:PORT", "ssh://USER@HOST:PORT", "http://...", "https://...", "HOST:PORT", which is tcp,
// or a path, which begins with "." or "/". InvalidArgument for all else.
absl::StatusOr<RtrPlace> ParseRtrPlace(std::string_view text);

// How a cache is talked to, and who we are.
struct RtrAccess {
  std::string roots;             // PEM: authorities of a TLS server; empty: the system's
  std::string server_name;       // that its certificate must have; empty: the host
  std::string certificate, key;  // PEM: shown to a TLS server; may be empty
  std::string ssh_key;           // file of a private key
  std::string ssh_password;      // file with a password, read by its owner only
  std::string known_hosts;       // file; empty: the user's
  bool insecure = false;         // whoever answers will do
  std::uint8_t min_version = 0, max_version = 2;
};

}  // namespace virp::virpctl
