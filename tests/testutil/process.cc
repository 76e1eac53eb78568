#include "tests/testutil/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "lib/base/status.h"

namespace virp::testutil {
namespace {

// Only calls that are safe between fork and exec.
[[noreturn]] void Become(char* const* argv, char* const* environment, int log) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int in = ::open("/dev/null", O_RDONLY);
  if (in < 0 || ::dup2(in, 0) < 0 || ::dup2(log, 1) < 0 || ::dup2(log, 2) < 0) ::_exit(126);
  ::execve(argv[0], argv, environment);
  ::_exit(127);
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

absl::Status Process::Start() {
  if (running()) return FailedPrecondition("{} runs already", options_.command.at(0));
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (options_.environment.count(std::string(text.substr(0, text.find('=')))) == 0) environment.emplace_back(text);
  }
  for (const auto& [name, value] : options_.environment) environment.push_back(fmt::format("{}={}", name, value));
  const std::vector<char*> argv = Pointers(options_.command), envp = Pointers(environment);
  const int log = ::open(options_.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) return Unavailable("cannot write {}", options_.log);
  const pid_t pid = ::fork();
  if (pid == 0) Become(argv.data(), envp.data(), log);
  ::close(log);
  if (pid < 0) return Unavailable("cannot fork for {}", options_.command[0]);
  pid_ = pid;
  return absl::OkStatus();
}

void Process::Kill() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

void Process::Pause() const {
  if (pid_ == 0 || ::kill(pid_, SIGSTOP) != 0) return;
  int status = 0;
  while (::waitpid(pid_, &status, WUNTRACED) == pid_ && !WIFSTOPPED(status)) {
  }
}

void Process::Resume() const {
  if (pid_ != 0) ::kill(pid_, SIGCONT);
}

bool Process::running() {
  if (pid_ == 0) return false;
  if (::waitpid(pid_, &status_, WNOHANG) != pid_) return true;
  pid_ = 0;
  return false;
}

absl::StatusOr<int> Process::AwaitExit(std::chrono::milliseconds patience) {
  if (!WaitUntil(patience, [this] { return !running(); }))
    return DeadlineExceeded("{} does not end", options_.command[0]);
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

absl::StatusOr<int> Process::Terminate(std::chrono::milliseconds patience) {
  if (pid_ != 0) ::kill(pid_, SIGTERM);
  return AwaitExit(patience);
}

std::string Process::log() const {
  std::ifstream file(options_.log);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace virp::testutil
