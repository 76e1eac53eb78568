#include "lib/crypto/der.h"

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "tests/testutil/status_matchers.h"

namespace virp::der {
namespace {

using testing::HasSubstr;
using testutil::IsOkAndHolds;
using testutil::StatusIs;

std::string Hex(std::string_view hex) {
  return *HexDecode(hex);
}

Reader Of(std::string_view bytes) {
  return {bytes, "test"};
}

TEST(Der, LengthsAreShortest) {
  EXPECT_EQ(HexEncode(Tlv(kOctetString, std::string(127, 'x')).substr(0, 2)), "047f");
  EXPECT_EQ(HexEncode(Tlv(kOctetString, std::string(128, 'x')).substr(0, 3)), "048180");
  EXPECT_EQ(HexEncode(Tlv(kOctetString, std::string(256, 'x')).substr(0, 4)), "04820100");
  EXPECT_EQ(HexEncode(Header(kSequence, 0x01020304)), "308401020304");
  for (const std::size_t size : {0u, 1u, 127u, 128u, 255u, 256u, 65535u, 65536u}) {
    const std::string bytes = Tlv(kOctetString, std::string(size, 'y'));
    auto reader = Of(bytes);
    ASSERT_OK_AND_ASSIGN(const Element element, reader.Take(kOctetString));
    EXPECT_EQ(element.content.size(), size);
    EXPECT_EQ(element.whole, bytes);
    EXPECT_OK(reader.End());
  }
}

TEST(Der, RefusesWhatIsNotDer) {
  for (const auto& [hex, why] : {std::pair{"", "ends"},
                                 {"30", "ends"},
                                 {"3080", "indefinite"},
                                 {"308101", "shortest"},
                                 {"30810100", "shortest"},
                                 {"3082007f", "shortest"},
                                 {"308180", "beyond"},
                                 {"308301", "beyond"},
                                 {"30820100", "beyond the end"},
                                 {"3085000000000100", "beyond"},
                                 {"3084ffffffff00", "beyond the end"},
                                 {"1f8100", "one byte"},
                                 {"0402aa", "beyond the end"}}) {
    const std::string bytes = Hex(hex);
    EXPECT_THAT(Of(bytes).Any(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why))) << hex;
  }
}

TEST(Der, IntegersAreUnsignedAndShortest) {
  for (const auto& [value, hex] : {std::pair{0ULL, "020100"},
                                   {127ULL, "02017f"},
                                   {128ULL, "02020080"},
                                   {64496ULL, "020300fbf0"},
                                   {UINT64_MAX, "020900ffffffffffffffff"}}) {
    const std::string bytes = Integer(value);
    EXPECT_EQ(HexEncode(bytes), hex);
    EXPECT_THAT(Of(bytes).Number(), IsOkAndHolds(value));
  }
  for (const char* hex : {"0200", "0201ff", "0202007f", "020a01000000000000000000"}) {
    const std::string bytes = Hex(hex);
    EXPECT_THAT(Of(bytes).Number(), StatusIs(absl::StatusCode::kInvalidArgument)) << hex;
  }
}

TEST(Der, BooleansAndBits) {
  for (const char* hex : {"010101", "0100", "0102ffff"}) {
    const std::string bytes = Hex(hex);
    EXPECT_THAT(Of(bytes).Boolean(), StatusIs(absl::StatusCode::kInvalidArgument)) << hex;
  }
  EXPECT_EQ(HexEncode(NamedBits({0})), "03020780");
  EXPECT_EQ(HexEncode(NamedBits({5, 6})), "03020106");
  EXPECT_EQ(HexEncode(NamedBits({8})), "0303070080");
  const std::string partial = NamedBits({0});
  EXPECT_THAT(Of(partial).BitStringBytes(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Der, Times) {
  const Time last = std::chrono::sys_days(std::chrono::year(2049) / 12 / 31) + std::chrono::seconds(86399);
  EXPECT_EQ(CertificateTime(last), Tlv(kUtcTime, "491231235959Z"));
  EXPECT_EQ(CertificateTime(last + std::chrono::seconds(1)), Tlv(kGeneralizedTime, "20500101000000Z"));
  EXPECT_EQ(TimeText(last), "2049-12-31T23:59:59Z");
  for (const Time time : {last, last + std::chrono::seconds(1), Time(), Time(std::chrono::seconds(951782400))}) {
    const std::string bytes = CertificateTime(time);
    EXPECT_THAT(Of(bytes).TimeValue(), IsOkAndHolds(time));
  }
  for (const char* text : {"230229000000Z", "2301010000Z", "230101000000+0000", "231301000000Z", "230101240000Z",
                           "230101006000Z", "23010100000aZ", "", "Z"}) {
    const std::string bytes = Tlv(kUtcTime, text);
    EXPECT_THAT(Of(bytes).TimeValue(), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
  const std::string fraction = Tlv(kGeneralizedTime, "20230101000000.5Z");
  EXPECT_THAT(Of(fraction).TimeValue(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Der, ObjectIdentifiersAsText) {
  EXPECT_EQ(OidText(Hex("2b0601050507031e")), "1.3.6.1.5.5.7.3.30");
  EXPECT_EQ(OidText(Hex("60864801650201024e05")), "2.16.840.1.101.2.1.2.78.5");
  EXPECT_EQ(OidText(""), "?");
  EXPECT_EQ(OidText(Hex("2b86")), "?");
  EXPECT_EQ(OidText(std::string(12, '\xff') + '\x01'), "?");
}

}  // namespace
}  // namespace virp::der
