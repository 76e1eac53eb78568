// O-Nodes that lie to a real collector: it names them within two checkpoints, frees nothing meanwhile, and what was
// dropped gets there after all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include "lib/base/status.h"
#include "services/onode/transport/access.h"
#include "tests/fault/fault_test_util.h"
#include "tests/testutil/tls_client.h"
#include "tests/twins/lying_relay.h"

namespace virp::twins {
namespace {

using namespace std::chrono_literals;
using service::Role;
using testutil::ServiceLab;
using testutil::WaitUntil;

constexpr auto kPatience = 20s;
constexpr fault::Rates kLoad{.daemon = 300, .native = 0, .submit = 100, .direct = 0, .bmp = 0};

testutil::LabOptions Options() {
  testutil::LabOptions options;
  options.binaries = fault::BuildFolder();
  options.lease = 1s;
  return options;
}

std::string AuditProblem(ServiceLab& lab) {
  const auto status = lab.CollectorStatus();
  return status.ok() ? status->audit_problem() : "";
}

std::uint64_t Audited(ServiceLab& lab) {
  const auto status = lab.CollectorStatus();
  return status.ok() ? status->audited_size() : 0;
}

// What the collector's admin port shows.
std::string Metrics(const ServiceLab& lab) {
  constexpr std::string_view kRequest = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const FileDescriptor socket = testutil::ConnectTo(lab.collector_admin().port());
  if (::send(socket.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0) return "";
  std::string page;
  std::array<char, 4096> part{};
  for (ssize_t got = 0; (got = ::recv(socket.get(), part.data(), part.size(), 0)) > 0;) {
    page.append(part.data(), static_cast<std::size_t>(got));
  }
  return page;
}

bool SpoolHolds(ServiceLab& lab, std::string_view word) {
  for (const auto& file : std::filesystem::recursive_directory_iterator(lab.collector_folder() + "/spool")) {
    if (!file.is_regular_file()) continue;
    std::ifstream in(file.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    if (bytes.find(word) != std::string::npos) return true;
  }
  return false;
}

// All that a collector asks of an O-Node is to deliver.
std::vector<service::MethodRule> DeliverAlone() {
  std::vector<service::MethodRule> rows = onode::AccessTable();
  std::erase_if(
      rows, [](const service::MethodRule& row) { return !row.method.starts_with("/virp.ingest.v1.IngestService/"); });
  return rows;
}

class Dropped : public ::testing::TestWithParam<LyingRelay::Lie> {};

TEST_P(Dropped, OneAcknowledgedFrameIsNamedAndGetsThereAfterAll) {
  ServiceLab lab(Options());
  const auto up = lab.Start();
  ASSERT_TRUE(up.ok()) << up;
  // The collector's O-Node is the relay from now on.
  LyingRelay relay(lab.ONodeChannel(Role::kCollector, 0, ServiceLab::kCollector));
  const auto server = lab.pki().StartServer(Role::kOnode, lab.pki().MakeSecurity(DeliverAlone()),
                                            {{&relay, "virp.ingest.v1.IngestService"}});
  lab.collector().Kill();
  std::vector<std::string>& command = lab.collector().options().command;
  std::replace(command.begin(), command.end(), lab.onode_address(), server->address());
  ASSERT_TRUE(lab.StartCollector().ok());
  fault::Load load(lab, kLoad);
  load.Start();
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return Audited(lab) > 200; }));

  relay.LieOnce(GetParam());
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return relay.lied(); }));
  ASSERT_TRUE(WaitUntil(
      kPatience, [&] { return lab.collector().log().find("does not hold what it acknowledged") != std::string::npos; }))
      << AuditProblem(lab) << lab.collector().log();
  EXPECT_LE(relay.checkpoints_since(), 2);
  load.Stop();
  // It took one lie: the next checkpoint that fits ends what is said of it.
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return AuditProblem(lab).empty(); })) << AuditProblem(lab);
  EXPECT_THAT(Metrics(lab), ::testing::HasSubstr("\nvirp_collector_audit_failed 0\n"));
  // Nothing is owed in the end, and the alarm is an entry that the collector signed.
  fault::ExpectNothingLost(lab, load);
  EXPECT_TRUE(WaitUntil(kPatience, [&] {
    const auto entries = lab.Entries();
    return entries.ok() && std::ranges::any_of(*entries, [](std::string_view entry) {
             return entry.find("AUDIT_FAILED") != std::string_view::npos;
           });
  })) << AuditProblem(lab);
  server->Drain(0ms, 100ms);
}

INSTANTIATE_TEST_SUITE_P(Lies, Dropped, ::testing::Values(LyingRelay::Lie::kNamesAnother, LyingRelay::Lie::kInvents));

// Database and the checkpoint beside it, both as they were yesterday, with the same keys: only who was told more can
// know.
TEST(Yesterday, ARestoredONodeIsNamedAndNothingIsFreed) {
  ServiceLab lab(Options());
  const auto up = lab.Start();
  ASSERT_TRUE(up.ok()) << up;
  fault::Load load(lab, kLoad);
  load.Start();
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return Audited(lab) > 200; }));
  ASSERT_TRUE(lab.onode().Terminate(kPatience).ok());
  const std::string yesterday = lab.onode_folder() + "-yesterday";
  std::filesystem::copy(lab.onode_folder(), yesterday, std::filesystem::copy_options::recursive);
  const std::uint64_t then = Audited(lab);
  ASSERT_TRUE(lab.StartONode().ok());
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return Audited(lab) > then + 200; }));

  lab.onode().Kill();
  std::filesystem::remove_all(lab.onode_folder());
  std::filesystem::copy(yesterday, lab.onode_folder(), std::filesystem::copy_options::recursive);
  const std::uint64_t told = Audited(lab);
  ASSERT_TRUE(lab.StartONode().ok());
  ASSERT_TRUE(WaitUntil(kPatience, [&] { return !AuditProblem(lab).empty(); })) << lab.collector().log();
  load.Stop();
  EXPECT_THAT(AuditProblem(lab), ::testing::HasSubstr("rolled back"));
  EXPECT_THAT(lab.collector().log(), ::testing::HasSubstr("nothing is freed"));
  EXPECT_THAT(Metrics(lab), ::testing::HasSubstr("\nvirp_collector_audit_failed 1\n"));
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return SpoolHolds(lab, "AUDIT_FAILED"); }));
  EXPECT_EQ(Audited(lab), told);
  const auto chain = lab.GetChain();
  ASSERT_TRUE(chain.ok()) << chain.status();
  EXPECT_THAT(chain->frozen(), ::testing::HasSubstr("rolled back"));
  EXPECT_LT(chain->size(), told);
}

}  // namespace
}  // namespace virp::twins
