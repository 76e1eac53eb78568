// Somebody with root makes the store's, or the spool's, files immutable (chattr +i): each program refuses with a
// reason, says so where it is looked for, and goes on by itself afterwards with nothing lost.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <filesystem>
#include <string>
#include <vector>

#include "lib/base/file.h"
#include "tests/fault/fault_test_util.h"

namespace virp::fault {
namespace {

using testutil::Eventually;
using testutil::ServiceLab;

// These, until the end of this object. `held` is false where the file system or this user cannot do that.
class Immutable {
 public:
  explicit Immutable(std::vector<std::string> paths) : paths_(std::move(paths)) { held_ = Set(true); }
  ~Immutable() { Set(false); }
  bool held() const { return held_; }

 private:
  bool Set(bool on) const {
    bool all = true;
    for (const std::string& path : paths_) all = One(path, on) && all;
    return all;
  }
  static bool One(const std::string& path, bool on) {
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    int flags = 0;
    if (!file || ::ioctl(file.get(), FS_IOC_GETFLAGS, &flags) != 0) return false;
    flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    return ::ioctl(file.get(), FS_IOC_SETFLAGS, &flags) == 0;
  }

  const std::vector<std::string> paths_;
  bool held_ = false;
};

// The folder and the files in it.
std::vector<std::string> AllOf(const std::string& folder) {
  std::vector<std::string> out{folder};
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.is_regular_file()) out.push_back(file.path());
  }
  return out;
}

std::uint64_t SizeOf(ServiceLab& lab) {
  const auto chain = lab.GetChain();
  return chain.ok() ? chain->size() : 0;
}
TEST(Immutable, ONodeOnSqlite) {
  ServiceLab lab({.binaries = BuildFolder()});
  ASSERT_OK(lab.Start());
  Load load(lab, {});
  load.Start();
  ASSERT_TRUE(Eventually([&] { return SizeOf(lab) > 200; }));
  {
    // Not the -shm file: SQLite maps it, and the kernel ends a process (SIGBUS) that writes to an immutable mapping.
    const std::string database = lab.onode_folder() + "/chain.db";
    const Immutable lock({database, database + "-wal"});
    if (!lock.held()) GTEST_SKIP() << "this file system, or this user, makes nothing immutable";
    EXPECT_TRUE(Eventually([&] { return lab.onode().log().find("disk I/O error") != std::string::npos; }))
        << lab.onode().log();
    const std::uint64_t size = SizeOf(lab);
    EXPECT_GT(size, 0U) << "it answers readers";
    const auto report = lab.VerifyChain();
    EXPECT_TRUE(report.ok() && report->result() == chain::v1::VerifyReport::RESULT_VERIFIED) << report.status();
  }
  const std::uint64_t size = SizeOf(lab);
  EXPECT_TRUE(Eventually([&] { return SizeOf(lab) > size + 200; })) << lab.onode().log();
  EXPECT_TRUE(lab.onode().running());
  load.Stop();
  ExpectNothingLost(lab, load);
}

TEST(Immutable, CollectorsSpool) {
  ServiceLab lab({.binaries = BuildFolder()});
  ASSERT_OK(lab.Start());
  Load load(lab, {});
  load.Start();
  ASSERT_TRUE(Eventually([&] { return SizeOf(lab) > 200; }));
  {
    const Immutable lock(AllOf(lab.collector_folder() + "/spool/frames"));
    if (!lock.held()) GTEST_SKIP() << "this file system, or this user, makes nothing immutable";
    // It does not go on without its spool: it ends, with the reason, for whoever restarts it to see.
    const auto ended = lab.collector().AwaitExit(std::chrono::seconds(30));
    ASSERT_OK(ended);
    EXPECT_NE(*ended, 0);
    EXPECT_THAT(lab.collector().log(), ::testing::HasSubstr("the spool takes nothing any more"));
    EXPECT_THAT(lab.collector().log(), ::testing::HasSubstr("Operation not permitted"));
  }
  ASSERT_OK(lab.StartCollector());
  const std::uint64_t size = SizeOf(lab);
  EXPECT_TRUE(Eventually([&] { return SizeOf(lab) > size + 200; })) << lab.collector().log();
  load.Stop();
  ExpectNothingLost(lab, load);
}

}  // namespace
}  // namespace virp::fault
