#include "lib/base/bytes.h"

#include <gtest/gtest.h>

#include "lib/base/names.h"

namespace virp {
namespace {

using namespace std::string_literals;

TEST(BytesTest, IntegersKeepTheirByteOrder) {
  char at[8];
  StoreBe<std::uint32_t>(at, 0x56495250);
  EXPECT_EQ(std::string_view(at, 4), "VIRP");
  EXPECT_EQ(LoadBe<std::uint32_t>(at), 0x56495250U);
  EXPECT_EQ(LoadLe<std::uint32_t>(at), 0x50524956U);
  StoreLe<std::uint64_t>(at, 0x0102030405060708);
  EXPECT_EQ(LoadLe<std::uint64_t>(at), 0x0102030405060708U);
  EXPECT_EQ(at[0], 8);
}

TEST(BytesTest, HexRoundTripsAndRefusesWhatIsNotHex) {
  EXPECT_EQ(HexEncode("\x00\xff\x1a"s), "00ff1a");
  EXPECT_EQ(*HexDecode("00fF1a"), "\x00\xff\x1a"s);
  EXPECT_FALSE(HexDecode("0").ok());
  EXPECT_FALSE(HexDecode("0g").ok());
}

TEST(BytesTest, Base64IsStrict) {
  for (const auto& [bytes, text] : std::initializer_list<std::pair<std::string, std::string>>{
           {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff"s, "+/8="}}) {
    EXPECT_EQ(Base64Encode(bytes), text);
    EXPECT_EQ(*Base64Decode(text), bytes);
  }
  for (const char* bad : {"Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n", "Zm-v", "Zg==Zg=="}) {
    EXPECT_FALSE(Base64Decode(bad).ok()) << bad;
  }
}

TEST(NamesTest, SourceNamesAndOrigins) {
  EXPECT_TRUE(CheckSourceName("edge-a.bgpd_1").ok());
  EXPECT_TRUE(CheckSourceName(std::string(128, 'a')).ok());
  for (const std::string& bad : {""s, "-a"s, "A"s, "a b"s, "a/b"s, "a\0"s, std::string(129, 'a')}) {
    EXPECT_FALSE(CheckSourceName(bad).ok()) << bad;
  }
  EXPECT_TRUE(CheckOrigin("virp.example.net/site1").ok());
  for (const char* bad : {"", "/", "a/", "/a", "a//b", "a b", "a+b"}) EXPECT_FALSE(CheckOrigin(bad).ok()) << bad;
}

}  // namespace
}  // namespace virp
