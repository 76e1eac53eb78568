// The O-Node's metrics are those that docs/metrics.md names.
#include <gmock/gmock.h>

#include "lib/service/refusal_log.h"
#include "services/onode/housekeeping.h"
#include "tests/e2e/platform_fixture.h"
#include "tests/testutil/metrics_doc.h"

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
  EXPECT_TRUE(metrics.status().ok()) << metrics.status();
  EXPECT_THAT(testutil::MetricDocDifferences(metrics, "onode", std::string(VIRP_SOURCE_DIR) + "/docs/metrics.md"),
              ::testing::IsEmpty());

  const std::string text = metrics.Serialize();
  for (const char* line : {"virp_onode_chain_entries{origin=\"virp.example.net/site1\"} 1",
                           "virp_onode_chain_leading{origin=\"virp.example.net/site1\"} 1",
                           "virp_onode_refused_frames{origin=\"virp.example.net/site1\",reason=\"OVER_LIMIT\"} 0",
                           "virp_onode_refused_calls{reason=\"METHOD_DENIED\"} 0"}) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
}

}  // namespace
}  // namespace virp::e2e
