#include "lib/http/target.h"

#include <algorithm>
#include <optional>

#include "lib/base/status.h"

namespace virp::http {
namespace {

std::optional<unsigned> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

absl::StatusOr<std::string> Decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const auto high = i + 2 < text.size() ? HexDigit(text[i + 1]) : std::nullopt;
    const auto low = i + 2 < text.size() ? HexDigit(text[i + 2]) : std::nullopt;
    if (!high || !low) return InvalidArgument("an escape in the target is no %XX");
    const unsigned value = *high << 4 | *low;
    if (value < 0x20 || value == 0x7f) return InvalidArgument("the target escapes a control character");
    out.push_back(static_cast<char>(value));
    i += 2;
  }
  return out;
}

}  // namespace

bool Target::Has(std::string_view name) const {
  return std::ranges::any_of(query, [&](const auto& parameter) { return parameter.first == name; });
}

absl::StatusOr<std::string_view> Target::Parameter(std::string_view name) const {
  const auto is_it = [&](const auto& parameter) { return parameter.first == name; };
  const auto found = std::ranges::find_if(query, is_it);
  if (found == query.end()) return InvalidArgument("the parameter {} is missing", name);
  if (std::ranges::count_if(query, is_it) > 1) return InvalidArgument("the parameter {} is there twice", name);
  return std::string_view(found->second);
}

absl::StatusOr<Target> ParseTarget(std::string_view text) {
  Target target;
  const std::size_t mark = text.find('?');
  ASSIGN_OR_RETURN(target.path, Decoded(text.substr(0, mark)));
  std::string_view query = mark == std::string_view::npos ? std::string_view() : text.substr(mark + 1);
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view parameter = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (parameter.empty()) continue;
    const std::size_t equals = std::min(parameter.find('='), parameter.size());
    ASSIGN_OR_RETURN(std::string name, Decoded(parameter.substr(0, equals)));
    ASSIGN_OR_RETURN(std::string value, Decoded(parameter.substr(std::min(equals + 1, parameter.size()))));
    target.query.emplace_back(std::move(name), std::move(value));
  }
  return target;
}

}  // namespace virp::http
