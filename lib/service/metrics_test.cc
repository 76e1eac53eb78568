#include "lib/service/metrics.h"

#include <gmock/gmock.h>

#include <fstream>
#include <thread>

#include "tests/testutil/metrics_doc.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(MetricsTest, CountsAndServes) {
  Metrics metrics("onode");
  const Counter frames = metrics.AddCounter("frames_total", "Frames taken in.", {{"result", "appended"}});
  metrics.AddCounter("frames_total", "Frames taken in.", {{"result", "refused"}});
  const Gauge size = metrics.AddGauge("chain_size", "Entries in the chain.");
  Distribution commits({0.001, 0.01});
  metrics.AddHistogram("commit_seconds", "Time of a commit.", commits, {{"origin", "site1"}});
  Distribution others({0.001, 0.01});
  metrics.AddHistogram("commit_seconds", "Time of a commit.", others, {{"origin", "site2"}});
  frames.Set(3);
  frames.Set(2);  // never down
  size.Set(7);
  for (const double seconds : {0.0005, 0.005, 0.25}) commits.Add(seconds);
  const std::string text = metrics.Serialize();
  EXPECT_THAT(text, HasSubstr("virp_onode_frames_total{result=\"appended\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("virp_onode_frames_total{result=\"refused\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("virp_onode_chain_size 7\n"));
  for (const char* line :
       {"# TYPE virp_onode_frames_total counter", "# TYPE virp_onode_chain_size gauge",
        "# TYPE virp_onode_commit_seconds histogram",
        "virp_onode_commit_seconds_bucket{origin=\"site1\",le=\"0.001\"} 1",
        "virp_onode_commit_seconds_bucket{origin=\"site1\",le=\"0.01\"} 2",
        "virp_onode_commit_seconds_bucket{origin=\"site1\",le=\"+Inf\"} 3",
        "virp_onode_commit_seconds_count{origin=\"site1\"} 3", "virp_onode_commit_seconds_sum{origin=\"site1\"} 0.2555",
        "virp_onode_commit_seconds_count{origin=\"site2\"} 0"}) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
  EXPECT_EQ(text.find("# TYPE virp_onode_commit_seconds"), text.rfind("# TYPE virp_onode_commit_seconds"));
  EXPECT_OK(metrics.status());
}

TEST(MetricsTest, TheSameNameAndLabelsAreTheSameSeries) {
  Metrics metrics("onode");
  metrics.AddCounter("x_total", "X.", {{"a", "1"}}).Set(1);
  metrics.AddCounter("x_total", "X.", {{"a", "1"}}).Set(2);
  EXPECT_THAT(metrics.Serialize(), testing::EndsWith("\nvirp_onode_x_total{a=\"1\"} 2\n"));
}

TEST(MetricsTest, MistakesAreKeptAndHarmless) {
  const Distribution some({1, 2}), other({1, 3});
  const auto mistake = [](auto make) {
    Metrics metrics("onode");
    metrics.AddCounter("good_total", "Good.", {{"a", "1"}});
    make(metrics);
    EXPECT_FALSE(metrics.status().ok());
  };
  mistake([](Metrics& m) { m.AddCounter("frames", "No _total.").Set(1); });
  mistake([](Metrics& m) { m.AddGauge("frames_total", "A gauge.").Set(1); });
  mistake([](Metrics& m) { m.AddGauge("Upper", "Case.").Set(1); });
  mistake([](Metrics& m) { m.AddGauge("no_help", "").Set(1); });
  mistake([](Metrics& m) { m.AddGauge("bad-name", "x").Set(1); });
  mistake([](Metrics& m) { m.AddCounter("x_total", "x", {{"le", "1"}}).Set(1); });
  mistake([](Metrics& m) { m.AddCounter("good_total", "Other help.", {{"a", "1"}}).Set(1); });
  mistake([](Metrics& m) { m.AddCounter("good_total", "Good.", {{"b", "1"}}).Set(1); });
  mistake([&](Metrics& m) {
    m.AddHistogram("h_seconds", "H.", some, {{"a", "1"}});
    m.AddHistogram("h_seconds", "H.", other, {{"a", "2"}});
  });
  mistake([&](Metrics& m) {
    m.AddHistogram("h_seconds", "H.", some);
    m.AddHistogram("h_seconds", "H.", some);
  });
}

TEST(MetricsTest, HandlesWithoutARegistryDoNothing) {
  Counter().Set(1);
  Gauge().Set(1);
}

TEST(MetricsTest, BroughtUpToDateBeforeAScrape) {
  Metrics metrics("onode");
  const Gauge depth = metrics.AddGauge("spool_depth", "Frames waiting.");
  int frames = 3;
  metrics.OnCollect([&] { depth.Set(frames); });
  EXPECT_THAT(metrics.Serialize(), HasSubstr("virp_onode_spool_depth 3\n"));
  frames = 4;
  EXPECT_THAT(metrics.Serialize(), HasSubstr("virp_onode_spool_depth 4\n"));
}

TEST(MetricsTest, WhatAnUpdateAddsIsUpToDateToo) {
  Metrics metrics("onode");
  bool added = false;
  metrics.OnCollect([&] {
    if (std::exchange(added, true)) return;
    metrics.OnCollect([late = metrics.AddGauge("late", "Added by a scrape.")] { late.Set(5); });
  });
  for (int i = 0; i < 2; ++i) EXPECT_THAT(metrics.Serialize(), HasSubstr("virp_onode_late 5\n"));
  EXPECT_OK(metrics.status());
}

TEST(MetricsTest, WhatIsServedAndThePageAreCompared) {
  testutil::TempDir dir;
  Metrics metrics("onode");
  metrics.AddGauge("chain_size", "Entries.");
  metrics.AddGauge("hidden_size", "Not on the page.");
  const std::string served = metrics.Serialize();
  std::ofstream(dir.File("m.md")) << "# Metrics\n\n| name | help |\n| --- | --- |\n| `virp_onode_chain_size` | x |\n| "
                                     "`virp_onode_gone_total` | x |\n"
                                  << "| `virp_collector_other` | x |\n";
  EXPECT_THAT(testutil::MetricDocDifferences(served, "onode", dir.File("m.md")),
              ElementsAre("virp_onode_hidden_size is served but not documented",
                          "virp_onode_gone_total is documented but not served"));
  EXPECT_THAT(testutil::MetricDocDifferences(served, "onode", dir.File("none.md")), ::testing::SizeIs(3));
}

// A counter must not run ahead when two scrapes meet.
TEST(MetricsTest, ManyScrapesAtOnce) {
  Metrics metrics("onode");
  std::atomic<int> count{0};
  metrics.OnCollect([&count, counter = metrics.AddCounter("x_total", "X.")] { counter.Set(count); });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 250; ++i) {
        ++count;
        (void)metrics.Serialize();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(metrics.Serialize(), HasSubstr("virp_onode_x_total 1000\n"));
}

}  // namespace
}  // namespace virp::service
