#include "tests/testutil/shell.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>

namespace virp::testutil {

CommandResult RunCommand(const std::string& command) {
  CommandResult out;
  FILE* const pipe = ::popen(("exec 2>&1\n" + command).c_str(), "r");
  if (pipe == nullptr) return out;
  std::array<char, 4096> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe))
    out.output.append(buffer.data(), got);
  const int status = ::pclose(pipe);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return out;
}

std::string OutputOf(const std::string& command) {
  return RunCommand("exec 2>/dev/null\n" + command).output;
}

}  // namespace virp::testutil
