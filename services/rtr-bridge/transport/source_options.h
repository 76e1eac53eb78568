// One source of payloads, as it is configured. A value.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace virp::rtr_bridge {

enum class SourceKind {
  kFile,        // a path
  kHttp,        // http:// or https://
  kKeyManager,  // "keymgr:HOST:PORT,HOST:PORT": router keys as they are published
  kBridge,      // "bridge:HOST:PORT,...": what another bridge serves
};

struct SourceOptions {
  std::string name;
  SourceKind kind = SourceKind::kFile;
  std::string location;
  std::chrono::seconds refresh{600};               // of files and URLs
  std::optional<std::chrono::nanoseconds> expire;  // its last good data are served this long; nothing: for ever
  std::optional<std::chrono::nanoseconds> max_age{std::chrono::hours(24)};  // of what its producer says; nothing: any
  std::size_t max_bytes = std::size_t{512} << 20;
  bool skip_bad_records = false;
  std::string signature_key;  // PEM file: the data must be signed by this key; empty: they need not be
  std::string signature;      // where the detached signature is; empty: location + ".sig", or inside the document
  bool embedded_signature = false;
  std::string roots;  // PEM file for https; empty: the system's
};

}  // namespace virp::rtr_bridge
