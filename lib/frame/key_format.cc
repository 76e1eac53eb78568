#include "lib/frame/key_format.h"

#include <charconv>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/secret.h"
#include "lib/frame/payload.h"

namespace virp::frame {
namespace {

constexpr std::size_t kEd25519Bytes = 32;

std::optional<KeyFileKind> KindFromExtension(std::string_view extension) {
  for (const KeyFileKind kind :
       {KeyFileKind::kHmac, KeyFileKind::kText, KeyFileKind::kSeed, KeyFileKind::kPublic, KeyFileKind::kTimes}) {
    if (KeyFileExtension(kind) == extension) return kind;
  }
  return std::nullopt;
}

// Ed25519 halves are 32 raw bytes or 64 hex characters, with trailing CR and LF stripped.
absl::StatusOr<crypto::Secret> Ed25519Bytes(std::string_view contents) {
  if (contents.size() == kEd25519Bytes) return crypto::Secret(contents);
  while (!contents.empty() && (contents.back() == '\n' || contents.back() == '\r')) contents.remove_suffix(1);
  if (contents.size() != 2 * kEd25519Bytes) {
    return InvalidArgument("an Ed25519 key is 32 raw bytes or 64 hex characters, not {} bytes", contents.size());
  }
  ASSIGN_OR_RETURN(std::string bytes, HexDecode(contents));
  crypto::Secret out{std::string_view(bytes)};
  crypto::Wipe(bytes.data(), bytes.size());
  return out;
}

}  // namespace

absl::StatusOr<std::optional<KeyFile>> ParseKeyFileName(const std::string& source, std::string_view name,
                                                        const std::string& path) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::optional<KeyFileKind> kind = KindFromExtension(name.substr(dot + 1));
  if (!kind.has_value()) return std::nullopt;
  std::uint32_t version = 0;
  const std::string_view stem = name.substr(0, dot);
  const char* stem_end = stem.data() + stem.size();
  const auto [end, error] = std::from_chars(stem.data(), stem_end, version);
  if (error != std::errc() || end != stem_end || version == 0 || name.front() == '0') {
    return FailedPrecondition("key file {}: a key file is named by its version, a number from 1, such as 1.{}", path,
                              KeyFileExtension(*kind));
  }
  if (source.empty()) {
    return FailedPrecondition("key file {}: belongs into a folder with the name of its source", path);
  }
  return KeyFile{source, version, *kind, path};
}

absl::StatusOr<std::shared_ptr<const OKey>> ParseKey(KeyFileKind kind, std::string_view contents) {
  if (kind == KeyFileKind::kHmac || kind == KeyFileKind::kText) {
    ASSIGN_OR_RETURN(const std::string_view secret, HmacSecretFromFile(contents));
    return OKey::Hmac(secret);
  }
  ASSIGN_OR_RETURN(const crypto::Secret bytes, Ed25519Bytes(contents));
  return kind == KeyFileKind::kSeed ? OKey::Ed25519FromSeed(bytes.view()) : OKey::Ed25519FromPublic(bytes.view());
}

absl::Status ParseKeyTimes(std::string_view json, KeyVersion& out) {
  PayloadReader reader;
  ASSIGN_OR_RETURN(const Value root, reader.Read(json));
  if (const Value from = root["accept_from_ns"]; from.present()) {
    if (!from.AsUnsigned().has_value()) return InvalidArgument("accept_from_ns is not a count of nanoseconds");
    out.accept_from = *from.AsUnsigned();
  }
  if (const Value until = root["accept_until_ns"]; until.present() && until.kind() != Value::Kind::kNull) {
    if (!until.AsUnsigned().has_value())
      return InvalidArgument("accept_until_ns is neither a count of nanoseconds nor null");
    out.accept_until = until.AsUnsigned();
    if (*out.accept_until < out.accept_from) return InvalidArgument("accept_until_ns is before accept_from_ns");
  }
  return absl::OkStatus();
}

}  // namespace virp::frame
