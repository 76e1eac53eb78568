// The O-Node's metrics are those that docs/metrics.md names.
#include <gmock/gmock.h>

#include "lib/keys/key_supply.h"
#include "lib/service/refusal_log.h"
#include "services/onode/housekeeping.h"
#include "tests/e2e/platform_fixture.h"
#include "tests/testutil/metrics_doc.h"
#include "tests/testutil/status_matchers.h"

namespace virp::e2e {
namespace {

using ::testing::HasSubstr;

TEST_F(PlatformTest, ONodeMetricsAreThoseOfTheDocs) {
  StartONode();
  const service::RefusalLog refusals(clock_);
  service::Metrics metrics("onode");
  onode::AddMetrics(metrics, *node_, clock_);
  onode::AddIngestMetrics(metrics, *ingest_);
  refusals.AddMetrics(metrics);
  const auto supply = keys::KeySupply::Open(site_.File("keys"), {}, clock_);
  ASSERT_OK(supply);
  (*supply)->AddMetrics(metrics);
  EXPECT_TRUE(metrics.status().ok()) << metrics.status();
  EXPECT_THAT(
      testutil::MetricDocDifferences(metrics.Serialize(), "onode", std::string(VIRP_SOURCE_DIR) + "/docs/metrics.md"),
      ::testing::IsEmpty());

  const std::string text = metrics.Serialize();
  for (const char* line : {"virp_onode_chain_entries{origin=\"virp.example.net/site1\"} 1",
                           "virp_onode_chain_leading{origin=\"virp.example.net/site1\"} 1",
                           "virp_onode_refused_frames_total{origin=\"virp.example.net/site1\",reason=\"OVER_LIMIT\"} 0",
                           "virp_onode_refused_calls_total{reason=\"METHOD_DENIED\"} 0"}) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
}

// CreateChain makes a chain while we run, and so does another replica.
TEST_F(PlatformTest, AChainThatComesLaterHasItsSeriesFromTheNextScrapeOn) {
  StartONode();
  service::Metrics metrics("onode");
  onode::AddMetrics(metrics, *node_, clock_);
  constexpr const char* kLater = "virp.example.net/site2";
  for (const char* folder : {"own", "checkpoint"}) {
    ASSERT_OK(frame::CreateKeyFile(site_.File(folder), kLater, 1, frame::Suite::kEd25519, 1));
  }
  ASSERT_OK(node_->Create(kLater, "", std::chrono::steady_clock::now() + 10s));
  EXPECT_THAT(metrics.Serialize(), HasSubstr("virp_onode_chain_entries{origin=\"virp.example.net/site2\"} 1\n"));
  EXPECT_TRUE(metrics.status().ok()) << metrics.status();
}

}  // namespace
}  // namespace virp::e2e
