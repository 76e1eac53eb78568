#include "lib/http/conditional.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

namespace virp::http {
namespace {

namespace chrono = std::chrono;

constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<int> Digits(std::string_view text) {
  if (!std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// One of a list of entity tags, taken off its front: "abc" of W/"abc"; empty for what is none, which ends the list.
std::string_view TakeTag(std::string_view& list) {
  list.remove_prefix(std::min(list.find_first_not_of(", \t"), list.size()));
  if (list.starts_with("W/")) list.remove_prefix(2);
  const std::size_t end = list.starts_with('"') ? list.find('"', 1) : std::string_view::npos;
  if (end == std::string_view::npos) return {};
  const std::string_view tag = list.substr(0, end + 1);
  list.remove_prefix(end + 1);
  return tag;
}

}  // namespace

std::string DateText(std::int64_t seconds) {
  const chrono::sys_seconds at{chrono::seconds(seconds)};
  const auto day = chrono::floor<chrono::days>(at);
  const chrono::year_month_day date(day);
  const chrono::hh_mm_ss time(at - day);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays.at(chrono::weekday(day).c_encoding()),
                     static_cast<unsigned>(date.day()), kMonths.at(static_cast<unsigned>(date.month()) - 1),
                     static_cast<int>(date.year()), time.hours().count(), time.minutes().count(),
                     time.seconds().count());
}

std::optional<std::int64_t> ParseDate(std::string_view text) {
  static constexpr std::string_view kShape = "Sun, 06 Nov 1994 08:49:37 GMT";
  if (text.size() != kShape.size()) return std::nullopt;
  const auto day = Digits(text.substr(5, 2)), year = Digits(text.substr(12, 4));
  const auto hour = Digits(text.substr(17, 2)), minute = Digits(text.substr(20, 2)),
             second = Digits(text.substr(23, 2));
  const auto month = std::ranges::find(kMonths, text.substr(8, 3));
  if (!day || !year || !hour || !minute || !second || month == kMonths.end()) return std::nullopt;
  const chrono::year_month_day date{chrono::year(*year),
                                    chrono::month(static_cast<unsigned>(month - kMonths.begin()) + 1),
                                    chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  const auto at = chrono::sys_days(date) + chrono::hours(*hour) + chrono::minutes(*minute) + chrono::seconds(*second);
  const std::int64_t seconds = chrono::duration_cast<chrono::seconds>(at.time_since_epoch()).count();
  if (DateText(seconds) != text) return std::nullopt;  // separators, weekday, 25:61
  return seconds;
}

void AddValidators(const Validators& validators, Fields& fields) {
  fields.push_back({"etag", validators.etag});
  fields.push_back({"last-modified", DateText(validators.modified)});
}

bool IsNotModified(const Fields& request, const Validators& current) {
  const auto is_tag = [](const Field& field) { return field.name == "if-none-match"; };
  if (std::ranges::any_of(request, is_tag)) {
    for (const Field& field : request) {
      if (!is_tag(field)) continue;
      if (field.value == "*") return true;
      std::string_view list = field.value;
      for (std::string_view tag = TakeTag(list); !tag.empty(); tag = TakeTag(list)) {
        if (tag == current.etag) return true;
      }
    }
    return false;
  }
  const auto since = Find(request, "if-modified-since");
  const auto at = since ? ParseDate(*since) : std::nullopt;
  return at && *at >= current.modified;
}

}  // namespace virp::http
