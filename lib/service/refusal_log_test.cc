#include "lib/service/refusal_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::service {
namespace {

TEST(RefusalLog, CountsEachAndLogsFew) {
  FakeClock clock;
  std::string log;
  LogOptions options;
  options.service = "test";
  options.sink = [&log](std::string_view line) { log += line; };
  SetUpLogging(options);
  RefusalLog refusals(clock);
  Metrics metrics("test");
  refusals.AddMetrics(metrics);
  ASSERT_TRUE(metrics.status().ok()) << metrics.status();
  const RefusalHook hook = refusals.OnRefusal();
  for (int i = 0; i < 1'000; ++i) hook({"/a/B", "reader/x", WithReason(PermissionDenied("no"), "METHOD_DENIED")});
  hook({"(handshake)", "", PermissionDenied("no reason given")});
  EXPECT_EQ(refusals.count("METHOD_DENIED"), 1'000U);
  EXPECT_EQ(refusals.count("OTHER"), 1U);
  EXPECT_EQ(refusals.count("NO_CERTIFICATE"), 0U);
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 20);
  EXPECT_NE(metrics.Serialize().find("virp_test_refused_calls_total{reason=\"METHOD_DENIED\"} 1000"), std::string::npos)
      << metrics.Serialize();
  clock.Advance(std::chrono::seconds(10));
  hook({"/a/B", "reader/x", WithReason(PermissionDenied("no"), "METHOD_DENIED")});
  EXPECT_NE(log.find("981"), std::string::npos) << "the next line says how many were left out";
  SetUpLogging({});
}

TEST(RefusalLog, ABrokenDenyListShows) {
  const FakeClock clock;
  RefusalLog refusals(clock);
  Metrics metrics("test");
  refusals.AddMetrics(metrics);
  refusals.OnDenyListChanged()(InvalidArgument("line 3"));
  EXPECT_NE(metrics.Serialize().find("virp_test_deny_list_broken 1"), std::string::npos);
  refusals.OnDenyListChanged()(absl::OkStatus());
  EXPECT_NE(metrics.Serialize().find("virp_test_deny_list_broken 0"), std::string::npos);
}

}  // namespace
}  // namespace virp::service
