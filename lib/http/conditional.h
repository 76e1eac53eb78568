// Conditional requests (RFC 9110 section 13): whether who asks has the newest already. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/http/message.h"

namespace virp::http {

// What an answer is told apart by.
struct Validators {
  std::string etag;           // strong, in quotes
  std::int64_t modified = 0;  // seconds since 1970
};

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), the one form that is written; the obsolete ones are
// nothing.
std::string DateText(std::int64_t seconds);
std::optional<std::int64_t> ParseDate(std::string_view text);

// ETag and Last-Modified.
void AddValidators(const Validators& validators, Fields& fields);

// Of a GET or HEAD: 304 will do. If-Modified-Since counts only without If-None-Match.
bool IsNotModified(const Fields& request, const Validators& current);

}  // namespace virp::http
