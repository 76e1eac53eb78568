// Old entries are moved out of the store of an O-Node that runs, by the command as an operator gives it: proofs, audits
// and exports go on, a restart finds everything, and without the archive it says what it lacks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/chain/note.h"
#include "lib/store/postgres.h"
#include "tests/fault/fault_test_util.h"
#include "tests/testutil/postgres.h"

namespace virp::twins {
namespace {

using namespace std::chrono_literals;
using testutil::Process;
using testutil::ServiceLab;
using testutil::WaitUntil;

constexpr auto kPatience = 60s;
constexpr std::uint64_t kEntries = 2'600;
constexpr const char* kBelow = "2100";

class RetentionTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    testutil::LabOptions options;
    options.binaries = fault::BuildFolder();
    if (GetParam()) {
      auto cluster = testutil::PostgresCluster::Start();
      ASSERT_OK(cluster);
      cluster_ = *std::move(cluster);
      url_ = *cluster_->CreateDatabase();
      options.stores = {url_};
      store_ = url_;
    }
    lab_ = std::make_unique<ServiceLab>(options);
    if (!GetParam()) store_ = "sqlite:" + lab_->onode_folder() + "/chain.db";
    if (GetParam()) {
      // The smallest partitions that there are, so that a test can fill some.
      ASSERT_EQ(Run({"migrate"}).first, 0);
      ASSERT_OK(Sql("ALTER TABLE onode.chain ALTER partition_width SET DEFAULT 1024"));
    }
    lab_->onode().options().command.insert(lab_->onode().options().command.end(), {"--archive", folder_.path()});
    ASSERT_OK(lab_->Start());
    fault::Load load(*lab_, {});
    load.Start();
    ASSERT_TRUE(WaitUntil(kPatience, [&] { return Signed() >= kEntries; }));
  }

  std::uint64_t Signed() {
    const auto chain = lab_->GetChain();
    const auto note = chain.ok() ? chain::ParseCheckpointUnverified(chain->checkpoint()) : chain.status();
    return note.ok() ? note->size : 0;
  }

  absl::Status Sql(const std::string& sql) {
    ASSIGN_OR_RETURN(const auto owner, store::PostgresConnection::Open({.url = url_}));
    return owner->Query(sql).status();
  }

  // The program with these arguments behind the store's: exit status and what it said.
  std::pair<int, std::string> Run(std::vector<std::string> arguments) {
    std::vector<std::string> command{fault::BuildFolder() + "/services/onode/virp-onode"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    Process process({.command = command,
                     .environment = {{"VIRP_ONODE_STORE", store_}},
                     .log = scratch_.File("run-" + std::to_string(++runs_))});
    EXPECT_OK(process.Start());
    const auto status = process.AwaitExit(kPatience);
    EXPECT_OK(status);
    return {status.value_or(-1), process.log()};
  }
  std::pair<int, std::string> Archive(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"--archive", folder_.path(),      "archive",
                                       "--origin",  ServiceLab::kOrigin, "--below",
                                       kBelow,      "--checkpoint-key",  lab_->verifier()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Run(arguments);
  }

  void ExpectVerified() {
    const auto report = lab_->VerifyChain();
    ASSERT_OK(report);
    EXPECT_EQ(report->result(), chain::v1::VerifyReport::RESULT_VERIFIED) << report->ShortDebugString();
  }

  testutil::TempDir folder_, scratch_;
  std::unique_ptr<testutil::PostgresCluster> cluster_;
  std::string url_, store_;
  std::unique_ptr<ServiceLab> lab_;
  int runs_ = 0;
};

TEST_P(RetentionTest, AnONodeThatRunsNoticesNothing) {
  ASSERT_TRUE(fault::Drained(*lab_));
  const auto before = lab_->Entries();
  ASSERT_OK(before);
  const auto [status, said] = Archive();
  ASSERT_EQ(status, 0) << said;
  EXPECT_THAT(said, ::testing::HasSubstr("below=2048"));

  const auto expect_same = [&] {
    const auto after = lab_->Entries();
    ASSERT_OK(after);
    ASSERT_GE(after->size(), before->size());
    for (std::size_t i = 0; i < before->size(); ++i) ASSERT_TRUE((*after)[i] == (*before)[i]) << "entry " << i;
    ASSERT_NO_FATAL_FAILURE(ExpectVerified());
  };
  ASSERT_NO_FATAL_FAILURE(expect_same());
  ASSERT_OK(lab_->onode().Terminate(kPatience).status());
  ASSERT_OK(lab_->StartONode());
  ASSERT_NO_FATAL_FAILURE(expect_same());
  EXPECT_EQ(lab_->GetChain()->frozen(), "");

  const auto [dropped, told] = Archive({"--drop-detached"});
  EXPECT_EQ(dropped, 0) << told;
  if (GetParam()) EXPECT_THAT(told, ::testing::HasSubstr("dropped=2048"));
  ASSERT_NO_FATAL_FAILURE(expect_same());

  // Without the folder it does not start, and says which one is wanted.
  ASSERT_OK(lab_->onode().Terminate(kPatience).status());
  auto& command = lab_->onode().options().command;
  command.resize(command.size() - 2);
  ASSERT_OK(lab_->onode().Start());
  const auto ended = lab_->onode().AwaitExit(kPatience);
  ASSERT_OK(ended);
  EXPECT_EQ(*ended, 1);
  EXPECT_THAT(lab_->onode().log(), ::testing::HasSubstr("name the folder of the archive with --archive"));
}

TEST_P(RetentionTest, TheCommandSaysWhatIsWrong) {
  EXPECT_THAT(Run({"archive", "--origin", ServiceLab::kOrigin, "--below", "9", "--checkpoint-key", lab_->verifier()}),
              ::testing::Pair(2, ::testing::HasSubstr("archive: name the folder")));
  EXPECT_THAT(Archive({"--keep", "24h"}), ::testing::Pair(2, ::testing::HasSubstr("below or keep")));
  const auto [status, said] = Run({"--archive", folder_.path(), "archive", "--origin", ServiceLab::kOrigin, "--keep",
                                   "24h", "--checkpoint-key", lab_->verifier()});
  EXPECT_EQ(status, 0) << said;
  EXPECT_THAT(said, ::testing::HasSubstr("below=0"));
}

INSTANTIATE_TEST_SUITE_P(Stores, RetentionTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Postgres" : "Sqlite"; });

}  // namespace
}  // namespace virp::twins
