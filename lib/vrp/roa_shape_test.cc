#include "lib/vrp/roa_shape.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "lib/vrp/json.h"
#include "lib/vrp/set.h"

namespace virp::vrp {
namespace {

// The shape of a record whose values, in this order, are written like this.
RoaShape ShapeOf(std::string_view record, std::initializer_list<std::pair<RoaShape::Value, std::string_view>> values) {
  RoaShape shape;
  shape.Begin(record.data());
  for (const auto& [value, written] : values) shape.Take(value, record.substr(record.find(written), written.size()));
  shape.End(record.data() + record.size());
  return shape;
}

bool Has(const RoaShape& shape, std::string_view text, RoaRecord& out) {
  out = {};
  const char* const end = text.data() + text.size();
  const char* const behind = shape.Read(text.data(), end, out);
  EXPECT_TRUE(behind == nullptr || (*(behind - 1) == '}' && behind <= end)) << text;
  return behind != nullptr;
}

using enum RoaShape::Value;

TEST(RoaShape, ReadsTheValuesOfTheNextRecord) {
  const std::string first = R"({ "asn": 1, "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "expires": 5 })";
  const RoaShape shape =
      ShapeOf(first, {{kAs, "1"}, {kPrefix, "\"10.0.0.0/8\""}, {kMaxLength, "9"}, {kOther, "\"x\""}, {kExpires, "5"}});
  RoaRecord roa;
  ASSERT_TRUE(Has(shape, first, roa));
  ASSERT_TRUE(Has(
      shape, R"({ "asn": 4294967295, "prefix": "2001:db8::/32", "maxLength": 128, "ta": "", "expires": 0 },)", roa));
  EXPECT_EQ(roa.as, 4'294'967'295U);
  EXPECT_TRUE(roa.prefix.v6);
  EXPECT_EQ(roa.prefix.high, 0x20010db800000000U);
  EXPECT_EQ(roa.prefix.length, 32);
  EXPECT_EQ(roa.max_length, 128U);
  EXPECT_EQ(roa.expires, 1U);
  // Any other one is for the reader: one that is wrong, and one that is not.
  for (const char* other :
       {R"({ "asn": 01, "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "expires": 5 })",
        R"({ "asn": 4294967296, "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "expires": 5 })",
        R"({ "asn": -1, "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "expires": 5 })",
        R"({ "asn": 1.0, "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "expires": 5 })",
        R"({ "asn": 1e1, "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "expires": 5 })",
        R"({ "asn": , "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "expires": 5 })",
        R"({ "asn": "AS1", "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "expires": 5 })",
        R"({ "asn": 1, "prefix": "10.0.0.0/8 ", "maxLength": 9, "ta": "x", "expires": 5 })",
        R"({ "asn": 1, "prefix": "10.0.0.0/33", "maxLength": 9, "ta": "x", "expires": 5 })",
        R"({ "asn": 1, "prefix": "10.0.0.0/080", "maxLength": 9, "ta": "x", "expires": 5 })",
        R"({ "asn": 1, "prefix": "10.0.0.0/8", "maxLength": 256, "ta": "x", "expires": 5 })",
        R"({ "asn": 1, "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "\\", "expires": 5 })",
        "{ \"asn\": 1, \"prefix\": \"10.0.0.0/8\", \"maxLength\": 9, \"ta\": \"\t\", \"expires\": 5 }",
        R"({ "asn": 1, "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "expires": 5, "x": 1 })",
        R"({ "asn": 1, "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "Expires": 5 })",
        R"({ "asn":1, "prefix": "10.0.0.0/8", "maxLength": 9, "ta": "x", "expires": 5 })", R"({ "asn": 1)", "{", ""})
    EXPECT_FALSE(Has(shape, other, roa)) << other;
}

TEST(RoaShape, KnowsAsNumbersAsText) {
  const RoaShape shape =
      ShapeOf(R"({"asn":"AS1","prefix":"10.0.0.0/8"})", {{kAs, "\"AS1\""}, {kPrefix, "\"10.0.0.0/8\""}});
  RoaRecord roa;
  for (const char* text : {R"({"asn":"AS64500","prefix":"10.0.0.0/8"})", R"({"asn":"64500","prefix":"10.0.0.0/8"})"}) {
    ASSERT_TRUE(Has(shape, text, roa)) << text;
    EXPECT_EQ(roa.as, 64'500U);
    EXPECT_EQ(roa.max_length, UINT64_MAX);
    EXPECT_EQ(roa.expires, kNeverExpires);
  }
  EXPECT_FALSE(Has(shape, R"({"asn":"AS","prefix":"10.0.0.0/8"})", roa));
}

TEST(RoaShape, ARecordWithAnotherKindOfValueHasNone) {
  RoaRecord roa;
  for (const char* value : {"{}", "[1]", "null", "1.5", "\"\\n\"", "-1"}) {
    const std::string text = std::string(R"({"asn":1,"prefix":"10.0.0.0/8","x":)") + value + "}";
    const RoaShape shape = ShapeOf(text, {{kAs, "1"}, {kPrefix, "\"10.0.0.0/8\""}, {kOther, value}});
    EXPECT_FALSE(Has(shape, text, roa)) << text;
  }
  const RoaShape unfinished;
  EXPECT_FALSE(Has(unfinished, "", roa));
}

// A table whose records are damaged here and there is read as it is when no record has the shape of the one before.
TEST(RoaShape, ChangesNothingOfWhatADocumentSays) {
  std::mt19937 random(1);
  const auto upto = [&](std::size_t most) { return static_cast<unsigned>(random() % most); };
  constexpr std::string_view kBytes = "{}[]\",:0123456789.eE-/ \\aASx";
  for (int round = 0; round < 3'000; ++round) {
    std::string alike, apart;
    for (unsigned i = 0, records = 2 + upto(4); i < records; ++i) {
      std::string record = fmt::format(R"({{"asn":{},"prefix":"10.{}.0.0/16","maxLength":{},"ta":"a"}})", upto(9),
                                       upto(256), 16 + upto(17));
      if (upto(3) == 0) record[upto(record.size())] = kBytes[upto(kBytes.size())];
      if (i > 0) {
        alike += ',';
        // Of another shape than what is around it, and left out: it has no value that counts.
        apart += R"(,{"x":1,"asn":"AS"},)";
      }
      alike += record;
      apart += record;
    }
    const JsonOptions lenient{.skip_bad_records = true};
    const auto one = DecodeJson(R"({"roas":[)" + alike + "]}", lenient);
    const auto other = DecodeJson(R"({"roas":[)" + apart + "]}", lenient);
    ASSERT_EQ(one.ok(), other.ok()) << alike;
    if (one.ok()) ASSERT_EQ(HashOf(one->payloads), HashOf(other->payloads)) << alike;
  }
}

}  // namespace
}  // namespace virp::vrp
