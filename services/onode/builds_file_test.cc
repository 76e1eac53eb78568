#include "services/onode/builds_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testutil/status_matchers.h"

namespace virp::onode {
namespace {

using ::testing::HasSubstr;

TEST(BuildsFileTest, SaysWhatIsExpected) {
  auto rules = ParseBuilds(R"({"builds": [  // comments are allowed
    {"sources": ["*.bgpd", "collector-1"], "build_ids": ["ab12", "cd34"]},
    {"sources": ["edge-a.*"], "build_ids": ["ef56"]}]})");
  ASSERT_OK(rules);
  ExpectedBuilds builds;
  EXPECT_TRUE(builds.Expects("edge-a.bgpd", "00")) << "nothing is listed";
  builds.Replace(*std::move(rules));
  for (const char* id : {"ab12", "cd34", "ef56"}) EXPECT_TRUE(builds.Expects("edge-a.bgpd", id)) << id;
  EXPECT_TRUE(builds.Expects("collector-1", "ab12"));
  EXPECT_FALSE(builds.Expects("collector-1", "ef56"));
  EXPECT_FALSE(builds.Expects("edge-a.bgpd", "00"));
  EXPECT_FALSE(builds.Expects("edge-a.bgpd", "")) << "its beats name none";
  EXPECT_TRUE(builds.Expects("collector-10", "00")) << "no rule is about it";
  EXPECT_TRUE(builds.Expects("bgpd", "00")) << "the name is shorter than what is around the *";
}

TEST(BuildsFileTest, WhatIsWrongIsNamed) {
  for (const auto& [text, why] : std::vector<std::pair<const char*, const char*>>{
           {R"({})", "'builds' is not an array"},
           {R"({"builds": [{"sources": ["a"], "build_ids": ["AB"]}]})", "builds[0]: 'AB' is no build id"},
           {R"({"builds": [{"sources": ["a"], "build_ids": []}]})", "builds[0]: build_ids is not an array of 1"},
           {R"({"builds": [{"sources": ["*a*"], "build_ids": ["ab"]}]})", "at most one *"},
           {R"({"builds": [{"sources": [1], "build_ids": ["ab"]}]})", "something that is no text"},
           {R"({"builds": [{"source": ["a"], "build_ids": ["ab"]}]})", "source"}}) {
    EXPECT_THAT(std::string(ParseBuilds(text).status().message()), HasSubstr(why)) << text;
  }
}

}  // namespace
}  // namespace virp::onode
