#include "tools/virpctl/ceremony.h"

#include <unistd.h>

#include <iostream>

#include "lib/base/status.h"
#include "tools/virpctl/output.h"

namespace virp::virpctl {

absl::Status Announce(bool agreed, std::string_view title, const std::vector<std::string>& steps) {
  std::cerr << title << "\n";
  for (std::size_t i = 0; i < steps.size(); ++i) std::cerr << "  " << i + 1 << ". " << Printable(steps[i]) << "\n";
  if (agreed) return absl::OkStatus();
  if (isatty(STDIN_FILENO) == 0)
    return FailedPrecondition("nothing was done: say --yes, since nobody is at a terminal to agree");
  std::cerr << "Type yes to go on: " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "yes") return absl::OkStatus();
  return FailedPrecondition("nothing was done: that takes the word yes, typed in full, or --yes on the command line");
}

}  // namespace virp::virpctl
