// The RTR bridge as a source of a lab's chain: its key, its registration, and the options by which it delivers to the
// lab's O-Nodes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/frame/key_directory.h"
#include "tests/testutil/reserved_port.h"
#include "tests/testutil/rtr_lab.h"
#include "tests/testutil/service_lab.h"
#include "tests/testutil/temp_dir.h"

namespace virp::testutil {

// Used by one thread.
class EvidenceBridge {
 public:
  static constexpr const char* kName = "bridge-1";

  // Makes the key; the lab, which is not started yet and outlives this, gets its public half.
  explicit EvidenceBridge(ServiceLab& lab);

  // A source that this bridge carries, at the O-Node that leads: itself, or another name that has a key.
  absl::Status Register(const std::string& name = kName);
  // RtrLab::Start with `more` behind the options of evidence.
  absl::Status Start(std::vector<std::string> more = {});

  RtrLab& rtr() { return rtr_; }
  const RtrLab& rtr() const { return rtr_; }
  std::string address() const { return grpc_.address(); }
  const std::string& key_folder() const { return keys_.path(); }
  const frame::OKey& public_key() const { return *public_key_; }

 private:
  ServiceLab& lab_;
  RtrLab rtr_;
  TempDir keys_;
  ReservedPort grpc_;
  std::shared_ptr<const frame::OKey> public_key_;
  int registered_ = 0;
};

}  // namespace virp::testutil
