#include "lib/frame/payload.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "lib/frame/frame.h"
#include "lib/frame/test_vectors.h"

namespace virp::frame {
namespace {

bool Accepts(std::string_view json) {
  PayloadReader reader;
  const auto value = reader.Read(json);
  if (!value.ok()) {
    EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument);
  }
  return value.ok();
}

// The message of the refusal; empty when it was accepted.
std::string Refusal(std::string_view json) {
  PayloadReader reader;
  return std::string(Message(reader.Read(json).status()));
}

TEST(Payload, ReadsEveryKindOfValue) {
  PayloadReader reader;
  const Value root = reader
                         .Read(R"({"null":null,"yes":true,"no":false,"int":-7,"big":18446744073709551615,"pi":3.25,
      "text":"a\"b\u00e9","array":[1,"two",[3]],"object":{"x":1},"":"empty key"})")
                         .value();
  EXPECT_EQ(root.kind(), Value::Kind::kObject);
  EXPECT_EQ(root.size(), 10U);
  EXPECT_EQ(root["null"].kind(), Value::Kind::kNull);
  EXPECT_EQ(root["yes"].AsBool(), true);
  EXPECT_EQ(root["no"].AsBool(), false);
  EXPECT_EQ(root["int"].AsInteger(), -7);
  EXPECT_EQ(root["int"].AsUnsigned(), std::nullopt);
  EXPECT_EQ(root["int"].AsDouble(), -7.0);
  EXPECT_EQ(root["big"].kind(), Value::Kind::kUnsigned);
  EXPECT_EQ(root["big"].AsUnsigned(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(root["big"].AsInteger(), std::nullopt);
  EXPECT_EQ(root["big"].AsDouble(), 18446744073709551615.0);
  EXPECT_EQ(root["pi"].AsDouble(), 3.25);
  EXPECT_EQ(root["pi"].AsInteger(), std::nullopt);
  EXPECT_EQ(root["text"].AsString(), "a\"bé");
  EXPECT_EQ(root["array"].size(), 3U);
  EXPECT_EQ(root["array"].at(1).AsString(), "two");
  EXPECT_EQ(root["array"].at(2).at(0).AsUnsigned(), 3U);
  EXPECT_FALSE(root["array"].at(3).present());
  EXPECT_EQ(root["object"]["x"].AsUnsigned(), 1U);
  EXPECT_EQ(root[""].AsString(), "empty key");
}

TEST(Payload, AbsentValuesAnswerNothing) {
  PayloadReader reader;
  const Value root = reader.Read(R"({"a":1})").value();
  for (const Value value : {Value(), root["b"], root["a"]["x"], root["a"].at(0), root.at(0)}) {
    EXPECT_FALSE(value.present());
    EXPECT_EQ(value.kind(), Value::Kind::kAbsent);
    EXPECT_EQ(value.AsBool(), std::nullopt);
    EXPECT_EQ(value.AsUnsigned(), std::nullopt);
    EXPECT_EQ(value.AsInteger(), std::nullopt);
    EXPECT_EQ(value.AsDouble(), std::nullopt);
    EXPECT_EQ(value.AsString(), std::nullopt);
    EXPECT_EQ(value.size(), 0U);
    EXPECT_EQ(value.members().begin(), value.members().end());
  }
  EXPECT_EQ(root["a"].AsBool(), std::nullopt);
  EXPECT_EQ(root["a"].AsString(), std::nullopt);
  EXPECT_EQ(root["a"].members().begin(), root["a"].members().end());
}

TEST(Payload, Paths) {
  PayloadReader reader;
  const Value root =
      reader.Read(R"({"new":{"as_path":[64500,64501]},"sources":[{"connected":true},{"connected":false}],"a.b":1})")
          .value();
  EXPECT_EQ(root.Path("new.as_path.1").AsUnsigned(), 64501U);
  EXPECT_EQ(root.Path("sources.0.connected").AsBool(), true);
  EXPECT_EQ(root.Path("sources.1.connected").AsBool(), false);
  EXPECT_EQ(root.Path("new").kind(), Value::Kind::kObject);
  for (const char* missing :
       {"", ".", "old", "new.", "new.as_path.2", "new.as_path.x", "new.as_path.-1", "new.as_path.1x", "new.as_path.",
        "new.as_path.99999999999999999999", "a.b", "new.as_path.0.0"}) {
    EXPECT_FALSE(root.Path(missing).present()) << missing;
  }
}

TEST(Payload, MembersComeInOrder) {
  PayloadReader reader;
  const Value root = reader.Read(R"({"z":[1,2,3],"a":{"n":1},"m":1.5,"e":[]})").value();
  std::string order;
  for (const auto& [key, value] : root.members()) order += key;
  EXPECT_EQ(order, "zame");
  std::uint64_t sum = 0;
  for (const auto& [key, value] : root["z"].members()) {
    EXPECT_EQ(key, "");
    sum = sum * 10 + value.AsUnsigned().value();
  }
  EXPECT_EQ(sum, 123U);
  EXPECT_EQ(root["e"].members().begin(), root["e"].members().end());
}

TEST(Payload, OneObjectOnly) {
  EXPECT_TRUE(Accepts("{}"));
  EXPECT_TRUE(Accepts(" \t\r\n{ } \n"));
  for (const char* bad : {"",
                          " ",
                          "[]",
                          "1",
                          "\"x\"",
                          "null",
                          "true",
                          "{}{}",
                          "{},",
                          "{} x",
                          "{",
                          "}",
                          "{\"a\"}",
                          "{\"a\":}",
                          "{\"a\":1,}",
                          "{a:1}",
                          "{'a':1}",
                          "{\"a\":1 \"b\":2}",
                          "{\"a\":01}",
                          "{\"a\":+1}",
                          "{\"a\":.5}",
                          "{\"a\":1.}",
                          "{\"a\":0x1}",
                          "{\"a\":NaN}",
                          "{\"a\":Infinity}",
                          "{\"a\":tru}",
                          "{\"a\":\"\n\"}",
                          "{\"a\":\"\\x\"}",
                          "{\"a\":\"\\u12g4\"}",
                          "{\"a\":\"}",
                          "// c\n{}",
                          "{\"a\":[1,]}",
                          "{\"a\":[1}"}) {
    EXPECT_FALSE(Accepts(bad)) << bad;
  }
  EXPECT_FALSE(Accepts(std::string_view("{}\0", 3)));
  EXPECT_FALSE(Accepts("\xef\xbb\xbf{}")) << "a byte order mark is no JSON (RFC 8259 section 8.1)";
}

TEST(Payload, NamesAreUniqueAtEveryDepthHoweverTheyAreWritten) {
  EXPECT_NE(Refusal(R"({"a":1,"a":1})").find("'a' twice"), std::string::npos);
  EXPECT_FALSE(Accepts(R"({"a":1,"\u0061":2})"));
  EXPECT_FALSE(Accepts(R"({"x":[{"y":{"a":1,"b":2,"a":3}}]})"));
  EXPECT_FALSE(Accepts(R"({"":1,"":2})"));
  EXPECT_FALSE(Accepts(R"({"a\u0000b":1,"a\u0000b":2})"));
  EXPECT_TRUE(Accepts(R"({"a\u0000b":1,"a\u0000c":2})"));
  EXPECT_TRUE(Accepts(R"({"a":{"a":{"a":1}},"b":{"a":1}})"));
  EXPECT_TRUE(Accepts(R"({"a":1,"A":2,"aa":3})"));
}

// Above and below the size at which the check changes its method.
TEST(Payload, NamesAreUniqueInLargeObjects) {
  for (const int size : {2, 23, 24, 25, 26, 1000, 5000}) {
    for (const int twice : {-1, 0, size / 2, size - 1}) {
      std::string json = "{";
      for (int i = 0; i < size; ++i) json += "\"k" + std::to_string(i) + "\":0,";
      json += "\"k" + (twice < 0 ? "new" : std::to_string(twice)) + "\":0}";
      EXPECT_EQ(Accepts(json), twice < 0) << size << " " << twice;
    }
  }
}

TEST(Payload, Utf8IsCheckedInNamesAndStrings) {
  EXPECT_TRUE(Accepts("{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"}"));
  for (const char* bad : {"\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"}) {
    EXPECT_FALSE(Accepts(std::string("{\"a\":\"") + bad + "\"}")) << bad;
    EXPECT_FALSE(Accepts(std::string("{\"") + bad + "\":1}")) << bad;
  }
}

TEST(Payload, LoneSurrogatesAndNoncharactersAreRefused) {
  EXPECT_TRUE(Accepts(R"({"a":"\ud83d\ude00"})"));
  for (const char* bad : {R"(\ud83d)", R"(\ude00)", R"(\ude00\ud83d)", R"(\ud83dx)", R"(\ud83d\n)", R"(\ud83d\ud83d)",
                          R"(\uffff)", R"(\ufffe)", R"(\ufdd0)", R"(\ufdef)", R"(\ud83f\udfff)", R"(\udbff\udfff)"}) {
    EXPECT_FALSE(Accepts(std::string(R"({"a":")") + bad + "\"}")) << bad;
    EXPECT_FALSE(Accepts(std::string(R"({")") + bad + "\":1}")) << bad;
  }
  EXPECT_FALSE(Accepts("{\"a\":\"\xef\xbf\xbf\"}"));
  EXPECT_TRUE(Accepts(R"({"a":"\ufffd\ufdcf\ufdf0"})"));
}

TEST(Payload, IntegersAreExactTo64BitsAndRefusedBeyond) {
  PayloadReader reader;
  const auto read = [&](const std::string& number) { return reader.Read("{\"n\":" + number + "}"); };
  EXPECT_EQ(read("9007199254740993").value()["n"].AsUnsigned(), 9007199254740993U) << "2^53 + 1";
  EXPECT_EQ(read("1750000000000000001").value()["n"].AsInteger(), 1750000000000000001);
  EXPECT_EQ(read("9223372036854775807").value()["n"].AsInteger(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(read("9223372036854775808").value()["n"].AsUnsigned(), 9223372036854775808U);
  EXPECT_EQ(read("-9223372036854775808").value()["n"].AsInteger(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(read("18446744073709551615").value()["n"].AsUnsigned(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(read("-0").value()["n"].AsUnsigned(), 0U);
  for (const char* bad : {"18446744073709551616", "-9223372036854775809", "99999999999999999999",
                          "100000000000000000000000", "1e400", "-1e400", "1e99999999999"}) {
    EXPECT_FALSE(read(bad).ok()) << bad;
  }
  EXPECT_EQ(read("1e3").value()["n"].AsDouble(), 1000.0);
  EXPECT_EQ(read("1e3").value()["n"].AsUnsigned(), std::nullopt) << "written as no integer";
  EXPECT_EQ(read("1e-400").value()["n"].AsDouble(), 0.0);
  EXPECT_EQ(read("0.1").value()["n"].AsDouble(), 0.1);
}

std::string Nested(std::size_t depth, bool arrays) {
  std::string open, close;
  for (std::size_t i = 1; i < depth; ++i) {
    open += arrays ? "[" : "{\"a\":";
    close += arrays ? "]" : "}";
  }
  return "{\"a\":" + open + "1" + close + "}";
}

TEST(Payload, DepthIsBounded) {
  for (const bool arrays : {false, true}) {
    EXPECT_TRUE(Accepts(Nested(kMaxPayloadDepth, arrays)));
    for (const std::size_t depth :
         {kMaxPayloadDepth + 1, kMaxPayloadDepth + 2, kMaxPayloadDepth + 3, std::size_t{5000}}) {
      EXPECT_NE(Refusal(Nested(depth, arrays)).find("deeper than 32"), std::string::npos) << depth;
    }
  }
}

TEST(Payload, SizeIsBounded) {
  std::string json = "{\"a\":\"";
  json += std::string(kMaxPayload - json.size() - 2, 'x') + "\"}";
  ASSERT_EQ(json.size(), kMaxPayload);
  EXPECT_TRUE(Accepts(json));
  EXPECT_FALSE(Accepts(json + " "));
  std::string many = "{\"a\":[0";
  while (many.size() < kMaxPayload - 4) many += ",0";
  many += "]}";
  PayloadReader reader;
  EXPECT_EQ(reader.Read(many).value()["a"].size(), (many.size() - 7) / 2);
}

TEST(Payload, AReaderServesManyPayloadsAndSurvivesBadOnes) {
  PayloadReader reader;
  for (int i = 0; i < 100; ++i) {
    const std::string text(static_cast<std::size_t>(i) * 600, 'x');
    EXPECT_FALSE(reader.Read("{\"" + text).ok());
    const auto value = reader.Read("{\"i\":" + std::to_string(i) + ",\"t\":\"" + text + "\"}");
    ASSERT_TRUE(value.ok());
    EXPECT_EQ((*value)["i"].AsInteger(), i);
    EXPECT_EQ((*value)["t"].AsString(), text);
  }
  PayloadReader moved = std::move(reader);
  EXPECT_TRUE(moved.Read("{}").ok());
}

// Values agree with an independent parser, value by value.
void ExpectSame(const Value& value, const nlohmann::json& json) {
  switch (json.type()) {
    case nlohmann::json::value_t::null:
      EXPECT_EQ(value.kind(), Value::Kind::kNull);
      break;
    case nlohmann::json::value_t::boolean:
      EXPECT_EQ(value.AsBool(), json.get<bool>());
      break;
    case nlohmann::json::value_t::number_integer:
      EXPECT_EQ(value.AsInteger(), json.get<std::int64_t>());
      break;
    case nlohmann::json::value_t::number_unsigned:
      EXPECT_EQ(value.AsUnsigned(), json.get<std::uint64_t>());
      break;
    case nlohmann::json::value_t::number_float:
      EXPECT_EQ(value.AsDouble(), json.get<double>());
      break;
    case nlohmann::json::value_t::string:
      EXPECT_EQ(value.AsString(), json.get<std::string>());
      break;
    case nlohmann::json::value_t::array:
      EXPECT_EQ(value.size(), json.size());
      for (std::size_t i = 0; i < json.size(); ++i) ExpectSame(value.at(i), json[i]);
      break;
    case nlohmann::json::value_t::object:
      EXPECT_EQ(value.size(), json.size());
      for (const auto& [key, member] : json.items()) ExpectSame(value[key], member);
      break;
    default:
      FAIL();
  }
}

TEST(Payload, AgreesWithAnotherParserOnTheVectors) {
  PayloadReader reader;
  for (const FrameVector& vector : FrameVectors("valid")) {
    const auto payload = vector.json.at("payload").get<std::string>();
    if (payload.empty()) continue;
    ExpectSame(reader.Read(payload).value(), nlohmann::json::parse(payload));
  }
}

TEST(JsonWriter, WritesCompactJsonInOrder) {
  JsonWriter writer;
  writer.BeginObject()
      .Field("z", "text")
      .Field("a", std::uint64_t{18446744073709551615U})
      .Field("i", -5)
      .Field("t", true);
  writer.Key("n")
      .Null()
      .Key("l")
      .BeginArray()
      .Unsigned(1)
      .String("two")
      .BeginObject()
      .EndObject()
      .BeginArray()
      .EndArray();
  writer.EndArray().Key("o").BeginObject().Field("x", 7U).EndObject().Key("r").Raw("[1,2]").EndObject();
  EXPECT_EQ(
      writer.Take(),
      R"({"z":"text","a":18446744073709551615,"i":-5,"t":true,"n":null,"l":[1,"two",{},[]],"o":{"x":7},"r":[1,2]})");
  EXPECT_EQ(writer.Take(), "");
  EXPECT_EQ(writer.BeginObject().EndObject().Take(), "{}");
}

TEST(JsonWriter, WhatItWritesReadsBackForEveryByteAndExtremeNumbers) {
  PayloadReader reader;
  for (int byte = 0; byte < 128; ++byte) {
    const std::string text{'a', static_cast<char>(byte), 'b'};
    JsonWriter writer;
    const std::string json = writer.BeginObject().Field(text, text).EndObject().Take();
    const auto value = reader.Read(json);
    ASSERT_TRUE(value.ok()) << json;
    EXPECT_EQ((*value)[text].AsString(), text);
  }
  JsonWriter writer;
  const std::string json = writer.BeginObject()
                               .Field("min", std::numeric_limits<std::int64_t>::min())
                               .Field("max", std::numeric_limits<std::int64_t>::max())
                               .EndObject()
                               .Take();
  const Value value = reader.Read(json).value();
  EXPECT_EQ(value["min"].AsInteger(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(value["max"].AsInteger(), std::numeric_limits<std::int64_t>::max());
}

TEST(JsonWriter, RepairsWhatIsNotUtf8) {
  JsonWriter writer;
  EXPECT_EQ(writer.BeginObject().Field("a\xff", "caf\xe9 \xc3\xa9").EndObject().Take(),
            "{\"a\xef\xbf\xbd\":\"caf\xef\xbf\xbd \xc3\xa9\"}");
  EXPECT_TRUE(Accepts(writer.BeginObject().Field("a", "\xef\xbf\xbf\xed\xa0\x80").EndObject().Take()));
}

}  // namespace
}  // namespace virp::frame
