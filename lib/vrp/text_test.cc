#include "lib/vrp/text.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>

#include <random>

#include "lib/base/bytes.h"
#include "lib/base/ip.h"

namespace virp::vrp {
namespace {

using ::testing::Optional;

// Its address as inet_pton has it, and a length in plain decimal.
bool Reference(const std::string& text, PrefixText& out) {
  const auto slash = text.find('/');
  if (slash == std::string::npos) return false;
  const std::string address = text.substr(0, slash);
  const std::string length = text.substr(slash + 1);
  char bytes[16] = {};
  out.v6 = address.find(':') != std::string::npos;
  if (inet_pton(out.v6 ? AF_INET6 : AF_INET, address.c_str(), bytes) != 1) return false;
  if (length.empty() || length.size() > 3 || (length.size() > 1 && length[0] == '0')) return false;
  if (length.find_first_not_of("0123456789") != std::string::npos || std::stoi(length) > (out.v6 ? 128 : 32))
    return false;
  out.high = out.v6 ? LoadBe<std::uint64_t>(bytes) : LoadBe<std::uint32_t>(bytes);
  out.low = out.v6 ? LoadBe<std::uint64_t>(bytes + 8) : 0;
  out.length = static_cast<std::uint8_t>(std::stoi(length));
  return true;
}

void ExpectAsReference(const std::string& text) {
  PrefixText want;
  PrefixText got;
  const bool is = Reference(text, want);
  ASSERT_EQ(ParsePrefix(text, got), is) << text;
  if (!is) return;
  ASSERT_EQ(got.high, want.high) << text;
  ASSERT_EQ(got.low, want.low) << text;
  ASSERT_EQ(got.length, want.length) << text;
  ASSERT_EQ(got.v6, want.v6) << text;
}

TEST(Text, PrefixesAreWhatInetPtonTakes) {
  for (const char* text : {"10.0.0.0/8",
                           "0.0.0.0/0",
                           "255.255.255.255/32",
                           "1.2.3.4/33",
                           "1.2.3/24",
                           "1.2.3.4",
                           "1.2.3.4/",
                           "1.2.3.4/08",
                           "01.2.3.4/8",
                           "256.0.0.0/8",
                           "1.2.3.4.5/8",
                           "1.2.3.4/-1",
                           "1.2.3.4/+8",
                           " 1.2.3.4/8",
                           "1.2.3.4/8 ",
                           "",
                           "/",
                           "/8",
                           "::/0",
                           "::1/128",
                           "2001:db8::/32",
                           "2001:DB8::/32",
                           "1:2:3:4:5:6:7:8/128",
                           "1:2:3:4:5:6:7::/112",
                           "::2:3:4:5:6:7:8/128",
                           "1::8/128",
                           "1:2:3:4:5:6:7:8:9/128",
                           "1:2:3:4:5:6:7/112",
                           ":1:2:3:4:5:6:7/112",
                           "1:2:3:4:5:6:7:/112",
                           "1::2::3/64",
                           ":::/0",
                           "::ffff:1.2.3.4/128",
                           "1:2:3:4:5:6:1.2.3.4/128",
                           "1:2:3:4:5:6:7:1.2.3.4/128",
                           "1.2.3.4::/64",
                           "::1.2.3/128",
                           "::1.2.3.4:5/128",
                           "12345::/16",
                           "g::/16",
                           "::/129",
                           "fe80::1%eth0/64",
                           "1:2:3:4::5:6:7:8/64",
                           "::00001/64",
                           "a:/16",
                           ":/0",
                           "1:2:3:4:5:6:7:8::/128"}) {
    ExpectAsReference(text);
  }
}

TEST(Text, PrefixesAreReadAsInetPtonReadsThem) {
  std::mt19937_64 random(7);
  const std::string letters = "0123456789abcdefABCDEF::::....//x";
  for (int round = 0; round < 40'000; ++round) {
    std::string text;
    char bytes[16];
    for (char& byte : bytes) byte = static_cast<char>(random() % 3 == 0 ? random() : 0);
    char buffer[64];
    const bool v6 = random() % 2 == 0;
    text = inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, buffer, sizeof(buffer));
    text += "/" + std::to_string(random() % (v6 ? 132 : 36));
    ExpectAsReference(text);
    for (int change = static_cast<int>(random() % 3); change >= 0; --change) {
      const std::size_t at = random() % text.size();
      const char letter = letters[random() % letters.size()];
      switch (random() % 3) {
        case 0:
          text[at] = letter;
          break;
        case 1:
          text.insert(at, 1, letter);
          break;
        default:
          if (text.size() > 1) text.erase(at, 1);
      }
    }
    ExpectAsReference(text);
  }
}

TEST(Text, AppendedAddressesAreThoseOfPrefix) {
  std::mt19937_64 random(8);
  for (int round = 0; round < 2'000; ++round) {
    std::string text;
    const auto v4 = static_cast<std::uint32_t>(random());
    AppendV4(text, v4);
    ASSERT_EQ(text, IpAddress::V4(v4).ToString());
    text.clear();
    char bytes[16];
    const std::uint64_t high = random() & random() & random();
    StoreBe(bytes, high);
    StoreBe(bytes + 8, std::uint64_t{0});
    AppendV6(text, high, 0);
    ASSERT_EQ(text, IpAddress::V6(bytes).ToString());
  }
}

TEST(Text, AsNumbers) {
  std::uint32_t as = 0;
  for (const auto& [text, want] :
       {std::pair{"AS64500", 64500U}, {"as1", 1U}, {"As0", 0U}, {"4294967295", 4294967295U}, {"0", 0U}}) {
    ASSERT_TRUE(ParseAs(text, as)) << text;
    EXPECT_EQ(as, want);
  }
  for (const char* text : {"", "AS", "A", "ASAS1", "4294967296", "99999999999", "-1", "+1", "1.10", "AS 1", "01",
                           "AS01", "64500 ", "0x10"}) {
    EXPECT_FALSE(ParseAs(text, as)) << text;
  }
}

TEST(Text, Base64InAnySpelling) {
  const std::string bytes = "\xfb\xff\xfe?";
  EXPECT_THAT(DecodeAnyBase64("+//+Pw=="), Optional(bytes));
  EXPECT_THAT(DecodeAnyBase64("+//+Pw"), Optional(bytes));
  EXPECT_THAT(DecodeAnyBase64("-__-Pw=="), Optional(bytes));
  EXPECT_THAT(DecodeAnyBase64("-__-Pw"), Optional(bytes));
  EXPECT_THAT(DecodeAnyBase64(""), Optional(std::string()));
  for (const char* text : {"-_/+Pw", "+//+Pw=", "+//+P", "+//+Px==", "a b=", "===="})
    EXPECT_FALSE(DecodeAnyBase64(text)) << text;
}

TEST(Text, KeyIdentifiers) {
  std::array<std::uint8_t, 20> want;
  want.fill(0xfb);
  EXPECT_THAT(ParseSki("fbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfb"), Optional(want));
  EXPECT_THAT(ParseSki("FBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFB"), Optional(want));
  EXPECT_THAT(ParseSki("-_v7-_v7-_v7-_v7-_v7-_v7-_s"), Optional(want));
  EXPECT_THAT(ParseSki("+/v7+/v7+/v7+/v7+/v7+/v7+/s="), Optional(want));
  for (const char* text : {"", "fb", "fbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfg", "-_v7-_v7-_v7-_v7-_v7-_v7-_v7"})
    EXPECT_FALSE(ParseSki(text)) << text;
}

TEST(Text, WhatIsShownIsCutBetweenCharacters) {
  EXPECT_EQ(Shown("abc", 3), "abc");
  EXPECT_EQ(Shown("abcd", 3), "abc...");
  const std::string text = "a\xc3\xa9\xf0\x9f\x98\x80";  // one, two and four bytes
  EXPECT_EQ(Shown(text, 7), text);
  for (const std::size_t most : {6U, 5U, 4U, 3U}) EXPECT_EQ(Shown(text, most), "a\xc3\xa9...") << most;
  EXPECT_EQ(Shown(text, 2), "a...");
}

TEST(Text, Times) {
  EXPECT_THAT(ParseTime("1970-01-01T00:00:00Z"), Optional(0));
  EXPECT_THAT(ParseTime("2026-11-22T11:06:52Z"), Optional(1'795'345'612));
  EXPECT_THAT(ParseTime("2024-02-29T23:59:59Z"), Optional(1'709'251'199));
  EXPECT_EQ(TimeText(1'795'345'612), "2026-11-22T11:06:52Z");
  EXPECT_EQ(TimeText(0), "1970-01-01T00:00:00Z");
  for (const char* text : {"", "2026-11-22T11:06:52", "2026-11-22 11:06:52Z", "2023-02-29T00:00:00Z",
                           "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-01T24:00:00Z",
                           "2026-01-01T00:60:00Z", "2026-01-01T00:00:00+01:00", "2026-1-01T00:00:00Z "}) {
    EXPECT_FALSE(ParseTime(text)) << text;
  }
}

}  // namespace
}  // namespace virp::vrp
