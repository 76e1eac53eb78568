// Whom the module connects to, and boot epochs.
#include "door.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "epoch.h"
#include "lib/base/file.h"
#include "tests/testutil/temp_dir.h"

namespace virp::frr {
namespace {

using ::testing::HasSubstr;

constexpr uid_t kStranger = 65534;

class FrrDoor : public ::testing::Test {
 protected:
  FrrDoor() { ::chmod(dir_.path().c_str(), 0750); }

  FileDescriptor Listen(mode_t mode = 0660) {
    ::unlink(path_.c_str());
    FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, path_.c_str(), sizeof(at.sun_path) - 1);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    EXPECT_EQ(::listen(socket.get(), 4), 0);
    EXPECT_EQ(::chmod(path_.c_str(), mode), 0);
    return socket;
  }
  // Why it is not connected; empty when it is.
  std::string Open(long uid = VIRP_NO_UID) {
    char why[VIRP_WHY] = "";
    const FileDescriptor socket(::virp_door_open(path_.c_str(), uid, why));
    EXPECT_EQ(socket.get() < 0, why[0] != '\0') << why;
    return why;
  }

  testutil::TempDir dir_;
  const std::string path_ = dir_.File("frames.sock");
};

TEST_F(FrrDoor, ASocketInACarefulFolder) {
  const FileDescriptor listening = Listen();
  EXPECT_EQ(Open(), "");
  EXPECT_EQ(Open(::getuid()), "");
  EXPECT_THAT(Open(kStranger), HasSubstr("virp onode-uid"));
}

TEST_F(FrrDoor, WhatAnybodyCouldHavePutThere) {
  const FileDescriptor listening = Listen();
  ::chmod(dir_.path().c_str(), 01777);
  EXPECT_THAT(Open(), HasSubstr("virp onode-uid is not set"));
  EXPECT_EQ(Open(::getuid()), "");
  ::chmod(dir_.path().c_str(), 0777);
  EXPECT_THAT(Open(::getuid()), HasSubstr("not sticky"));
  ::chmod(dir_.path().c_str(), 0750);
  ::chmod(path_.c_str(), 0666);
  EXPECT_THAT(Open(), HasSubstr("write to the socket"));
}

TEST_F(FrrDoor, WhatIsNoSocket) {
  EXPECT_THAT(Open(), HasSubstr("No such file"));
  std::ofstream(path_) << "x";
  EXPECT_THAT(Open(), HasSubstr("no socket"));
  ::unlink(path_.c_str());
  ASSERT_EQ(::symlink("/dev/log", path_.c_str()), 0);
  EXPECT_THAT(Open(), HasSubstr("no socket"));
  char why[VIRP_WHY] = "";
  EXPECT_EQ(::virp_door_open("frames.sock", VIRP_NO_UID, why), -1);
  EXPECT_THAT(why, HasSubstr("begin with /"));
  EXPECT_EQ(::virp_door_open(std::string(200, '/').c_str(), VIRP_NO_UID, why), -1);
  EXPECT_THAT(why, HasSubstr("too long"));
}

TEST_F(FrrDoor, NobodyListens) {
  Listen();
  EXPECT_THAT(Open(), HasSubstr("refused"));
}

// A stranger who may write to the folder cannot listen under the collector's name: not with a socket of his, nor when
// the file is the collector's and he is the one who listens.
TEST_F(FrrDoor, SquattersAreRefused) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root, to be two users";
  {
    const FileDescriptor listening = Listen();
    ASSERT_EQ(::chown(path_.c_str(), kStranger, kStranger), 0);
    EXPECT_THAT(Open(), HasSubstr("not the socket's owner"));  // we listen, it is his
  }
  ::unlink(path_.c_str());
  ::chmod(dir_.path().c_str(), 01777);
  int ready[2], done[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(done), 0);
  const pid_t squatter = ::fork();
  if (squatter == 0) {
    char end;
    if (::setuid(kStranger) != 0) ::_exit(1);
    const FileDescriptor listening = Listen();
    const bool told = ::write(ready[1], "x", 1) == 1;
    ::close(done[1]);
    ::_exit(told && ::read(done[0], &end, 1) == 0 ? 0 : 1);
  }
  ::close(done[0]);
  char go;
  ASSERT_EQ(::read(ready[0], &go, 1), 1);
  EXPECT_THAT(Open(), HasSubstr("virp onode-uid is not set"));
  EXPECT_THAT(Open(0), HasSubstr("not of the user of virp onode-uid"));
  EXPECT_EQ(Open(kStranger), "");
  ::close(done[1]);
  int status = 0;
  ::waitpid(squatter, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(FrrEpoch, IsGreaterInEveryRun) {
  const testutil::TempDir dir;
  virp_state state;
  const std::string path = dir.File("epoch");
  char why[VIRP_WHY] = "";
  EXPECT_EQ(::virp_epoch_next(path.c_str(), 100, &state, why), 100u);
  EXPECT_STREQ(why, "");
  EXPECT_EQ(::virp_epoch_next(path.c_str(), 200, &state, why), 200u);
  EXPECT_EQ(::virp_epoch_next(path.c_str(), 150, &state, why), 201u);  // the clock stepped back
  EXPECT_EQ(::virp_epoch_next(path.c_str(), 201, &state, why), 202u);
  EXPECT_STREQ(why, "");
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), "202\n");
}

TEST(FrrEpoch, WhatRunsLeftStaysInTheFile) {
  const testutil::TempDir dir;
  const std::string path = dir.File("epoch");
  char why[VIRP_WHY] = "";
  virp_state state{};
  state.epoch = 100;
  for (std::uint64_t run = 1; run <= VIRP_LEFT_MAX + 1; ++run) {
    const virp_left left{run, 5, 5 + run};
    ::virp_state_leave(&state, &left);
  }
  ASSERT_TRUE(::virp_state_write(path.c_str(), &state, why)) << why;
  EXPECT_EQ(::virp_epoch_next(path.c_str(), 200, &state, why), 200u);
  virp_state read;
  ASSERT_TRUE(::virp_state_read(path.c_str(), &read, why)) << why;
  EXPECT_EQ(read.epoch, 200u);
  ASSERT_EQ(read.left_count, static_cast<std::uint32_t>(VIRP_LEFT_MAX));
  EXPECT_EQ(read.left[0].epoch, 2u) << "the oldest makes room";
  EXPECT_EQ(read.left[VIRP_LEFT_MAX - 1].to, 5u + VIRP_LEFT_MAX + 1);
  std::ofstream(path, std::ios::app) << "1 2\n";
  EXPECT_FALSE(::virp_state_read(path.c_str(), &read, why));
}

TEST(FrrEpoch, WithoutAFileTheClockHasToDo) {
  const testutil::TempDir dir;
  virp_state state;
  char why[VIRP_WHY] = "";
  EXPECT_EQ(::virp_epoch_next("", 7, &state, why), 7u);
  EXPECT_THAT(why, HasSubstr("no state file"));
  EXPECT_EQ(::virp_epoch_next(dir.File("no/such/folder").c_str(), 7, &state, why), 7u);
  EXPECT_THAT(why, HasSubstr("No such file"));
  std::ofstream(dir.File("odd")) << "not a number\n";
  EXPECT_EQ(::virp_epoch_next(dir.File("odd").c_str(), 7, &state, why), 7u);
  EXPECT_THAT(why, HasSubstr("does not hold a number"));
}

}  // namespace
}  // namespace virp::frr
