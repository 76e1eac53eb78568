// SIGTERM under load: the programs end in time and in order, what was answered is in the chain by then, and what they
// wrote meanwhile is the log that docs/operations/logging.md describes.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <stop_token>
#include <thread>

#include "lib/chain/entry.h"
#include "lib/crypto/sha256.h"
#include "tests/fault/fault_test_util.h"

namespace virp::fault {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testutil::ServiceLab;

// `drain-grace` of the lab's programs is the default, 10 s, and flushing may take as long again.
constexpr auto kDrainLimit = 25s;

testutil::LabOptions WithJsonLogs() {
  testutil::LabOptions options;
  options.binaries = BuildFolder();
  options.onode_environment = {{"VIRP_ONODE_LOG_FORMAT", "json"}, {"VIRP_ONODE_LOG_LEVEL", "debug"}};
  options.collector_environment = {{"VIRP_COLLECTOR_LOG_FORMAT", "json"}, {"VIRP_COLLECTOR_LOG_LEVEL", "debug"}};
  return options;
}

// Every line is one object with the keys that the page names, and no key twice; messages that must be there are.
void ExpectJsonLog(const std::string& log, const std::string& service, const std::set<std::string>& expected) {
  static const std::regex kTime(R"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z)");
  std::set<std::string> messages;
  std::istringstream lines(log);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    std::set<std::string> keys;
    bool twice = false;
    const json entry = json::parse(
        line,
        [&](int depth, json::parse_event_t event, const json& value) {
          if (event == json::parse_event_t::key && depth == 1) twice |= !keys.insert(value.get<std::string>()).second;
          return true;
        },
        /*allow_exceptions=*/false);
    ASSERT_TRUE(entry.is_object()) << line;
    EXPECT_FALSE(twice) << line;
    for (const char* key : {"time", "level", "service", "message"})
      ASSERT_TRUE(entry.contains(key) && entry[key].is_string()) << key << " in " << line;
    EXPECT_TRUE(std::regex_match(entry["time"].get<std::string>(), kTime)) << line;
    EXPECT_THAT(entry["level"].get<std::string>(), ::testing::AnyOf("debug", "info", "warning", "error")) << line;
    EXPECT_EQ(entry["service"], service) << line;
    EXPECT_NE(entry["message"], "") << line;
    // What varies is in fields of its own, each a plain value.
    for (const auto& [key, value] : entry.items())
      EXPECT_TRUE(value.is_primitive() && !value.is_null()) << key << " in " << line;
    EXPECT_TRUE(!entry.contains("error") || (entry.contains("code") && entry["code"].is_string())) << line;
    messages.insert(entry["message"].get<std::string>());
  }
  EXPECT_GT(count, 0);
  EXPECT_THAT(messages, ::testing::IsSupersetOf(expected)) << log;
}

// Submits until somebody hangs up, or the test is over; the digests of all frames that were answered for.
std::vector<std::string> SubmitWhileAnswered(const std::stop_token& over, std::shared_ptr<grpc::Channel> channel,
                                             std::atomic<std::size_t>& answered) {
  std::vector<std::string> digests;
  const auto stub = collector::v1::CollectorService::NewStub(std::move(channel));
  for (int i = 1; !over.stop_requested(); ++i) {
    collector::v1::SubmitRequest request;
    request.set_request_id(fmt::format("0000000d-0000-4000-8000-{:012}", i));
    for (int n = 0; n < 4; ++n) {
      collector::v1::Observation& observation = *request.add_observations();
      observation.set_source(ServiceLab::kSubmitted);
      observation.set_type(2);
      observation.set_payload(
          fmt::format(R"({{"domain":"bgp","event":"peer_down","peer_addr":"192.0.2.2","router_id":"{}","n":{}}})",
                      ServiceLab::kRouterId, 4 * i + n));
    }
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    collector::v1::SubmitResponse response;
    if (!stub->Submit(&context, request, &response).ok()) return digests;
    for (const auto& receipt : response.receipts()) digests.push_back(receipt.frame_sha256());
    answered = digests.size();
  }
  return digests;
}

TEST(Drain, CollectorUnderLoad) {
  ServiceLab lab(WithJsonLogs());
  const auto up = lab.Start();
  ASSERT_TRUE(up.ok()) << up;
  Rates rates;
  rates.submit = 0;  // this test's own
  Load load(lab, rates);
  load.Start();
  std::atomic<std::size_t> answered{0};
  std::vector<std::string> digests;
  std::jthread producer([&](const std::stop_token& over) {
    digests = SubmitWhileAnswered(over, lab.CollectorChannel(service::Role::kProducer), answered);
  });
  ASSERT_TRUE(testutil::WaitUntil(20s, [&] { return answered > 200 && load.offered() > 2'000; }));

  const auto status = lab.collector().Terminate(kDrainLimit);
  ASSERT_TRUE(status.ok()) << status.status() << lab.collector().log();
  EXPECT_EQ(*status, 0) << lab.collector().log();

  // Whoever was answered need not wait for the collector to come back: the chain has it.
  std::set<std::string> held;
  const auto entries = lab.Entries();
  ASSERT_TRUE(entries.ok()) << entries.status();
  for (const std::string& bytes : *entries) {
    const auto entry = chain::DecodeEntry(bytes);
    ASSERT_TRUE(entry.ok()) << entry.status();
    held.insert(std::string(View(crypto::Sha256(entry->frame))));
  }
  producer.join();
  EXPECT_GT(digests.size(), 200U);
  std::size_t missing = 0;
  for (const std::string& digest : digests) missing += held.contains(digest) ? 0 : 1;
  EXPECT_EQ(missing, 0U) << "of " << digests.size();
  ExpectJsonLog(lab.collector().log(), "collector",
                {"serving", "ready", "stopping", "snapshot of the spool's state", "stopped"});

  const auto again = lab.StartCollector();
  ASSERT_TRUE(again.ok()) << again;
  load.Stop();
  ExpectNothingLost(lab, load);
}

TEST(Drain, ONodeUnderLoad) {
  ServiceLab lab(WithJsonLogs());
  const auto up = lab.Start();
  ASSERT_TRUE(up.ok()) << up;
  Load load(lab, {});
  load.Start();
  ASSERT_TRUE(testutil::WaitUntil(20s, [&] { return load.offered() > 3'000; }));
  const auto status = lab.onode().Terminate(kDrainLimit);
  ASSERT_TRUE(status.ok()) << status.status() << lab.onode().log();
  EXPECT_EQ(*status, 0) << lab.onode().log();
  ExpectJsonLog(lab.onode().log(), "onode", {"serving", "ready", "stopping", "stopped"});
  const auto again = lab.StartONode();
  ASSERT_TRUE(again.ok()) << again;
  load.Stop();
  ExpectNothingLost(lab, load);
  // What the collector said of an O-Node that was away is a log of the same kind.
  ExpectJsonLog(lab.collector().log(), "collector", {"serving"});
}

}  // namespace
}  // namespace virp::fault
