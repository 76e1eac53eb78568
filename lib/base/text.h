// Plain text of files that people write: lines, words, blanks (ASCII). Views into what was given.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/status.h"

namespace virp {

inline constexpr std::string_view kBlanks = " \t\r\n\v\f";

constexpr std::string_view Trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

// The parts between characters of `separators`, empty ones left out.
inline std::vector<std::string_view> SplitWords(std::string_view text, std::string_view separators = kBlanks) {
  std::vector<std::string_view> words;
  for (std::size_t at = text.find_first_not_of(separators); at != std::string_view::npos;
       at = text.find_first_not_of(separators, at)) {
    const std::size_t end = std::min(text.find_first_of(separators, at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

// Calls take(line) for each line without its comment ('#' and what follows) that is not blank. The first error of it
// ends the walk, as InvalidArgument "NAME:LINE: ...".
template <typename Take>
absl::Status ForEachLine(std::string_view name, std::string_view text, Take&& take) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view whole = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view line = Trim(whole.substr(0, whole.find('#')));
    if (line.empty()) continue;
    const absl::Status taken = take(line);
    if (!taken.ok()) return InvalidArgument("{}:{}: {}", name, number, Message(taken));
  }
  return absl::OkStatus();
}

}  // namespace virp
