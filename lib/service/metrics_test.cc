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
  const Histogram commit = metrics.AddHistogram("commit_seconds", "Time of a commit.", {0.001, 0.01});
  frames.Add();
  frames.Add(2);
  frames.Add(-5);
  size.Set(7);
  commit.Observe(0.005);
  EXPECT_EQ(frames.value(), 3);
  const std::string text = metrics.Serialize();
  EXPECT_THAT(text, HasSubstr("virp_onode_frames_total{result=\"appended\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("virp_onode_frames_total{result=\"refused\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("virp_onode_chain_size 7\n"));
  EXPECT_THAT(text, HasSubstr("virp_onode_commit_seconds_bucket{le=\"0.01\"} 1\n"));
  EXPECT_OK(metrics.status());
  EXPECT_THAT(metrics.Names(),
              ElementsAre("virp_onode_chain_size", "virp_onode_commit_seconds", "virp_onode_frames_total"));
}

TEST(MetricsTest, TheSameNameAndLabelsAreTheSameSeries) {
  Metrics metrics("onode");
  metrics.AddCounter("x_total", "X.", {{"a", "1"}}).Add();
  metrics.AddCounter("x_total", "X.", {{"a", "1"}}).Add();
  EXPECT_EQ(metrics.AddCounter("x_total", "X.", {{"a", "1"}}).value(), 2);
}

TEST(MetricsTest, MistakesAreKeptAndHarmless) {
  const auto mistake = [](auto make) {
    Metrics metrics("onode");
    metrics.AddCounter("good_total", "Good.", {{"a", "1"}});
    make(metrics);
    EXPECT_FALSE(metrics.status().ok());
  };
  mistake([](Metrics& m) { m.AddCounter("frames", "No _total.").Add(); });
  mistake([](Metrics& m) { m.AddGauge("frames_total", "A gauge.").Set(1); });
  mistake([](Metrics& m) { m.AddGauge("Upper", "Case.").Set(1); });
  mistake([](Metrics& m) { m.AddGauge("no_help", "").Set(1); });
  mistake([](Metrics& m) { m.AddGauge("bad-name", "x").Set(1); });
  mistake([](Metrics& m) { m.AddCounter("x_total", "x", {{"le", "1"}}).Add(); });
  mistake([](Metrics& m) { m.AddCounter("good_total", "Other help.", {{"a", "1"}}).Add(); });
  mistake([](Metrics& m) { m.AddCounter("good_total", "Good.", {{"b", "1"}}).Add(); });
  mistake([](Metrics& m) {
    m.AddHistogram("h_seconds", "H.", {1, 2});
    m.AddHistogram("h_seconds", "H.", {1, 3}).Observe(1);
  });
}

TEST(MetricsTest, HandlesWithoutARegistryDoNothing) {
  Counter().Add();
  Gauge().Set(1);
  Gauge().Add(1);
  Histogram().Observe(1);
  EXPECT_EQ(Counter().value(), 0);
}

TEST(MetricsTest, GaugesAreBroughtUpToDateBeforeAScrape) {
  Metrics metrics("onode");
  const Gauge depth = metrics.AddGauge("spool_depth", "Frames waiting.");
  int frames = 3;
  metrics.OnCollect([&] { depth.Set(frames); });
  EXPECT_THAT(metrics.Serialize(), HasSubstr("virp_onode_spool_depth 3\n"));
  frames = 4;
  EXPECT_THAT(metrics.Serialize(), HasSubstr("virp_onode_spool_depth 4\n"));
}

TEST(MetricsTest, Buckets) {
  EXPECT_EQ(ExponentialBuckets(1, 10, 3), (std::vector<double>{1, 10, 100}));
  EXPECT_NEAR(LatencyBuckets().back(), 26.2, 0.1);
}

TEST(MetricsTest, ThePageAndTheRegistryAreCompared) {
  testutil::TempDir dir;
  Metrics metrics("onode");
  metrics.AddGauge("chain_size", "Entries.");
  metrics.AddGauge("hidden_size", "Not on the page.");
  std::ofstream(dir.File("m.md")) << "# Metrics\n\n| name | help |\n| --- | --- |\n| `virp_onode_chain_size` | x |\n| "
                                     "`virp_onode_gone_total` | x |\n"
                                  << "| `virp_collector_other` | x |\n";
  EXPECT_THAT(testutil::MetricDocDifferences(metrics, "onode", dir.File("m.md")),
              ElementsAre("virp_onode_hidden_size is registered but not documented",
                          "virp_onode_gone_total is documented but not registered"));
  EXPECT_THAT(testutil::MetricDocDifferences(metrics, "onode", dir.File("none.md")), ::testing::SizeIs(3));
}

TEST(MetricsTest, ManyThreads) {
  Metrics metrics("onode");
  const Counter counter = metrics.AddCounter("x_total", "X.");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) counter.Add();
      (void)metrics.Serialize();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 4'000);
}

}  // namespace
}  // namespace virp::service
