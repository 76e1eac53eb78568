#include "lib/service/logging.h"

#include <gmock/gmock.h>
#include <grpc/support/log.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/service/errors.h"

namespace virp::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::string_literals;

class LoggingTest : public ::testing::Test {
 protected:
  void SetUpTo(LogFormat format, LogLevel level = LogLevel::kInfo) {
    SetUpLogging({.service = "onode",
                  .level = level,
                  .format = format,
                  .sink = [this](std::string_view line) { lines_.emplace_back(line); },
                  .clock = &clock_});
  }
  void TearDown() override {
    SetUpLogging({.service = "test", .sink = [](std::string_view) {}});
  }

  FakeClock clock_{1'750'000'000'123'000'000ULL};
  std::vector<std::string> lines_;
};

TEST_F(LoggingTest, TextForPeople) {
  SetUpTo(LogFormat::kText);
  LogInfo("entries appended", {{"chain", "site/a"},
                               {"size", 42U},
                               {"delta", -1},
                               {"share", 0.5},
                               {"late", true},
                               {"note", "two words"},
                               {"none", ""}});
  EXPECT_THAT(
      lines_,
      ElementsAre("2025-06-15T15:06:40.123Z info    onode: entries appended chain=site/a size=42 delta=-1 share=0.5 "
                  "late=true note=\"two words\" none=\"\"\n"));
}

TEST_F(LoggingTest, JsonForPrograms) {
  SetUpTo(LogFormat::kJson);
  LogWarning("peer refused", {{"address", "192.0.2.1"}, {"count", 3}});
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_EQ(
      lines_[0],
      R"({"time":"2025-06-15T15:06:40.123Z","level":"warning","service":"onode","message":"peer refused","address":"192.0.2.1","count":3})"s +
          "\n");
}

TEST_F(LoggingTest, NoTextBreaksALine) {
  const std::string hostile = "a\nINFO forged\r\x1b[2J\"\\ {} \xff\xc3\x28 \x7f \0end"s;
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    lines_.clear();
    SetUpTo(format);
    LogInfo("said {}", {{"text", hostile}});
    ASSERT_EQ(lines_.size(), 1U);
    EXPECT_EQ(lines_[0].find('\n'), lines_[0].size() - 1);
    for (const char c : lines_[0].substr(0, lines_[0].size() - 1)) EXPECT_GE(static_cast<unsigned char>(c), 0x20U);
    if (format == LogFormat::kJson) {
      const auto parsed = nlohmann::json::parse(lines_[0]);
      EXPECT_EQ(parsed["message"], "said {}");
      EXPECT_THAT(parsed["text"].get<std::string>(), HasSubstr("a\nINFO forged\r"));
    }
  }
}

TEST_F(LoggingTest, NumbersThatJsonDoesNotHave) {
  EXPECT_EQ(
      FormatLogLine(LogFormat::kJson, "t", LogLevel::kInfo, "s", "m", {{"x", std::numeric_limits<double>::infinity()}}),
      R"({"time":"t","level":"info","service":"s","message":"m","x":null})");
}

TEST_F(LoggingTest, LevelsFilter) {
  SetUpTo(LogFormat::kText, LogLevel::kWarning);
  LogDebug("a");
  LogInfo("b");
  LogWarning("c");
  LogError("d");
  EXPECT_EQ(lines_.size(), 2U);
}

TEST_F(LoggingTest, Statuses) {
  SetUpTo(LogFormat::kText);
  LogStatus(LogLevel::kError, "append failed", WithReason(Aborted("term 3 is over"), "FENCED"), {{"chain", "a"}});
  EXPECT_THAT(lines_,
              ElementsAre(HasSubstr("append failed chain=a code=ABORTED reason=FENCED error=\"term 3 is over\"")));
}

TEST_F(LoggingTest, TheCauseThatAPeerDoesNotSeeIsLoggedUnderItsIncident) {
  SetUpTo(LogFormat::kJson);
  const absl::Status seen = FromGrpcStatus(ToGrpcStatus(Internal("secret cause"), "onode"));
  ASSERT_EQ(lines_.size(), 1U);
  const auto line = nlohmann::json::parse(lines_[0]);
  EXPECT_EQ(line["error"], "secret cause");
  EXPECT_EQ(line["incident"], GetMetadata(seen).at("incident"));
}

TEST_F(LoggingTest, GrpcJoinsTheLogAndCannotFloodIt) {
  SetUpTo(LogFormat::kText);
  for (int i = 0; i < 1'000; ++i) gpr_log(GPR_ERROR, "handshake failed %d", i);
  EXPECT_GE(lines_.size(), 1U);
  EXPECT_LE(lines_.size(), 20U);
  EXPECT_THAT(lines_[0], HasSubstr("warning onode: gRPC library text=\"handshake failed 0\""));
}

TEST_F(LoggingTest, LimiterCountsWhatItLeavesOut) {
  LogLimiter limiter(std::chrono::seconds(1), 2, clock_);
  EXPECT_EQ(limiter.Admit(), 0U);
  EXPECT_EQ(limiter.Admit(), 0U);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limiter.Admit(), std::nullopt);
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(limiter.Admit(), 5U);
  EXPECT_EQ(limiter.Admit(), std::nullopt);
}

TEST_F(LoggingTest, ManyThreadsWriteWholeLines) {
  SetUpTo(LogFormat::kJson);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 200; ++i) LogInfo("line", {{"thread", t}, {"i", i}});
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_EQ(lines_.size(), 800U);
  for (const std::string& line : lines_) EXPECT_TRUE(nlohmann::json::accept(line)) << line;
}

TEST(LogOptionsTest, Names) {
  EXPECT_EQ(*ParseLogLevel("warning"), LogLevel::kWarning);
  EXPECT_FALSE(ParseLogLevel("WARN").ok());
  EXPECT_EQ(*ParseLogFormat("json"), LogFormat::kJson);
  EXPECT_FALSE(ParseLogFormat("xml").ok());
}

}  // namespace
}  // namespace virp::service
