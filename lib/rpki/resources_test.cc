#include "lib/rpki/resources.h"

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/crypto/der.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rpki {
namespace {

using testutil::StatusIs;

IpResources Blocks(const std::vector<std::string>& texts) {
  std::vector<Prefix> out;
  for (const std::string& text : texts) out.push_back(*Prefix::Parse(text));
  return IpResources::Of(std::move(out));
}

TEST(AsResources, EncodesAsOpenSslDoes) {
  EXPECT_EQ(HexEncode(AsResources::Single(64496).Encode()), "3009a0073005020300fbf0");
  const AsResources two = AsResources::Of({{65540, 65551}, {64496, 64496}, {65536, 65541}});
  EXPECT_EQ(HexEncode(two.Encode()), "3015a0133011020300fbf0300a0203010000020301000f");
  EXPECT_EQ(HexEncode(AsResources::Inherit().Encode()), "3004a0020500");
  for (const AsResources& one : {two, AsResources::Inherit(), AsResources::Of({{0, UINT32_MAX}})}) {
    ASSERT_OK_AND_ASSIGN(const auto back, AsResources::Decode(one.Encode()));
    EXPECT_EQ(back.numbers.ranges(), one.ranges());
    EXPECT_EQ(back.numbers.inherit(), one.inherit());
    EXPECT_FALSE(back.has_rdi);
  }
}

TEST(AsResources, JoinsAndContains) {
  ASSERT_OK_AND_ASSIGN(const AsResources held, AsResources::Parse({"10-20", "21", "40-50", "4294967295"}));
  EXPECT_EQ(held.ranges(), (std::vector<AsRange>{{10, 21}, {40, 50}, {4294967295, 4294967295}}));
  for (const std::uint32_t in : {10u, 21u, 40u, 50u, 4294967295u}) EXPECT_TRUE(held.Contains(in)) << in;
  for (const std::uint32_t out : {0u, 9u, 22u, 39u, 51u, 4294967294u}) EXPECT_FALSE(held.Contains(out)) << out;
  EXPECT_TRUE(held.Contains(AsResources::Of({{11, 12}, {40, 50}})));
  EXPECT_FALSE(held.Contains(AsResources::Of({{11, 22}})));
  EXPECT_FALSE(held.Contains(AsResources::Inherit()));
  for (const char* wrong : {"", "-", "1-", "-1", "2-1", "4294967296", "1 ", "x"}) {
    EXPECT_THAT(AsResources::Parse({wrong}), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong;
  }
}

TEST(AsResources, RefusesWhatIsNotCanonical) {
  const auto list = [](std::initializer_list<std::string_view> elements) {
    return der::Sequence({der::Tlv(der::ContextConstructed(0), der::Sequence(elements))});
  };
  const std::string one = der::Integer(1), two = der::Integer(2), three = der::Integer(3);
  EXPECT_OK(AsResources::Decode(list({one, three})));
  EXPECT_FALSE(AsResources::Decode(list({one, two})).ok()) << "adjacent";
  EXPECT_FALSE(AsResources::Decode(list({three, one})).ok()) << "order";
  EXPECT_FALSE(AsResources::Decode(list({one, one})).ok()) << "twice";
  EXPECT_FALSE(AsResources::Decode(list({der::Sequence({two, two})})).ok()) << "range of one";
  EXPECT_FALSE(AsResources::Decode(list({der::Sequence({three, one})})).ok()) << "backwards";
  EXPECT_FALSE(AsResources::Decode(list({der::Integer(1ULL << 32)})).ok()) << "33 bits";
  EXPECT_FALSE(AsResources::Decode("").ok());
}

TEST(IpResources, EncodesCanonically) {
  // RFC 3779 section 2.2.3: prefixes where the block is one, else ranges, all joined.
  EXPECT_EQ(HexEncode(Blocks({"10.0.0.0/8"}).Encode()), "300c300a0402000130040302000a");
  EXPECT_EQ(HexEncode(Blocks({"0.0.0.0/0", "::/0"}).Encode()), "301630090402000130030301003009040200023003030100");
  EXPECT_EQ(Blocks({"10.0.0.0/24", "10.0.1.0/24"}).Encode(), Blocks({"10.0.0.0/23"}).Encode());
  EXPECT_EQ(Blocks({"10.0.0.0/8", "10.1.0.0/16"}).Encode(), Blocks({"10.0.0.0/8"}).Encode());
  // 10.0.1.0 to 10.0.2.255 is no prefix: the RFC's form drops the zeros of the first and the ones of the last.
  EXPECT_EQ(HexEncode(Blocks({"10.0.1.0/24", "10.0.2.0/24"}).Encode()),
            "3016301404020001300e300c0304000a00010304000a0002");
  EXPECT_EQ(HexEncode(IpResources::Inherit().Encode()), "301030060402000105003006040200020500");
}

}  // namespace
}  // namespace virp::rpki
