#include "lib/http/conditional.h"

#include <gmock/gmock.h>

namespace virp::http {
namespace {

constexpr std::int64_t kExample = 784'111'777;  // of RFC 9110 section 5.6.7

TEST(DateTest, TheExampleOfTheRfcBothWays) {
  EXPECT_EQ(DateText(kExample), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(ParseDate("Sun, 06 Nov 1994 08:49:37 GMT"), kExample);
  EXPECT_EQ(DateText(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(ParseDate(DateText(1'795'357'199)), 1'795'357'199);
}

TEST(DateTest, RefusesWhatIsNone) {
  for (const char* wrong :
       {"", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Thu, 30 Feb 1995 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08-49-37 GMT", "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, -6 Nov 1994 08:49:37 GMT"})
    EXPECT_EQ(ParseDate(wrong), std::nullopt) << wrong;
}

TEST(ConditionalTest, TagsAreComparedWeakly) {
  const Validators current{"\"abc\"", kExample};
  const auto same = [&](const char* tags) { return IsNotModified({{"if-none-match", tags}}, current); };
  EXPECT_TRUE(same("\"abc\""));
  EXPECT_TRUE(same("W/\"abc\""));
  EXPECT_TRUE(same("\"x\", W/\"y\" ,\"abc\""));
  EXPECT_TRUE(same("\"a,b\", \"abc\""));
  EXPECT_TRUE(same("*"));
  for (const char* other : {"", "abc", "\"abcd\"", "\"abc", "\"ABC\"", "x\"abc\"", "\"x\" \"y\""})
    EXPECT_FALSE(same(other)) << other;
  EXPECT_TRUE(IsNotModified({{"if-none-match", "\"x\""}, {"if-none-match", "\"abc\""}}, current));
}

TEST(ConditionalTest, DatesCountOnlyWithoutTags) {
  const Validators current{"\"abc\"", kExample};
  EXPECT_TRUE(IsNotModified({{"if-modified-since", DateText(kExample)}}, current));
  EXPECT_TRUE(IsNotModified({{"if-modified-since", DateText(kExample + 1)}}, current));
  EXPECT_FALSE(IsNotModified({{"if-modified-since", DateText(kExample - 1)}}, current));
  EXPECT_FALSE(IsNotModified({{"if-modified-since", "yesterday"}}, current));
  EXPECT_FALSE(IsNotModified({{"if-modified-since", DateText(kExample)}, {"if-none-match", "\"x\""}}, current));
  EXPECT_FALSE(IsNotModified({}, current));
}

TEST(ConditionalTest, WhatIsSentIsRecognised) {
  const Validators current{"\"abc\"", kExample};
  Fields sent;
  AddValidators(current, sent);
  EXPECT_TRUE(IsNotModified({{"if-none-match", std::string(*Find(sent, "etag"))}}, current));
  EXPECT_TRUE(IsNotModified({{"if-modified-since", std::string(*Find(sent, "last-modified"))}}, current));
}

}  // namespace
}  // namespace virp::http
