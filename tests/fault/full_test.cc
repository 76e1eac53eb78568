// Disks that are full: each program refuses with a reason, says so, loses nothing that it answered, and goes on by
// itself when there is room again. The disk is the one of disk.h: no mount, no root.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/chain/note.h"
#include "tests/fault/disk.h"
#include "tests/fault/fault_test_util.h"
#include "tests/testutil/postgres.h"

namespace virp::fault {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using testutil::Eventually;
using testutil::ServiceLab;

constexpr std::int64_t kLittle = 200'000;  // bytes; less than a second of load

std::uint64_t SizeOf(ServiceLab& lab) {
  const auto chain = lab.GetChain();
  return chain.ok() ? chain->size() : 0;
}

std::uint64_t CheckpointOf(ServiceLab& lab) {
  const auto chain = lab.GetChain();
  const auto checkpoint = chain.ok() ? chain::ParseCheckpointUnverified(chain->checkpoint()) : chain.status();
  return checkpoint.ok() ? checkpoint->size : 0;
}

std::string MetricOf(testutil::Process& service, const std::string& name) {
  const std::string page = ServiceLab::AdminPage(service, "/metrics");
  const std::size_t at = page.find("\n" + name);
  return at == std::string::npos ? "" : page.substr(at + 1, page.find('\n', at + 1) - at - 1);
}

// Fills the disk under load, waits until it shows, gives the room back, and holds what came of it against what was
// answered.
void FillUnderLoad(ServiceLab& lab, Disk& disk, const std::function<void()>& while_full,
                   const std::function<void()>& afterwards) {
  constexpr std::uint64_t kSome = 200;  // entries before the disk is full, and when it is not any more
  Load load(lab, {});
  load.Start();
  const std::uint64_t at_first = SizeOf(lab);
  EXPECT_TRUE(Eventually([&] { return SizeOf(lab) >= at_first + kSome; }));
  disk.control().free_bytes = kLittle;
  EXPECT_TRUE(Eventually([&] { return disk.control().refused > 0; }));
  while_full();
  disk.control().free_bytes = kDiskUnlimited;
  afterwards();
  const std::uint64_t room = SizeOf(lab);
  EXPECT_TRUE(Eventually([&] { return SizeOf(lab) >= room + kSome; }));
  load.Stop();
  ExpectNothingLost(lab, load);
}

void ExpectONodeSaysThatItsStoreIsFull(ServiceLab& lab) {
  EXPECT_TRUE(Eventually([&] { return MetricOf(lab.onode(), "virp_onode_store_reserve_only").ends_with(" 1"); }))
      << lab.onode().log();
  EXPECT_TRUE(
      Eventually([&] { return lab.onode().log().find("the store is full but for its reserve") != std::string::npos; }));
  EXPECT_TRUE(Eventually([&] {
    const auto status = lab.CollectorStatus();
    return status.ok() && status->delivery_problem().find("the store is full") != std::string::npos;
  })) << lab.CollectorStatus()->ShortDebugString();
  const std::uint64_t size = SizeOf(lab);
  EXPECT_GT(size, 0U) << "it answers readers";
  const auto report = lab.VerifyChain();
  EXPECT_TRUE(report.ok() && report->result() == chain::v1::VerifyReport::RESULT_VERIFIED) << report.status();
}

void ExpectONodeGoesOn(ServiceLab& lab) {
  const std::uint64_t size = SizeOf(lab);
  EXPECT_TRUE(Eventually([&] { return SizeOf(lab) > size + 1'000; })) << lab.onode().log();
  EXPECT_TRUE(Eventually([&] { return MetricOf(lab.onode(), "virp_onode_store_reserve_only").ends_with(" 0"); }));
  EXPECT_TRUE(lab.onode().running());
}

TEST(Full, ONodeOnSqlite) {
  ServiceLab lab({.binaries = BuildFolder()});
  Disk disk(lab.onode_folder(), /*journal=*/false);
  lab.onode().options().environment = disk.Environment();
  ASSERT_OK(lab.Start());
  FillUnderLoad(lab, disk, [&] { ExpectONodeSaysThatItsStoreIsFull(lab); }, [&] { ExpectONodeGoesOn(lab); });
}

// The tables have no room. The server's log has a disk of its own here: without room for it the server ends, which the
// kill tests are about.
TEST(Full, PostgresOfTheONode) {
  ASSERT_OK_AND_ASSIGN(const auto cluster, testutil::PostgresCluster::Start());
  ASSERT_OK_AND_ASSIGN(const std::string database, cluster->CreateDatabase());
  ASSERT_OK(cluster->Stop());
  Disk disk(cluster->data_folder() + "/base", /*journal=*/false);
  ASSERT_OK(cluster->Restart(disk.Environment()));
  ServiceLab lab({.binaries = BuildFolder(), .stores = {database}});
  ASSERT_OK(lab.Start());
  FillUnderLoad(
      lab, disk,
      [&] {
        EXPECT_TRUE(Eventually([&] {
          const auto status = lab.CollectorStatus();
          return status.ok() && status->delivery_problem().find("out of space") != std::string::npos;
        })) << lab.CollectorStatus()->ShortDebugString();
        EXPECT_THAT(cluster->log(), HasSubstr("Check free disk space"));
        EXPECT_GT(SizeOf(lab), 0U) << "it answers readers";
        const auto report = lab.VerifyChain();
        EXPECT_TRUE(report.ok() && report->result() == chain::v1::VerifyReport::RESULT_VERIFIED) << report.status();
      },
      [&] {
        const std::uint64_t size = SizeOf(lab);
        EXPECT_TRUE(Eventually([&] { return SizeOf(lab) > size + 1'000; })) << lab.onode().log();
        EXPECT_TRUE(lab.onode().running());
      });
}

// The folder of the checkpoint file has a disk of its own: entries are taken as ever, and none is shown as
// checkpointed.
TEST(Full, CheckpointFile) {
  ServiceLab lab({.binaries = BuildFolder()});
  ASSERT_OK(lab.Start());
  lab.onode().Kill();
  Disk disk(lab.onode_folder() + "/state", /*journal=*/false);
  lab.onode().options().environment = disk.Environment();
  ASSERT_OK(lab.StartONode());
  std::uint64_t checkpoint = 0;
  Load load(lab, {});
  load.Start();
  EXPECT_TRUE(Eventually([&] { return CheckpointOf(lab) > 500; }));
  disk.control().free_bytes = 0;
  EXPECT_TRUE(Eventually([&] { return disk.control().refused > 1; }));
  checkpoint = CheckpointOf(lab);
  const std::uint64_t size = SizeOf(lab);
  EXPECT_TRUE(Eventually([&] { return SizeOf(lab) > size + 1'000; })) << "entries need no checkpoint file";
  EXPECT_EQ(CheckpointOf(lab), checkpoint);
  EXPECT_TRUE(Eventually([&] { return lab.onode().log().find("no checkpoint can be made") != std::string::npos; }));
  EXPECT_THAT(lab.onode().log(), HasSubstr("No space left on device"));
  EXPECT_THAT(MetricOf(lab.onode(), "virp_onode_checkpoint_lag_entries"), Not(HasSubstr(" 0")));
  disk.control().free_bytes = kDiskUnlimited;
  EXPECT_TRUE(Eventually([&] { return CheckpointOf(lab) > size; })) << lab.onode().log();
  EXPECT_TRUE(Eventually([&] { return lab.onode().log().find("checkpoints are made again") != std::string::npos; }));
  load.Stop();
  ExpectNothingLost(lab, load);
}

TEST(Full, CollectorsSpool) {
  ServiceLab lab({.binaries = BuildFolder()});
  Disk disk(lab.collector_folder(), /*journal=*/false);
  lab.collector().options().environment = disk.Environment();
  ASSERT_OK(lab.Start());
  const auto stub = collector::v1::CollectorService::NewStub(lab.CollectorChannel(service::Role::kProducer));
  const auto submit = [&] {
    collector::v1::SubmitRequest request;
    request.set_request_id("00000000-0000-4000-8000-00000000f011");
    auto& observation = *request.add_observations();
    observation.set_source(ServiceLab::kSubmitted);
    observation.set_type(3);
    observation.set_payload(PathPayload("full", 1));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 5s);
    collector::v1::SubmitResponse response;
    return stub->Submit(&context, request, &response);
  };
  grpc::Status refused;
  FillUnderLoad(
      lab, disk,
      [&] {
        EXPECT_TRUE(Eventually([&] { return !(refused = submit()).ok(); }));
        EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << refused.error_message();
        EXPECT_THAT(refused.error_message(), HasSubstr("No space left on device"));
        EXPECT_TRUE(Eventually([&] { return MetricOf(lab.collector(), "virp_collector_spool_full").ends_with(" 1"); }));
        EXPECT_THAT(ServiceLab::AdminPage(lab.collector(), "/readyz"), HasSubstr("spool"));
        EXPECT_TRUE(
            Eventually([&] { return lab.collector().log().find("No space left on device") != std::string::npos; }));
      },
      [&] {
        EXPECT_TRUE(Eventually([&] { return submit().ok(); })) << lab.collector().log();
        EXPECT_TRUE(Eventually(
            [&] { return ServiceLab::AdminPage(lab.collector(), "/readyz").find(" 200 ") != std::string::npos; }));
        EXPECT_TRUE(lab.collector().running());
      });
}

}  // namespace
}  // namespace virp::fault
