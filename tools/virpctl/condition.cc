#include "tools/virpctl/condition.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "lib/base/status.h"

namespace virp::virpctl {
namespace {

using Condition = verify::v1::FieldCondition;

// The longer one of two that begin alike stands first.
constexpr std::array<std::pair<std::string_view, Condition::Operator>, 6> kOperators{{
    {"!=", Condition::OPERATOR_NEQ},
    {"<=", Condition::OPERATOR_LE},
    {">=", Condition::OPERATOR_GE},
    {"=", Condition::OPERATOR_EQ},
    {"<", Condition::OPERATOR_LT},
    {">", Condition::OPERATOR_GT},
}};

std::string_view Trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

template <typename Number>
bool ParseWhole(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

absl::Status SetValue(std::string_view text, Condition& out) {
  if (text.empty()) return InvalidArgument("has no value; \"\" is the empty text");
  if (text.front() == '"') {
    if (text.size() < 2 || text.back() != '"') return InvalidArgument("its text has no closing quote");
    out.set_string_value(std::string(text.substr(1, text.size() - 2)));
    return absl::OkStatus();
  }
  std::int64_t integer = 0;
  double number = 0;
  if (ParseWhole(text, integer)) {
    out.set_integer_value(integer);
  } else if (ParseWhole(text, number) && std::isfinite(number)) {
    out.set_number_value(number);
  } else if (text == "true" || text == "false") {
    out.set_bool_value(text == "true");
  } else {
    out.set_string_value(std::string(text));
  }
  return absl::OkStatus();
}

absl::StatusOr<Condition> Parse(std::string_view text) {
  Condition out;
  const std::size_t at = text.find_first_of("!=<>");
  std::string_view path = Trim(text.substr(0, at));
  if (at == std::string_view::npos) {
    const std::size_t space = path.rfind(' ');
    const std::string_view word = space == std::string_view::npos ? "" : path.substr(space + 1);
    if (word != "exists" && word != "absent") {
      return InvalidArgument("has none of = != < <= > >=, nor ends with `exists` or `absent`");
    }
    path = Trim(path.substr(0, space));
    out.set_operator_(Condition::OPERATOR_EXISTS);
    out.set_bool_value(word == "exists");
  } else {
    const std::string_view rest = text.substr(at);
    for (const auto& [sign, meaning] : kOperators) {
      if (!rest.starts_with(sign)) continue;
      out.set_operator_(meaning);
      RETURN_IF_ERROR(SetValue(Trim(rest.substr(sign.size())), out));
      break;
    }
    if (out.operator_() == Condition::OPERATOR_UNSPECIFIED) return InvalidArgument("'!' is followed by no '='");
  }
  if (path.empty()) return InvalidArgument("names no field");
  out.set_path(std::string(path));
  return out;
}

}  // namespace

absl::StatusOr<Condition> ParseCondition(std::string_view text) {
  absl::StatusOr<Condition> out = Parse(text);
  if (!out.ok()) return Annotate(out.status(), fmt::format("condition '{}'", text));
  return out;
}

}  // namespace virp::virpctl
