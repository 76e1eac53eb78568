#include "lib/vrp/json_fields.h"

#include <fmt/format.h>

#include <utility>

namespace virp::vrp {
bool JsonFields::Problem(std::string_view reason) {
  if (has_problem_) return false;
  has_problem_ = true;
  problem_ = reason;
  return false;
}

void JsonFields::Missing(std::string_view name) {
  Problem(fmt::format("{} is missing", name));
}

bool JsonFields::NotText(std::string_view what) {
  reader_.Skip();
  return Problem(fmt::format("{} is not text", what));
}

bool JsonFields::NotNumber(std::string_view what) {
  reader_.Skip();
  return Problem(fmt::format("{} is not a number", what));
}

bool JsonFields::AsNumber(std::uint32_t& out) {
  std::uint64_t value = 0;
  if (!Unsigned("an AS number", UINT32_MAX, value)) return false;
  out = static_cast<std::uint32_t>(value);
  return true;
}

bool JsonFields::As(std::uint32_t& out) {
  if (reader_.Peek() != '"') return AsNumber(out);
  std::string_view text;
  if (!reader_.String(text)) return false;
  return ParseAs(text, out) || Problem(fmt::format("\"{}\" is no AS number", Shown(text)));
}

bool JsonFields::AsList(std::vector<std::uint32_t>& out, bool only_numbers) {
  if (reader_.Peek() != '[') {
    reader_.Skip();
    return Problem("the providers are not an array");
  }
  for (reader_.BeginArray(); reader_.NextElement();) {
    std::uint32_t as = 0;
    if (only_numbers ? AsNumber(as) : As(as)) out.push_back(as);
  }
  return !reader_.failed();
}

bool JsonFields::PrefixOf(PrefixText& out) {
  std::string_view text;
  if (!IsText("prefix") || !reader_.String(text)) return false;
  return ParsePrefix(text, out) || Problem(fmt::format("\"{}\" is no prefix", Shown(text)));
}

bool JsonFields::Unsigned(std::string_view name, std::uint64_t max, std::uint64_t& out) {
  if (!IsNumber(name)) return false;
  std::uint64_t value = 0;
  if (!reader_.Unsigned(value)) {
    return reader_.failed() ? false : Problem(fmt::format("{} is not a whole number from 0 to {}", name, max));
  }
  if (value > max) return Problem(fmt::format("{} is {}, beyond {}", name, value, max));
  out = value;
  return true;
}

bool JsonFields::Expiry(Expires& out) {
  std::uint64_t value = 0;
  if (!Unsigned("expires", UINT64_MAX, value)) return false;
  out = ExpiresFrom(value);
  return true;
}

bool JsonFields::Ski(std::array<std::uint8_t, 20>& out) {
  std::string_view text;
  if (!IsText("SKI") || !reader_.String(text)) return false;
  const auto ski = ParseSki(text);
  if (!ski) return Problem(fmt::format("\"{}\" is no SKI of 20 bytes", Shown(text)));
  out = *ski;
  return true;
}

bool JsonFields::Base64(std::string_view name, std::string& out) {
  std::string_view text;
  if (!IsText(name) || !reader_.String(text)) return false;
  auto bytes = DecodeAnyBase64(text);
  if (!bytes) return Problem(fmt::format("{} is not base64", name));
  out = *std::move(bytes);
  return true;
}

}  // namespace virp::vrp
