// Runs a program to its end and keeps what it wrote: command lines are tested as people and scripts use them.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/testutil/temp_dir.h"

namespace virp::testutil {

struct ProgramResult {
  int exit = -1;  // 128 and the signal when it did not end by itself
  std::string out, err;
};

inline std::string FileText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A program that runs beside the test, with nothing but `environment` and the sanitizers' options. Killed with the
// object if it still runs.
class Program {
 public:
  Program(const std::vector<std::string>& command, const std::vector<std::string>& environment) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out_path().c_str(), O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err_path().c_str(), O_WRONLY | O_CREAT, 0600);
    std::vector<std::string> words = command, variables = environment;
    for (const char* const name : {"ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"}) {
      if (const char* const value = std::getenv(name)) variables.push_back(std::string(name) + "=" + value);
    }
    const int error =
        posix_spawn(&pid_, words.front().c_str(), &files, nullptr, Pointers(words).data(), Pointers(variables).data());
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) throw std::runtime_error(words.front() + ": " + std::strerror(error));
  }
  ~Program() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    Wait();
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::string out() const { return FileText(out_path()); }  // so far
  std::string err() const { return FileText(err_path()); }
  void Signal(int number) { kill(pid_, number); }
  ProgramResult Wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), out(), err()};
  }

 private:
  static std::vector<char*> Pointers(std::vector<std::string>& words) {
    std::vector<char*> out;
    out.reserve(words.size() + 1);
    for (std::string& word : words) out.push_back(word.data());
    out.push_back(nullptr);
    return out;
  }
  std::string out_path() const { return dir_.File("out"); }
  std::string err_path() const { return dir_.File("err"); }

  TempDir dir_;
  pid_t pid_ = -1;
};

inline ProgramResult RunProgram(const std::vector<std::string>& command,
                                const std::vector<std::string>& environment = {}) {
  return Program(command, environment).Wait();
}

}  // namespace virp::testutil
