// virpctl: asks, checks and runs a VIRP system from the command line. commands.h says what it does, cli.h reads its
// options.
#include "tools/virpctl/cli.h"

int main(int argc, char** argv) {
  return virp::virpctl::Main(argc, argv);
}
