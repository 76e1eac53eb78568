// Ports for programs that a test starts, stops and starts again.
#pragma once

#include <string>

#include "lib/base/file.h"

namespace virp::testutil {

// A free port of 127.0.0.1 that nobody else is given while this lives, though others may listen on it.
class ReservedPort {
 public:
  ReservedPort();
  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  FileDescriptor socket_;
  int port_ = 0;
};

}  // namespace virp::testutil
