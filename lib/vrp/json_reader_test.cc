#include "lib/vrp/json_reader.h"

#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string>

#include "lib/vrp/json.h"
#include "tests/testutil/status_matchers.h"

namespace virp::vrp {
namespace {

using ::testing::HasSubstr;
using ::virp::testutil::IsOk;

bool IsJson(std::string_view text) {
  JsonReader reader(text);
  return reader.Skip() && reader.End();
}

TEST(JsonReader, SkipsWhatIsJsonAndNothingElse) {
  for (const char* text : {"0", "-0", "1.5", "1e5", "-1.5E-10", "1E+2", "true", "false", "null", "\"\"", "[]", "{}",
                           "[[],{}]", " [ 1 , 2 ] ", R"({"a":1,"b":[true,null],"a":{}})", R"("\u00e9\ud83d\ude00\n\/")",
                           "\"\xc3\xa9\"", "[\"\",\"\\\\\"]"}) {
    EXPECT_TRUE(IsJson(text)) << text;
  }
  for (const char* text : {"",
                           " ",
                           "01",
                           "-",
                           "1.",
                           ".5",
                           "1e",
                           "+1",
                           "tru",
                           "nul",
                           "\"",
                           "\"\\",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud83d\"",
                           "\"\\ude00\"",
                           "\"\\ud83d\\u0041\"",
                           "\"\n\"",
                           "[",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "{",
                           "{\"a\"",
                           "{\"a\":",
                           "{\"a\":1",
                           "{\"a\":1,}",
                           "{,}",
                           "{a:1}",
                           "{\"a\" 1}",
                           "{1:2}",
                           "[}",
                           "{]",
                           "[1]]",
                           "1 2",
                           "]",
                           ",",
                           "\"\xff\"",
                           "\"\xc0\xaf\"",
                           "\"\xed\xa0\x80\"",
                           "[1}",
                           "{\"a\":1]"}) {
    EXPECT_FALSE(IsJson(text)) << text;
  }
  EXPECT_FALSE(IsJson(std::string_view("[1]\0", 4)));
  EXPECT_FALSE(IsJson(std::string_view("\"\0\"", 3)));
}

TEST(JsonReader, NestsTo32AndNotDeeper) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_TRUE(IsJson(nested(32)));
  EXPECT_FALSE(IsJson(nested(33)));
  const std::string hostile(10'000'000, '[');
  JsonReader reader(hostile);
  EXPECT_FALSE(reader.Skip());
  EXPECT_THAT(std::string(Message(reader.status())),
              HasSubstr("at byte 32: arrays and objects are nested deeper than 32"));
}

TEST(JsonReader, StringsAreWhatAnotherReaderMakesOfThem) {
  std::mt19937_64 random(5);
  const std::vector<std::string> pieces = {"a",
                                           "0123456789abcdef",
                                           "\\n",
                                           "\\\"",
                                           "\\\\",
                                           "\\/",
                                           "\\u0041",
                                           "\\u00e9",
                                           "\\u20ac",
                                           "\\ud83d\\ude00",
                                           "\xc3\xa9",
                                           "\xe2\x82\xac",
                                           "\xf0\x9f\x98\x80",
                                           " ",
                                           "\x7f",
                                           "\\b\\f\\r\\t"};
  for (int round = 0; round < 3'000; ++round) {
    std::string text = "\"";
    for (auto n = random() % 12; n > 0; --n) text += pieces[random() % pieces.size()];
    text += "\"";
    JsonReader reader(text);
    std::string_view got;
    ASSERT_TRUE(reader.String(got)) << text;
    ASSERT_EQ(got, nlohmann::json::parse(text).get<std::string>()) << text;
    ASSERT_TRUE(reader.End());
  }
}

// Mutations of a document: nlohmann's parser is asked whether each is JSON.
TEST(JsonReader, AgreesWithAnotherReader) {
  std::mt19937_64 random(6);
  const std::string letters = "{}[]\",:0123456789-+.eEtruefalsn\\u \n";
  const std::string start = R"({"a":[1,-2.5e3,true,null,"x\u0041"],"b":{"c":{}},"d":[[],[{}]]})";
  int json = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::string text = start;
    for (auto change = random() % 3; change < 3; ++change) {
      const std::size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text[at] = letters[random() % letters.size()];
      } else {
        text.erase(at, 1 + random() % 3);
      }
      if (text.empty()) text = "1";
    }
    const bool is = nlohmann::json::accept(text);
    json += is ? 1 : 0;
    ASSERT_EQ(IsJson(text), is) << text;
  }
  EXPECT_GT(json, 1'000);
}

TEST(JsonReader, ReadsWhatIsAskedFor) {
  JsonReader reader(R"( { "a" : 18446744073709551615 , "b":12, "c": [ ], "d": 1.5, "e": "x" } )");
  std::string_view key;
  std::uint64_t number = 7;
  ASSERT_TRUE(reader.BeginObject());
  ASSERT_TRUE(reader.NextKey(key));
  EXPECT_FALSE(reader.Unsigned(number));  // more than 19 digits
  EXPECT_FALSE(reader.failed());
  ASSERT_TRUE(reader.NextKey(key) && reader.Unsigned(number));
  EXPECT_EQ(number, 12U);
  ASSERT_TRUE(reader.NextKey(key) && reader.BeginArray());
  EXPECT_FALSE(reader.NextElement());
  ASSERT_TRUE(reader.NextKey(key));
  EXPECT_EQ(key, "d");
  EXPECT_FALSE(reader.Unsigned(number));
  EXPECT_FALSE(reader.failed());
  ASSERT_TRUE(reader.NextKey(key));
  EXPECT_FALSE(reader.Unsigned(number));
  EXPECT_TRUE(reader.failed());
  EXPECT_FALSE(reader.NextKey(key) || reader.End() || reader.Skip() || reader.BeginArray());
  EXPECT_THAT(std::string(Message(reader.status())), HasSubstr("at byte 65"));
}

class OctetByOctet final : public TextInput {
 public:
  explicit OctetByOctet(std::string_view text) : left_(text) {}
  absl::StatusOr<std::size_t> Read(std::span<char> into) override {
    const std::string_view octet = left_.substr(0, 1);
    left_.remove_prefix(octet.copy(into.data(), octet.size()));
    return octet.size();
  }

 private:
  std::string_view left_;
};

// Else a list of some megabytes that comes in small pieces keeps a core busy for hours.
TEST(JsonReader, WhatComesInSmallPiecesIsNotReadAgainForEach) {
  const std::string text = "\"" + std::string(10'000, 'x') + "\"";
  OctetByOctet input(text);
  JsonReader reader(input, 32);
  std::string_view read;
  int times = 0;
  reader.Whole([&] {
    ++times;
    reader.String(read);
  });
  ASSERT_OK(reader.status());
  EXPECT_EQ(read.size(), 10'000U);
  EXPECT_LE(times, 20);
}

}  // namespace
}  // namespace virp::vrp
