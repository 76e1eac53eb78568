// UTF-8 from outside: text that a router or device sent goes into JSON payloads only after it has been through here.
// Everything here is thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace virp {

// Whether `text` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF) without
// noncharacters, so that a JSON string of it is I-JSON (RFC 7493).
bool IsUtf8(std::string_view text);

// The same without control characters (C0 and DEL): text of one line, which every store and terminal takes.
bool IsLine(std::string_view text);

// `text` with each byte that is not part of such a character replaced by U+FFFD, so at most three times as long.
std::string ToUtf8(std::string_view text);

}  // namespace virp
