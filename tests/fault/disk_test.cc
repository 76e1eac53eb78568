// The disk of these tests tested: what its journal tells, and what a cut leaves.
#include "tests/fault/disk.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/testutil/process.h"
#include "tests/testutil/status_matchers.h"

namespace virp::fault {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testutil::StatusIs;

class DiskTest : public ::testing::Test {
 protected:
  DiskTest() { std::ofstream(dir_.File("before")) << "kept"; }

  // What the probe said.
  std::string Probe(const Disk& disk, const char* what) {
    testutil::Process probe({{VIRP_DISK_PROBE, what, dir_.path()}, disk.Environment(), logs_.File("log")});
    EXPECT_OK(probe.Start());
    EXPECT_THAT(probe.AwaitExit(30s), testutil::IsOkAndHolds(0)) << probe.log();
    return probe.log();
  }
  DiskImage There() const { return ReadImage(dir_.path()).value(); }

  testutil::TempDir dir_, logs_;
  std::mt19937 random_{20260101};
};

const DiskImage kKept = {
    {"before", "kept"},  {"appended", "kept,"}, {"parts", "kept,kept"},  {"resized", std::string("kept\0\0", 6)},
    {"through", "kept"}, {"renamed", "kept"},   {"folder", std::nullopt}};

TEST_F(DiskTest, TheJournalTellsAllThatWasDone) {
  Disk disk(dir_.path());
  Probe(disk, "leave");
  EXPECT_OK(disk.CheckJournal());
  EXPECT_EQ(There().at("appended"), "kept,gone");
  std::ofstream(dir_.File("appended"), std::ios::app) << "by another";
  EXPECT_THAT(disk.CheckJournal(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("appended")));
}

TEST_F(DiskTest, ACutLeavesWhatWasSynced) {
  Disk disk(dir_.path());
  Probe(disk, "leave");
  ASSERT_OK(disk.CutPower(Survives::kNothing, random_));
  EXPECT_EQ(There(), kKept);
  ASSERT_OK(disk.CutPower(Survives::kNothing, random_)) << "nothing was done since";
  EXPECT_EQ(There(), kKept);
}

TEST_F(DiskTest, ADiskThatIgnoresFsyncKeepsNothing) {
  Disk disk(dir_.path());
  disk.control().ignore_sync = 1;
  Probe(disk, "leave");
  ASSERT_OK(disk.CutPower(Survives::kNothing, random_));
  EXPECT_EQ(There(), (DiskImage{{"before", "kept"}}));
}

TEST_F(DiskTest, SomeOfTheRestMaySurvive) {
  Disk disk(dir_.path());
  Probe(disk, "leave");
  ASSERT_OK(disk.CheckJournal());
  std::set<std::string> appended, names;
  for (int i = 0; i < 200; ++i) {
    ASSERT_OK_AND_ASSIGN(const DiskImage image, disk.AfterCut(Survives::kSome, random_));
    appended.insert(*image.at("appended"));
    for (const auto& [name, content] : image) names.insert(name);
    EXPECT_EQ(image.count("renamed") + image.count("renamed.again"), 1U);
    EXPECT_TRUE(image.count("through") == 1 || image.count("renamed.again") == 1)
        << "names of one folder change in order";
  }
  EXPECT_EQ(appended, (std::set<std::string>{"kept,", "kept,gone", std::string("kept,\0\0\0\0", 9)}));
  for (const char* name : {"nameless", "lost", "renamed", "renamed.again", "through", "relative"})
    EXPECT_EQ(names.count(name), 1U) << name;
}

TEST_F(DiskTest, WritesTearBetweenSectors) {
  Disk disk(dir_.path());
  disk.control().free_bytes = 4'000;
  Probe(disk, "fill");
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    ASSERT_OK_AND_ASSIGN(const DiskImage image, disk.AfterCut(Survives::kSome, random_));
    const auto found = image.find("filled");
    if (found != image.end()) seen.insert(*found->second);
  }
  EXPECT_GT(seen.size(), 20U);
  bool torn = false;
  for (const std::string& bytes : seen)
    torn = torn || (bytes.find('x') != bytes.npos && bytes.find(std::string(100, '\0')) != bytes.npos);
  EXPECT_TRUE(torn);
}

TEST_F(DiskTest, AFullDiskRefusesWhatGrows) {
  Disk disk(dir_.path(), /*journal=*/false);
  disk.control().free_bytes = 2'500;
  EXPECT_EQ(Probe(disk, "fill"),
            "2500 bytes, then No space left on device; again over it: 100; another: No space left on device; "
            "larger: No space left on device; room for 700");
  EXPECT_EQ(disk.control().refused, 5U);
  EXPECT_EQ(disk.control().free_bytes, 0);
}

TEST_F(DiskTest, WhatAFailedFsyncWasForIsLostAlthoughProgramsSeeIt) {
  std::string journal;
  const auto add = [&journal](DiskOp op, std::uint64_t at, std::string_view data) {
    const DiskRecord record{.length = static_cast<std::uint32_t>(data.size()), .op = op, .file = 7, .at = at};
    journal.append(reinterpret_cast<const char*>(&record), sizeof(record)).append(data);
  };
  add(DiskOp::kCreate, 0, "/r/f");
  add(DiskOp::kSyncFolder, 0, "/r");
  add(DiskOp::kWrite, 0, "lost,");
  add(DiskOp::kSyncBegin, 1, "");
  add(DiskOp::kWrite, 5, "kept");
  add(DiskOp::kSyncFailed, 1, "");
  add(DiskOp::kSyncBegin, 2, "");
  add(DiskOp::kSyncEnd, 2, "");
  DiskModel model("/r", {});
  ASSERT_OK(model.Replay(journal));
  EXPECT_EQ(model.Now(), (DiskImage{{"f", "lost,kept"}}));
  EXPECT_EQ(model.AfterCut(Survives::kSome, random_), (DiskImage{{"f", std::string("\0\0\0\0\0kept", 9)}}));
}

TEST_F(DiskTest, WhatIsNotModelledGivesNoVerdict) {
  DiskModel model("/r", {});
  const DiskRecord odd{.length = 4, .op = DiskOp::kUnmodelled};
  std::string journal(reinterpret_cast<const char*>(&odd), sizeof(odd));
  EXPECT_OK(model.Replay(journal)) << "cut short by the kill";
  EXPECT_THAT(model.Replay(journal + "link"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("link")));
  const DiskRecord stray{.op = DiskOp::kWrite, .file = 7};
  EXPECT_THAT(model.Replay({reinterpret_cast<const char*>(&stray), sizeof(stray)}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("7")));
}

}  // namespace
}  // namespace virp::fault
