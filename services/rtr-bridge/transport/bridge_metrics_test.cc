// The bridge's metrics are those that docs/metrics.md names.
#include "services/rtr-bridge/transport/bridge_metrics.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "services/rtr-bridge/domain/bridge_fixture.h"
#include "tests/testutil/metrics_doc.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::rtr_bridge {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BridgeMetricsTest : public ::testing::Test {
 protected:
  BridgeMetricsTest() {
    EXPECT_OK(ReplaceFile(path_, R"({"roas": [{"prefix": "10.0.0.0/8", "maxLength": 8, "asn": 1},
                                               {"prefix": "2001:db8::/32", "maxLength": 32, "asn": 1}]})"));
    SourceState state;
    state.name = "table";
    state.location = path_;
    state.expire = std::chrono::hours(24);
    CacheOptions cache;
    cache.when_stale = WhenStale::kStop;
    cache_ = std::make_unique<Cache>(
        cache, SourceTable({state}, {}), false, [] { return std::uint16_t{1}; }, witness_, recorder_, state_, clock_,
        [](const std::shared_ptr<const rtr::Snapshot>&, const Generation&) {});
    SourceOptions source;
    source.name = "table";
    source.location = path_;
    source.max_age.reset();
    runner_ = *SourceRunner::Make({source}, {}, {}, *cache_, clock_);
    RouterServerOptions routers;
    routers.listeners.emplace_back().listen = {"127.0.0.1", 0};
    routers_ = *RouterServer::Start(routers, log_, clock_);
    std::filesystem::create_directory(dir_.File("keys"));
    std::filesystem::permissions(dir_.File("keys"), std::filesystem::perms::owner_all);
    keys_ = *keys::KeySupply::Open(dir_.File("keys"), {}, clock_);
    AddMetrics(metrics_, {.cache = *cache_,
                          .routers = *routers_,
                          .sources = *runner_,
                          .clock = clock_,
                          .keys = keys_.get(),
                          .refusals = &refusals_});
    EXPECT_OK(metrics_.status());
    runner_->Start();
    EXPECT_TRUE(runner_->RefreshAll(std::chrono::seconds(60)));
  }
  ~BridgeMetricsTest() override {
    runner_->Stop();
    routers_->Stop();
  }

  testutil::TempDir dir_;
  const std::string path_ = dir_.File("vrps.json");
  FakeClock clock_;
  Witness witness_{""};
  testing::FakeRecorder recorder_;
  testing::FakeState state_;
  SessionLog log_{witness_, clock_};
  service::RefusalLog refusals_{clock_};
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<SourceRunner> runner_;
  std::unique_ptr<RouterServer> routers_;
  std::unique_ptr<keys::KeySupply> keys_;
  service::Metrics metrics_{"rtr_bridge"};
};

TEST_F(BridgeMetricsTest, AreThoseOfTheDocs) {
  EXPECT_THAT(testutil::MetricDocDifferences(metrics_.Serialize(), "rtr_bridge",
                                             std::string(VIRP_SOURCE_DIR) + "/docs/metrics.md", {"rpki_", "rtr_"}),
              IsEmpty());
}

TEST_F(BridgeMetricsTest, WhatIsServedByOurNamesAndByStayRtrs) {
  const std::string text = metrics_.Serialize();
  const std::string bind = routers_->listeners()[0].address;
  for (const std::string& line :
       {std::string("virp_rtr_bridge_payloads{kind=\"vrp_ipv4\"} 1"),
        std::string("virp_rtr_bridge_source_readings_total{result=\"good\",source=\"table\"} 1"),
        std::string("virp_rtr_bridge_source_failures_total{reason=\"BAD_DATA\",source=\"table\"} 0"),
        "virp_rtr_bridge_routers{listener=\"" + bind + "\"} 0",
        std::string("virp_rtr_bridge_http_answers_total{code=\"304\"} 0"),
        "rpki_vrps{filtered=\"filtered\",ip_version=\"ipv4\",path=\"" + path_ + "\"} 1",
        "rpki_vrps{filtered=\"filtered\",ip_version=\"ipv6\",path=\"" + path_ + "\"} 1",
        std::string("rpki_objects{type=\"effective_vrps\"} 2"), std::string("rpki_bgpsec 0"),
        "rpki_refresh{path=\"" + path_ + "\"} 1750000000", "rpki_change{path=\"" + path_ + "\"} 1750000000",
        "rtr_clients{bind=\"" + bind + "\"} 0", std::string("rtr_pdus{type=\"reset_query\"} 0"),
        std::string("rtr_serial 1")})
    EXPECT_THAT(text, HasSubstr("\n" + line + "\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE rtr_pdus counter\n"));
}

TEST_F(BridgeMetricsTest, AFailureIsCountedByItsReason) {
  ASSERT_OK(ReplaceFile(path_, "{"));
  ASSERT_TRUE(runner_->RefreshAll(std::chrono::seconds(60)));
  const std::string text = metrics_.Serialize();
  EXPECT_THAT(text, HasSubstr("\nvirp_rtr_bridge_source_failures_total{reason=\"BAD_DATA\",source=\"table\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\nvirp_rtr_bridge_source_readings_total{result=\"failed\",source=\"table\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\nvirp_rtr_bridge_payloads{kind=\"vrp_ipv4\"} 1\n"));
}

TEST_F(BridgeMetricsTest, WhatIsNoLongerServedIsNotShownAsServed) {
  ASSERT_OK(ReplaceFile(path_, "{"));
  ASSERT_TRUE(runner_->RefreshAll(std::chrono::seconds(60)));
  clock_.Advance(std::chrono::hours(25));
  cache_->Tick();
  const std::string text = metrics_.Serialize();
  EXPECT_THAT(text, HasSubstr("\nvirp_rtr_bridge_stale 1\n"));
  EXPECT_THAT(text, HasSubstr("\nvirp_rtr_bridge_source_expired{source=\"table\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\nvirp_rtr_bridge_payloads{kind=\"vrp_ipv4\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\nvirp_rtr_bridge_generation 0\n"));
  EXPECT_THAT(text, HasSubstr("\nrpki_objects{type=\"effective_vrps\"} 0\n"));
}

}  // namespace
}  // namespace virp::rtr_bridge
