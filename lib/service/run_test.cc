#include "lib/service/run.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "lib/base/sleeper.h"
#include "lib/base/status.h"
#include "lib/service/logging.h"
#include "tests/testutil/temp_dir.h"

namespace virp::service {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// What systemd would hear.
class NotifySocket {
 public:
  NotifySocket() {
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    const std::string path = dir_.File("notify");
    std::memcpy(at.sun_path, path.c_str(), path.size() + 1);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    const timeval patience{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~NotifySocket() {
    ::unsetenv("NOTIFY_SOCKET");
    ::close(fd_);
  }
  std::string Next() const {
    char buffer[512];
    const ssize_t size = ::recv(fd_, buffer, sizeof(buffer), 0);
    return size < 0 ? "nothing" : std::string(buffer, static_cast<std::size_t>(size));
  }

 private:
  testutil::TempDir dir_;
  int fd_;
};

class RunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::pthread_sigmask(SIG_SETMASK, nullptr, &before_);
    BlockSignals();
    SetUpLogging({.service = "test", .sink = [this](std::string_view line) { log_ += line; }});
  }
  void TearDown() override {
    SetUpLogging({.service = "test", .sink = [](std::string_view) {}});
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  sigset_t before_{};
  std::string log_;  // lines are written by one thread at a time
};

TEST_F(RunTest, ReadyReloadDrainInOrder) {
  const NotifySocket systemd;
  std::vector<std::string> events;
  Runner runner;
  runner.OnReload("first", [&] {
    events.emplace_back("reload first");
    return Unavailable("no file");
  });
  runner.OnReload("second", [&] {
    events.emplace_back("reload second");
    return absl::OkStatus();
  });
  runner.OnDrain("door", [&] { events.emplace_back("door"); });
  runner.OnDrain("flush", [&] { events.emplace_back("flush"); });
  std::thread manager([&] {
    EXPECT_EQ(systemd.Next(), "READY=1");
    ::kill(::getpid(), SIGHUP);
    EXPECT_THAT(systemd.Next(), StartsWith("RELOADING=1\nMONOTONIC_USEC="));
    EXPECT_EQ(systemd.Next(), "READY=1");
    ::kill(::getpid(), SIGTERM);
    EXPECT_EQ(systemd.Next(), "STOPPING=1");
  });
  EXPECT_EQ(runner.Run(), 0);
  manager.join();
  EXPECT_THAT(events, ElementsAre("reload first", "reload second", "door", "flush"));
  EXPECT_THAT(log_, HasSubstr("reload failed; what was there before stays in force part=first code=UNAVAILABLE"));
  EXPECT_THAT(log_, HasSubstr("reloaded parts=second"));
  EXPECT_THAT(log_, HasSubstr("stopping why=SIGTERM"));
}

TEST_F(RunTest, AFailingTaskEndsTheServiceWithOne) {
  Runner runner;
  bool drained = false;
  runner.OnDrain("x", [&] { drained = true; });
  runner.tasks().Start("sequencer", [](const std::stop_token&) { return DataLoss("entry 7"); });
  EXPECT_EQ(runner.Run(), 1);
  EXPECT_TRUE(drained);
  EXPECT_THAT(log_, HasSubstr("task=sequencer code=DATA_LOSS error=\"entry 7\""));
}

TEST_F(RunTest, AnExceptionInATaskIsAFailureToo) {
  Runner runner;
  runner.tasks().Start("x", [](const std::stop_token&) -> absl::Status { throw std::runtime_error("boom"); });
  EXPECT_EQ(runner.Run(), 1);
  EXPECT_THAT(log_, HasSubstr("boom"));
}

TEST_F(RunTest, TasksAreStoppedAfterTheDrain) {
  Runner runner;
  SystemSleeper sleeper;
  std::atomic<bool> running = false;
  std::atomic<bool> stopped = false;
  runner.tasks().Start("sleeper", [&](const std::stop_token& stop) {
    running = true;
    EXPECT_FALSE(sleeper.SleepFor(std::chrono::hours(1), stop));
    stopped = true;
    return absl::OkStatus();
  });
  runner.OnDrain("x", [&] { EXPECT_FALSE(stopped); });
  while (!running) std::this_thread::yield();
  runner.RequestStop("test");
  runner.RequestStop("again", 5);  // the first one counts
  EXPECT_EQ(runner.Run(), 0);
  EXPECT_TRUE(stopped);
  runner.tasks().Start("late", [&](const std::stop_token&) {
    ADD_FAILURE() << "started after the end";
    return absl::OkStatus();
  });
}

TEST_F(RunTest, TheWatchdogIsFedOnlyWhileAlive) {
  const NotifySocket systemd;
  ::setenv("WATCHDOG_USEC", "20000", 1);
  std::atomic<bool> alive = true;
  std::atomic<int> asked_while_dead = 0;
  {
    Runner runner;
    runner.OnWatchdog([&] {
      if (!alive && ++asked_while_dead == 3) runner.RequestStop("seen enough");
      return alive ? absl::OkStatus() : Unavailable("stuck");
    });
    std::thread manager([&] {
      EXPECT_EQ(systemd.Next(), "READY=1");
      for (int i = 0; i < 3; ++i) EXPECT_EQ(systemd.Next(), "WATCHDOG=1");
      alive = false;
      std::string next = systemd.Next();
      while (next == "WATCHDOG=1") next = systemd.Next();  // at most the one that was under way
      EXPECT_EQ(next, "STOPPING=1");
    });
    EXPECT_EQ(runner.Run(), 0);
    manager.join();
  }
  ::unsetenv("WATCHDOG_USEC");
  EXPECT_EQ(asked_while_dead, 3);
}

TEST_F(RunTest, ASecondSignalDuringTheDrainEndsAtOnce) {
  int pipe_fds[2];
  ASSERT_EQ(::pipe(pipe_fds), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Runner runner;
    runner.OnDrain("stuck", [&] {
      [[maybe_unused]] const ssize_t written = ::write(pipe_fds[1], "d", 1);
      ::pause();
    });
    runner.RequestStop("test");
    ::_exit(runner.Run());
  }
  char byte = 0;
  ASSERT_EQ(::read(pipe_fds[0], &byte, 1), 1);
  ::kill(child, SIGTERM);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  ::close(pipe_fds[0]);
  ::close(pipe_fds[1]);
}

}  // namespace
}  // namespace virp::service
