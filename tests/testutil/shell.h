// Programs of others, run by the shell until they end.
#pragma once

#include <string>

namespace virp::testutil {

struct CommandResult {
  int status = -1;     // exit status, 128 + signal as a shell says it, -1 when there is no shell
  std::string output;  // standard output and error
};

CommandResult RunCommand(const std::string& command);

// Its standard output alone.
std::string OutputOf(const std::string& command);

}  // namespace virp::testutil
