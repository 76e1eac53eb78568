#include "lib/bgpsec/path.h"

#include <gtest/gtest.h>

#include "lib/bgpsec/rfc8608.h"
#include "tests/testutil/status_matchers.h"

namespace virp::bgpsec {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;
using namespace std::string_literals;

Path TwoHops() {
  const Signature signature{ToSki(std::string(kSkiSize, 's')), "signature"};
  return {{{1, 0, 65'536}, {1, 0, 64'496}}, {{kSuiteP256Sha256, {signature, signature}}}};
}

TEST(Path, TheExamplesDecodeAndEncodeToTheSameBytes) {
  for (const Example& example : Examples()) {
    ASSERT_OK_AND_ASSIGN(const Path path, Decode(example.attribute));
    ASSERT_EQ(path.segments.size(), 2U);
    EXPECT_EQ(path.segments[0], (PathSegment{1, 0, 65'536}));
    EXPECT_EQ(path.segments[1], (PathSegment{1, 0, 64'496}));
    ASSERT_EQ(path.blocks.size(), 1U);
    EXPECT_EQ(path.blocks[0].suite, kSuiteP256Sha256);
    ASSERT_OK_AND_ASSIGN(const std::string again, Encode(path));
    EXPECT_EQ(HexEncode(again), HexEncode(example.attribute));
    // The attribute stands in the UPDATE as printed.
    EXPECT_THAT(Unhex(example.json->at("bgp_update")), HasSubstr(example.attribute));
  }
}

TEST(Path, TheExamplesSignWhatTheRfcPrints) {
  for (const Example& example : Examples()) {
    ASSERT_OK_AND_ASSIGN(const Path path, Decode(example.attribute));
    ASSERT_OK(Check(example.nlri));
    const auto& hops = example.json->at("hops");
    const SignedData data(path, path.blocks[0], hops[0].at("target"), example.nlri);
    for (std::size_t i = 0; i < hops.size(); ++i)
      EXPECT_EQ(HexEncode(data.For(i)), HexEncode(Unhex(hops[i].at("to_be_hashed"))));
  }
}

TEST(Path, WhatIsCutOffOrHasMoreIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string whole, Encode(TwoHops()));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(Decode(std::string_view(whole).substr(0, size)).status(),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr("BGPsec_Path")))
        << size;
  }
  EXPECT_THAT(Decode(whole + '\0').status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("cut off")));
}

TEST(Path, LengthsThatDoNotAddUpAreRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string whole, Encode(TwoHops()));
  for (const std::size_t at : {0U, 14U}) {
    for (const int change : {-1, 1, -6, 6}) {
      std::string broken = whole;
      StoreBe(broken.data() + at, static_cast<std::uint16_t>(LoadBe<std::uint16_t>(broken.data() + at) + change));
      EXPECT_FALSE(Decode(broken).ok()) << at << ' ' << change;
    }
  }
}

TEST(Path, ShapesOutsideTheRfcAreRefusedBothWays) {
  const auto refuse = [](const Path& path, const char* why) {
    EXPECT_THAT(Encode(path).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr(why)));
  };
  refuse({}, "no path segment");
  Path path = TwoHops();
  path.blocks.clear();
  refuse(path, "0 Signature_Blocks");
  path = TwoHops();
  path.blocks.push_back(path.blocks[0]);
  refuse(path, "two Signature_Blocks of suite 1");
  path.blocks[1].suite = 2;
  ASSERT_OK_AND_ASSIGN(const std::string two, Encode(path));
  EXPECT_OK(Decode(two).status());
  path.blocks.push_back(path.blocks[0]);
  refuse(path, "3 Signature_Blocks");
  path = TwoHops();
  path.blocks[0].signatures.pop_back();
  refuse(path, "1 signatures for 2 path segments");
  path = TwoHops();
  path.blocks[0].signatures[1].value.clear();
  refuse(path, "empty signature");
  path = TwoHops();
  path.blocks[0].signatures[1].value.resize(65'530);
  refuse(path, "more than 65535 bytes");
}

TEST(Path, PrefixesAreOfTheirFamilyWholeAndClean) {
  EXPECT_OK(Check({1, 1, std::string("\x00", 1)}));
  EXPECT_OK(Check({1, 1, "\x19\xc0\x00\x02\x80"s}));
  EXPECT_OK(Check({2, 1, "\x80" + std::string(16, '\xff')}));
  EXPECT_THAT(Check({1, 1, ""}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Check({1, 1, "\x21" + std::string(5, 'x')}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("33 bits")));
  EXPECT_THAT(Check({1, 1, "\x18\xc0\x00"s}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("24 bits in 2 bytes")));
  EXPECT_THAT(Check({1, 1, "\x19\xc0\x00\x02\xc0"s}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("not zero")));
  EXPECT_THAT(Check({1, 2, "\x18\xc0\x00\x02"s}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("SAFI 2")));
  EXPECT_THAT(Check({25, 1, "\x18\xc0\x00\x02"s}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("AFI 25")));
}

}  // namespace
}  // namespace virp::bgpsec
