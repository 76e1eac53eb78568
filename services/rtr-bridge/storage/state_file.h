// The cache's state in a file.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "services/rtr-bridge/domain/cache.h"

namespace virp::rtr_bridge {

class StateDirectory final : public StateFile {
 public:
  // Makes the folder (0700) if it is not there, and locks it as long as this lives. FailedPrecondition when another
  // bridge has it: session ids are of one cache only.
  static absl::StatusOr<std::unique_ptr<StateDirectory>> Open(const std::string& directory);

  // This folder on this machine (machine-id(5), when there is one): a copy of it is at another place.
  std::string Place() const;
  // What was written last; empty when nothing was.
  absl::StatusOr<std::string> Read() const;
  absl::Status Write(std::string_view state) override;

 private:
  StateDirectory(std::string directory, FileDescriptor lock)
      : directory_(std::move(directory)), path_(directory_ + "/state"), lock_(std::move(lock)) {}

  const std::string directory_, path_;
  const FileDescriptor lock_;
};

}  // namespace virp::rtr_bridge
