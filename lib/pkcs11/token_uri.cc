#include "lib/pkcs11/token_uri.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp::pkcs11 {
namespace {

constexpr std::string_view kScheme = "pkcs11:";

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// RFC 7512 section 2.3, pk11-res-avail, pk11-path-res-avail and pk11-query-res-avail, and RFC 3986's unreserved.
bool MayStandBare(char c, bool in_query) {
  if ((Lower(c) >= 'a' && Lower(c) <= 'z') || (c >= '0' && c <= '9')) return true;
  return std::string_view(in_query ? "-._~:[]@!$'()*+,=/?|" : "-._~:[]@!$'()*+,=&").find(c) != std::string_view::npos;
}

absl::StatusOr<std::string> Decode(std::string_view name, std::string_view text, bool in_query) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      if (!MayStandBare(text[i], in_query)) {
        return InvalidArgument("PKCS #11 URI: '{}' has byte {:#04x} at {}, which must be written as %{:02X}", name,
                               static_cast<unsigned char>(text[i]), i, static_cast<unsigned char>(text[i]));
      }
      out += text[i];
      continue;
    }
    const auto byte = HexDecode(text.substr(i + 1, 2));
    if (!byte.ok() || byte->size() != 1) {
      return InvalidArgument("PKCS #11 URI: '{}' has a % at {} without two hexadecimal digits behind it", name, i);
    }
    if (byte->front() == '\0') return InvalidArgument("PKCS #11 URI: '{}' has a NUL byte", name);
    out += *byte;
    i += 2;
  }
  if (out.empty()) return InvalidArgument("PKCS #11 URI: '{}' is empty; leave it out", name);
  return out;
}

using Attributes = std::map<std::string, std::string, std::less<>>;

absl::Status Split(std::string_view text, char separator, bool in_query, Attributes& out) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    const std::string_view item = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return InvalidArgument("PKCS #11 URI: an attribute is name=value, not '{}'", item.substr(0, 40));
    }
    const std::string name(item.substr(0, equals));
    // Before its value is looked at: no message may hold it.
    if (name == "pin-value") {
      return InvalidArgument("PKCS #11 URI: a PIN does not belong into a URI; put it into a file and give pin-source");
    }
    ASSIGN_OR_RETURN(std::string value, Decode(name, item.substr(equals + 1), in_query));
    if (!out.emplace(name, std::move(value)).second) {
      return InvalidArgument("PKCS #11 URI: '{}' is given twice", name);
    }
  }
  return absl::OkStatus();
}

std::string Take(Attributes& from, std::string_view name) {
  const auto at = from.find(name);
  if (at == from.end()) return {};
  std::string value = std::move(at->second);
  from.erase(at);
  return value;
}

absl::Status RefuseRest(const Attributes& rest) {
  if (rest.empty()) return absl::OkStatus();
  return InvalidArgument(
      "PKCS #11 URI: '{}' is not understood here; known are token, serial, manufacturer, model and slot-id, and behind "
      "a ? module-path and pin-source",
      rest.begin()->first.substr(0, 40));
}

// An absolute path, as it is or as a file: URI (RFC 8089); empty when it is not given.
absl::StatusOr<std::string> TakePath(Attributes& from, std::string_view name) {
  std::string path = Take(from, name);
  if (path.empty()) return path;
  if (path.starts_with("file:")) path.erase(0, 5);
  if (path.starts_with("///")) path.erase(0, 2);
  if (!path.starts_with('/')) return InvalidArgument("PKCS #11 URI: '{}' must be an absolute path", name);
  return path;
}

}  // namespace

std::string TokenSelector::Describe() const {
  std::string out = label.empty() ? "a token" : fmt::format("token '{}'", label);
  if (!serial.empty()) out += fmt::format(", serial {}", serial);
  if (!manufacturer.empty()) out += fmt::format(", made by '{}'", manufacturer);
  if (!model.empty()) out += fmt::format(", model '{}'", model);
  if (slot.has_value()) out += fmt::format(", in slot {}", *slot);
  return out;
}

absl::StatusOr<TokenUri> ParseTokenUri(std::string_view uri) {
  if (uri.size() > kMaxTokenUri) {
    return InvalidArgument("PKCS #11 URI: {} bytes, {} are the limit", uri.size(), kMaxTokenUri);
  }
  if (uri.size() < kScheme.size() || !std::ranges::equal(uri.substr(0, kScheme.size()), kScheme, {}, Lower)) {
    return InvalidArgument("a PKCS #11 URI begins with '{}'", kScheme);
  }
  uri.remove_prefix(kScheme.size());
  const std::size_t question = uri.find('?');
  Attributes path;
  Attributes query;
  RETURN_IF_ERROR(Split(uri.substr(0, question), ';', false, path));
  if (question != std::string_view::npos) RETURN_IF_ERROR(Split(uri.substr(question + 1), '&', true, query));

  TokenUri out;
  out.token.label = Take(path, "token");
  out.token.serial = Take(path, "serial");
  out.token.manufacturer = Take(path, "manufacturer");
  out.token.model = Take(path, "model");
  if (const std::string slot = Take(path, "slot-id"); !slot.empty()) {
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(slot.data(), slot.data() + slot.size(), id);
    if (error != std::errc() || end != slot.data() + slot.size()) {
      return InvalidArgument("PKCS #11 URI: slot-id is a decimal number, not '{}'", slot.substr(0, 40));
    }
    out.token.slot = id;
  }
  ASSIGN_OR_RETURN(out.module_path, TakePath(query, "module-path"));
  ASSIGN_OR_RETURN(out.pin_file, TakePath(query, "pin-source"));
  RETURN_IF_ERROR(RefuseRest(path));
  RETURN_IF_ERROR(RefuseRest(query));
  if (out.token.empty()) {
    return InvalidArgument("PKCS #11 URI: it selects no token; give token=LABEL or serial=NUMBER");
  }
  return out;
}

}  // namespace virp::pkcs11
