// What anybody may ask the RTR bridge's HTTP address for, and on which conditions. Input: a byte that says which, and
// the target or the value of a conditional field.
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/http/conditional.h"
#include "lib/http/target.h"
#include "tests/fuzz/require.h"

using namespace virp;  // NOLINT(google-build-using-namespace): a fuzz target is one function

namespace {

std::string Escaped(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto value = static_cast<unsigned char>(c);
    out += {'%', kDigits[value >> 4], kDigits[value & 15]};
  }
  return out;
}

void Target(std::string_view text) {
  const auto target = http::ParseTarget(text);
  if (!target.ok()) return;
  REQUIRE(target->path.size() <= text.size());
  // Escaped in another way it is the same; what was a control character in the text itself cannot be said so.
  std::string again = Escaped(target->path) + "?";
  for (const auto& [name, value] : target->query) again += Escaped(name) + "=" + Escaped(value) + "&";
  const auto same = http::ParseTarget(again);
  if (!same.ok()) return;
  REQUIRE(same->path == target->path && same->query == target->query);
  for (const auto& [name, value] : target->query) {
    const auto found = target->Parameter(name);
    REQUIRE(target->Has(name) && (!found.ok() || *found == value));
  }
}

void Condition(std::string_view value) {
  const http::Validators current{"\"abc\"", 784'111'777};
  const auto date = http::ParseDate(value);
  if (date) REQUIRE(http::DateText(*date) == value);
  const std::string text(value);
  REQUIRE(http::IsNotModified({{"if-modified-since", text}}, current) == (date && *date >= current.modified));
  const bool same = http::IsNotModified({{"if-none-match", text}}, current);
  if (same) REQUIRE(text == "*" || text.find(current.etag) != std::string::npos);
  // With a tag the date counts no more; a further list with the tag always does.
  REQUIRE(http::IsNotModified({{"if-none-match", text}, {"if-modified-since", http::DateText(current.modified)}},
                              current) == same);
  REQUIRE(http::IsNotModified({{"if-none-match", text}, {"if-none-match", current.etag}}, current));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  data[0] % 2 == 0 ? Target(bytes) : Condition(bytes);
  return 0;
}
