#include "lib/service/deny_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::service {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;

TEST(DenySnapshotTest, ReadsIdsAndSerials) {
  ASSERT_OK_AND_ASSIGN(const DenySnapshot list, DenySnapshot::Parse("# lost laptops\n"
                                                                    "serial 00:4F:1C   # alice\n"
                                                                    "\n"
                                                                    "\tid  spiffe://t/collector/c7\r\n"
                                                                    "id spiffe://t/reader/x"));
  EXPECT_EQ(list.size(), 3U);
  EXPECT_TRUE(list.HasSerial("4f1c"));
  EXPECT_FALSE(list.HasSerial("004f1c"));  // callers ask in the canonical spelling
  EXPECT_TRUE(list.HasId("spiffe://t/collector/c7"));
  EXPECT_TRUE(list.HasId("spiffe://t/reader/x"));
  EXPECT_FALSE(list.HasId("spiffe://t/collector/c"));
  EXPECT_FALSE(list.HasId(""));
}

TEST(DenySnapshotTest, OneBadLineRefusesTheFile) {
  for (const char* line : {"spiffe://t/a/b", "id", "id a", "id spiffe://t/a b", "serial", "serial xyz", "serial 4f 1c",
                           "ID spiffe://t/a/b", "deny x", "id spiffe://t/a/b?c"}) {
    EXPECT_THAT(DenySnapshot::Parse(std::string("serial 1\n") + line + "\nserial 2\n"),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr("line 2")))
        << line;
  }
  EXPECT_FALSE(DenySnapshot::Parse(std::string(kMaxDenyFile + 1, '\n')).ok());
  EXPECT_FALSE(DenySnapshot::Parse(std::string("serial 1\n\0", 10)).ok());
}

class DenyListTest : public testing::Test {
 protected:
  void Write(std::string_view text) const {  // in one step, as the docs say
    std::ofstream(path_ + ".new") << text;
    ASSERT_EQ(std::rename((path_ + ".new").c_str(), path_.c_str()), 0);
  }
  std::unique_ptr<DenyList> Open() {
    auto list = DenyList::Open(path_, [this](const absl::Status& status) { events_.push_back(status); });
    EXPECT_OK(list);
    return *std::move(list);
  }
  static bool Denied(const DenyList& list, std::string_view serial) {
    return !list.Check("spiffe://t/a/b", serial).ok();
  }

  testutil::TempDir dir_;
  const std::string path_ = dir_.File("denied");
  std::vector<absl::Status> events_;
};

TEST_F(DenyListTest, RefusesToStartWithoutAGoodFile) {
  EXPECT_THAT(DenyList::Open(path_), StatusIs(StatusCode::kNotFound));
  Write("serial 1\ngarbage\n");
  EXPECT_THAT(DenyList::Open(path_), StatusIs(StatusCode::kInvalidArgument, HasSubstr("line 2")));
  ASSERT_OK_AND_ASSIGN(const auto none, DenyList::Open(""));
  EXPECT_OK(none->Check("spiffe://t/a/b", "1"));
  EXPECT_OK(none->Poll());
}

TEST_F(DenyListTest, NewEntriesCountAtOnce) {
  Write("serial 1\n");
  const auto list = Open();
  EXPECT_TRUE(Denied(*list, "1"));
  EXPECT_FALSE(Denied(*list, "2"));
  const auto before = list->Snapshot();
  Write("serial 1\nserial 2\nid spiffe://t/x/y\n");
  EXPECT_FALSE(Denied(*list, "2"));  // nobody has looked
  EXPECT_OK(list->Poll());
  EXPECT_TRUE(Denied(*list, "2"));
  EXPECT_THAT(list->Check("spiffe://t/x/y", "9"), StatusIs(StatusCode::kPermissionDenied));
  EXPECT_FALSE(before->HasSerial("2"));  // a snapshot does not change
  EXPECT_EQ(events_.size(), 1U);
  EXPECT_OK(list->Poll());
  EXPECT_EQ(events_.size(), 1U);
}

TEST_F(DenyListTest, BrokenFilesChangeNothingAndAreReportedOnce) {
  Write("serial 1\n");
  const auto list = Open();
  Write("serial 1\nserial 2\noops");
  EXPECT_FALSE(list->Poll().ok());
  EXPECT_FALSE(list->Poll().ok());
  EXPECT_TRUE(Denied(*list, "1"));
  EXPECT_FALSE(Denied(*list, "2"));
  ASSERT_EQ(events_.size(), 1U);
  EXPECT_FALSE(events_[0].ok());
  std::remove(path_.c_str());
  EXPECT_THAT(list->Poll(), StatusIs(StatusCode::kNotFound));
  EXPECT_TRUE(Denied(*list, "1"));
  Write("serial 1\nserial 2\n");
  EXPECT_OK(list->Poll());
  EXPECT_TRUE(Denied(*list, "2"));
  EXPECT_OK(events_.back());
}

TEST_F(DenyListTest, AFileThatIsShortForAMomentLetsNobodyIn) {
  Write("serial 1\nserial 2\n");
  const auto list = Open();
  Write("");  // an editor has truncated it
  EXPECT_OK(list->Poll());
  EXPECT_TRUE(Denied(*list, "1"));
  Write("serial 3\n");  // and writes; the old entries are still held, the new one counts
  EXPECT_OK(list->Poll());
  for (const char* serial : {"1", "2", "3"}) EXPECT_TRUE(Denied(*list, serial)) << serial;
  Write("serial 3\nserial 2\n");
  EXPECT_OK(list->Poll());
  for (const char* serial : {"1", "2", "3"}) EXPECT_TRUE(Denied(*list, serial)) << serial;
  EXPECT_OK(list->Poll());  // the same bytes twice: that is the file
  EXPECT_FALSE(Denied(*list, "1"));
  EXPECT_TRUE(Denied(*list, "2"));
  EXPECT_TRUE(Denied(*list, "3"));
}

TEST_F(DenyListTest, GoingBackToTheOldFileLeavesNothingBehind) {
  Write("serial 1\n");
  const auto list = Open();
  Write("serial 2\n");
  EXPECT_OK(list->Poll());
  EXPECT_TRUE(Denied(*list, "2"));
  Write("serial 1\n");
  EXPECT_OK(list->Poll());
  EXPECT_OK(list->Poll());
  EXPECT_TRUE(Denied(*list, "1"));
  EXPECT_FALSE(Denied(*list, "2"));
}

TEST_F(DenyListTest, EmptyingTheListTakesTwoLooks) {
  Write("serial 1\n");
  const auto list = Open();
  Write("# nobody\n");
  EXPECT_OK(list->Poll());
  EXPECT_TRUE(Denied(*list, "1"));
  EXPECT_OK(list->Poll());
  EXPECT_FALSE(Denied(*list, "1"));
}

}  // namespace
}  // namespace virp::service
