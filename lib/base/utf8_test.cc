#include "lib/base/utf8.h"

#include <gtest/gtest.h>

namespace virp {
namespace {

TEST(Utf8, AcceptsTheEdgesOfEachLength) {
  for (const char* text : {"", "plain", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xef\xbf\xbd", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbd", "gr\xc3\xbc\xc3\x9f"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
    EXPECT_EQ(ToUtf8(text), text);
  }
  EXPECT_TRUE(IsUtf8(std::string_view("a\0b", 3)));
}

TEST(Utf8, RefusesAndReplacesTheRest) {
  const std::pair<const char*, const char*> cases[] = {
      {"\x80", "?"},       // a continuation alone
      {"\xc0\xaf", "??"},  // overlong in two, three and four bytes
      {"\xc1\xbf", "??"},
      {"\xe0\x9f\xbf", "???"},
      {"\xf0\x8f\xbf\xbf", "????"},
      {"\xed\xa0\x80", "???"},       // surrogate
      {"\xf4\x90\x80\x80", "????"},  // above U+10FFFF
      {"\xf5\x80\x80\x80", "????"},
      {"\xff", "?"},
      {"\xef\xbf\xbe", "???"},       // U+FFFE
      {"\xef\xb7\x90", "???"},       // U+FDD0
      {"\xf0\x9f\xbf\xbf", "????"},  // U+1FFFF
      {"a\xc3", "a?"},               // cut short
      {"\xe2\x82", "??"},
      {"\xe2\x28\xa1z", "?(?z"},
      {"ok\xf0\x9f\x98", "ok???"},
  };
  for (const auto& [in, out] : cases) {
    std::string expected;
    for (const char c : std::string_view(out)) c == '?' ? expected += "\xef\xbf\xbd" : expected += c;
    EXPECT_FALSE(IsUtf8(in)) << in;
    EXPECT_EQ(ToUtf8(in), expected) << in;
    EXPECT_TRUE(IsUtf8(ToUtf8(in)));
  }
}

TEST(Utf8, ALineHasNoControlCharacters) {
  EXPECT_TRUE(IsLine("Zürich, NOC: +41 \"44\""));
  EXPECT_TRUE(IsLine(""));
  for (const std::string_view text : {std::string_view("a\0b", 3), std::string_view("a\nb"),
                                      std::string_view("\x1b[2J"), std::string_view("\x7f"), std::string_view("a\xff")})
    EXPECT_FALSE(IsLine(text));
}

}  // namespace
}  // namespace virp
