#include "tools/virpctl/condition.h"

#include <gmock/gmock.h>

#include "lib/base/status.h"

namespace virp::virpctl {
namespace {

using Condition = verify::v1::FieldCondition;

TEST(ConditionTest, EveryOperatorIsReadWithAndWithoutSpaces) {
  const std::pair<const char*, Condition::Operator> cases[] = {
      {"a.b=1", Condition::OPERATOR_EQ},          {" a.b != 1 ", Condition::OPERATOR_NEQ},
      {"a.b <1", Condition::OPERATOR_LT},         {"a.b<= 1", Condition::OPERATOR_LE},
      {"a.b > 1", Condition::OPERATOR_GT},        {"a.b>=1", Condition::OPERATOR_GE},
      {"a.b exists", Condition::OPERATOR_EXISTS},
  };
  for (const auto& [text, expected] : cases) {
    const auto condition = ParseCondition(text);
    ASSERT_TRUE(condition.ok()) << text << ": " << condition.status();
    EXPECT_EQ(condition->operator_(), expected) << text;
    EXPECT_EQ(condition->path(), "a.b") << text;
  }
  EXPECT_FALSE(ParseCondition("a absent")->bool_value());
  EXPECT_TRUE(ParseCondition("a exists")->bool_value());
}

TEST(ConditionTest, AValueIsOfTheKindThatItLooksLike) {
  EXPECT_EQ(ParseCondition("a = 64501")->integer_value(), 64501);
  EXPECT_EQ(ParseCondition("a = -9223372036854775808")->integer_value(), INT64_MIN);
  EXPECT_EQ(ParseCondition("a < 1.5")->number_value(), 1.5);
  EXPECT_EQ(ParseCondition("a = 9223372036854775808")->value_case(), Condition::kNumberValue);
  EXPECT_TRUE(ParseCondition("a = true")->bool_value());
  EXPECT_EQ(ParseCondition("a = Established")->string_value(), "Established");
  EXPECT_EQ(ParseCondition("a = \"64501\"")->string_value(), "64501");
  EXPECT_EQ(ParseCondition("a = \"\"")->value_case(), Condition::kStringValue);
  EXPECT_EQ(ParseCondition("a = x=y")->string_value(), "x=y");
  EXPECT_EQ(ParseCondition("a = 192.0.2.1")->string_value(), "192.0.2.1");
  EXPECT_EQ(ParseCondition("a = inf")->string_value(), "inf");
}

TEST(ConditionTest, WhatIsNoConditionIsNamed) {
  for (const char* text : {"", "a", "a exist", "= 1", "a =", "a ! 1", "a = \"x", "a = \"", " exists", "exists"}) {
    const auto condition = ParseCondition(text);
    ASSERT_FALSE(condition.ok()) << text;
    EXPECT_EQ(condition.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(Message(condition.status())), ::testing::HasSubstr(std::string("'") + text + "'"));
  }
}

}  // namespace
}  // namespace virp::virpctl
