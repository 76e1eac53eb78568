#include "lib/base/ip.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "lib/base/hash_map.h"
#include "lib/base/status.h"

namespace virp {
namespace {

IpAddress A(std::string_view text) {
  return IpAddress::Parse(text).value();
}
Prefix P(std::string_view text) {
  return Prefix::Parse(text).value();
}

TEST(IpAddress, PrintsRfc5952) {
  const std::pair<const char*, const char*> cases[] = {
      {"192.0.2.1", "192.0.2.1"},
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"0:0:0:0:0:0:0:0", "::"},
      {"2001:0DB8:0:0:0:0:0:1", "2001:db8::1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},  // 4.2.2: one group is not shortened
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},           // 4.2.3: the longest run
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},     // 4.2.3: the first of equals
      {"2001:db8::aaaa:0:0:1", "2001:db8::aaaa:0:0:1"},
      {"0:0:1:0:0:0:0:0", "0:0:1::"},
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
      {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
      {"2001:db8:0:2::1", "2001:db8:0:2::1"},
      {"::ffff:c000:201", "::ffff:192.0.2.1"},
      {"::FFFF:192.0.2.1", "::ffff:192.0.2.1"},
      {"::192.0.2.1", "::c000:201"},
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201"},
  };
  for (const auto& [in, out] : cases) {
    const auto address = IpAddress::Parse(in);
    ASSERT_TRUE(address.ok()) << in;
    EXPECT_EQ(address->ToString(), out);
    EXPECT_EQ(IpAddress::ParseCanonical(in).ok(), std::string_view(in) == out) << in;
    EXPECT_EQ(IpAddress::ParseCanonical(out).value(), *address);
  }
}

TEST(IpAddress, RefusesWhatIsNoAddress) {
  for (const char* bad : {"",
                          " ",
                          "1",
                          "1.2.3",
                          "1.2.3.",
                          ".1.2.3",
                          "1.2.3.4.5",
                          "256.0.0.1",
                          "1.2.3.1000",
                          "01.2.3.4",
                          "1.2.3.04",
                          "1.2.3.-4",
                          "1.2.3.+4",
                          "1.2.3.4 ",
                          " 1.2.3.4",
                          "1.2.3.4/32",
                          "0x1.2.3.4",
                          "1..2.3",
                          ":",
                          ":::",
                          "::1::",
                          "1:2:3:4:5:6:7",
                          "1:2:3:4:5:6:7:8:9",
                          "1:2:3:4:5:6:7:8::",
                          "::1:2:3:4:5:6:7:8",
                          "12345::",
                          "g::",
                          "-1::",
                          "+1::",
                          "1:::2",
                          "fe80::1%eth0",
                          "[::1]",
                          "::1.2.3",
                          "::1.2.3.4:5",
                          "1.2.3.4::",
                          "1:2:3:4:5:6:7:1.2.3.4",
                          "::1.2.3.256",
                          ":1:2:3:4:5:6:7",
                          "1:2:3:4:5:6:7:",
                          "2001:db8::1 ",
                          "::0x1"}) {
    EXPECT_FALSE(IpAddress::Parse(bad).ok()) << bad;
  }
  EXPECT_FALSE(IpAddress::Parse(std::string_view("1.2.3.4\0", 8)).ok());
  const auto error = IpAddress::Parse(std::string(5000, 'x')).status();
  EXPECT_LT(Message(error).size(), 200u);
}

TEST(IpAddress, AgreesWithTheLibraryOnRandomAddresses) {
  std::mt19937_64 random(5952);
  for (int round = 0; round < 20000; ++round) {
    std::array<std::uint8_t, 16> bytes{};
    for (int i = 0; i < 16; i += 2) {  // many zero groups, few zero bytes
      if (random() % 2 == 0) continue;
      bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(random() % 3 == 0 ? 0 : random());
      bytes[static_cast<std::size_t>(i) + 1] = static_cast<std::uint8_t>(random());
    }
    const auto address = IpAddress::V6(bytes.data());
    const std::string text = address.ToString();
    EXPECT_EQ(A(text), address);
    std::array<std::uint8_t, 16> parsed{};
    ASSERT_EQ(inet_pton(AF_INET6, text.c_str(), parsed.data()), 1) << text;
    EXPECT_EQ(parsed, bytes) << text;
    char printed[INET6_ADDRSTRLEN];
    ASSERT_NE(inet_ntop(AF_INET6, bytes.data(), printed, sizeof(printed)), nullptr);
    // The library also prints ::a.b.c.d, and we never do.
    if (std::string_view(printed).find('.') == std::string_view::npos) {
      EXPECT_EQ(text, printed);
    }
  }
}

TEST(IpAddress, BytesComeAndGo) {
  EXPECT_EQ(IpAddress::V4(0xc0000201u), A("192.0.2.1"));
  EXPECT_EQ(IpAddress::FromBytes(std::string_view("\xc0\x00\x02\x01", 4)).value(), A("192.0.2.1"));
  EXPECT_EQ(IpAddress::FromBytes(A("2001:db8::1").bytes()).value(), A("2001:db8::1"));
  EXPECT_EQ(A("192.0.2.1").bytes(), std::string_view("\xc0\x00\x02\x01", 4));
  EXPECT_EQ(A("::").bytes().size(), 16u);
  EXPECT_FALSE(IpAddress::FromBytes("abcde").ok());
  EXPECT_FALSE(IpAddress::FromBytes("").ok());
}

TEST(IpAddress, KnowsSpecialBlocks) {
  EXPECT_TRUE(IpAddress().is_unspecified());
  EXPECT_TRUE(A("::").is_unspecified());
  EXPECT_FALSE(A("::1").is_unspecified());
  EXPECT_EQ(A("::ffff:192.0.2.1").Unmapped(), A("192.0.2.1"));
  EXPECT_EQ(A("::fffe:192.0.2.1").Unmapped(), A("::fffe:192.0.2.1"));
  EXPECT_NE(A("::ffff:192.0.2.1"), A("192.0.2.1"));
  EXPECT_NE(A("0.0.0.0"), A("::"));
}

TEST(IpAddress, SortsByFamilyThenValue) {
  std::vector<IpAddress> list = {A("::"),          A("10.0.0.2"),        A("9.255.255.255"),
                                 A("2001:db8::1"), A("255.255.255.255"), A("::1")};
  std::sort(list.begin(), list.end());
  EXPECT_EQ(list, (std::vector<IpAddress>{A("9.255.255.255"), A("10.0.0.2"), A("255.255.255.255"), A("::"), A("::1"),
                                          A("2001:db8::1")}));
}

TEST(Prefix, TextBothWays) {
  for (const char* text :
       {"0.0.0.0/0", "203.0.113.0/28", "192.0.2.1/32", "::/0", "2001:db8:1::/48", "2001:db8::1/128", "128.0.0.0/1"}) {
    const auto prefix = Prefix::ParseCanonical(text);
    ASSERT_TRUE(prefix.ok()) << text;
    EXPECT_EQ(prefix->ToString(), text);
  }
  EXPECT_EQ(P("2001:DB8:0::/48").ToString(), "2001:db8::/48");
  EXPECT_FALSE(Prefix::ParseCanonical("2001:DB8:0::/48").ok());
}

TEST(Prefix, RefusesWhatIsNoPrefix) {
  for (const char* bad :
       {"", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/-1", "10.0.0.0/8 ",
        "10.0.0.0/8/8", "10.0.0.1/8", "10/8", "::/129", "2001:db8::1/64", "::/1000", "::/a", "/8"}) {
    EXPECT_FALSE(Prefix::Parse(bad).ok()) << bad;
  }
  EXPECT_NE(Message(Prefix::Parse("10.1.2.3/8").status()).find("10.0.0.0/8"), std::string_view::npos);
}

TEST(Prefix, MakeMasksEveryLength) {
  for (int length = 0; length <= 32; ++length) {
    const std::uint32_t mask = length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
    EXPECT_EQ(Prefix::Make(A("255.255.255.255"), length)->address(), IpAddress::V4(mask)) << length;
  }
  const auto ones = A("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  EXPECT_EQ(Prefix::Make(ones, 65)->ToString(), "ffff:ffff:ffff:ffff:8000::/65");
  EXPECT_EQ(Prefix::Make(ones, 128)->address(), ones);
  EXPECT_EQ(Prefix::Make(ones, 0)->ToString(), "::/0");
  EXPECT_FALSE(Prefix::Make(A("10.0.0.0"), 33).ok());
  EXPECT_FALSE(Prefix::Make(A("10.0.0.0"), -1).ok());
  EXPECT_FALSE(Prefix::Make(ones, 129).ok());
}

TEST(Prefix, Contains) {
  EXPECT_TRUE(P("203.0.113.0/24").Contains(A("203.0.113.255")));
  EXPECT_FALSE(P("203.0.113.0/24").Contains(A("203.0.114.0")));
  EXPECT_FALSE(P("0.0.0.0/0").Contains(A("::")));
  EXPECT_TRUE(P("::/0").Contains(A("2001:db8::1")));
  EXPECT_TRUE(P("203.0.113.0/24").Contains(P("203.0.113.0/24")));
  EXPECT_TRUE(P("203.0.113.0/24").Contains(P("203.0.113.16/28")));
  EXPECT_FALSE(P("203.0.113.16/28").Contains(P("203.0.113.0/24")));
}

TEST(Prefix, SortsAndHashes) {
  EXPECT_LT(P("10.0.0.0/8"), P("10.0.0.0/9"));
  EXPECT_LT(P("10.0.0.0/9"), P("11.0.0.0/8"));
  EXPECT_LT(P("255.0.0.0/8"), P("::/0"));
  absl::flat_hash_set<Prefix> set = {P("10.0.0.0/8"), P("10.0.0.0/9"), P("::/0"), P("0.0.0.0/0"), P("10.0.0.0/8")};
  EXPECT_EQ(set.size(), 4u);
  absl::flat_hash_set<IpAddress> addresses = {A("::"), A("0.0.0.0"), A("::")};
  EXPECT_EQ(addresses.size(), 2u);
}

}  // namespace
}  // namespace virp
