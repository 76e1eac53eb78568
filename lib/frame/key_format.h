// Private to lib/frame: what the names and the contents of key files say (docs/formats/frame.md, "Key directory").
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/frame/key.h"

namespace virp::frame {

enum class KeyFileKind : std::uint8_t { kHmac, kText, kSeed, kPublic, kTimes };

constexpr std::string_view KeyFileExtension(KeyFileKind kind) {
  switch (kind) {
    case KeyFileKind::kHmac:
      return "hmac";
    case KeyFileKind::kText:
      return "txt";
    case KeyFileKind::kSeed:
      return "seed";
    case KeyFileKind::kPublic:
      return "pub";
    case KeyFileKind::kTimes:
      return "json";
  }
  return "";
}
constexpr bool IsSecret(KeyFileKind kind) {
  return kind == KeyFileKind::kHmac || kind == KeyFileKind::kText || kind == KeyFileKind::kSeed;
}

struct KeyFile {
  std::string source;
  std::uint32_t version = 0;
  KeyFileKind kind = KeyFileKind::kHmac;
  std::string path;  // from the root of the directory, for messages
};

// What a file is by its name, "<version>.<extension>"; nothing for files that are none of ours (a README, an editor's
// backup). FailedPrecondition for one of ours whose version is none, or that lies outside of a source's folder.
absl::StatusOr<std::optional<KeyFile>> ParseKeyFileName(const std::string& source, std::string_view name,
                                                        const std::string& path);

// The key in a file of any kind but kTimes. InvalidArgument when it holds none.
absl::StatusOr<std::shared_ptr<const OKey>> ParseKey(KeyFileKind kind, std::string_view contents);

// Takes the times from a .json; InvalidArgument when they are none.
absl::Status ParseKeyTimes(std::string_view json, KeyVersion& out);

}  // namespace virp::frame
