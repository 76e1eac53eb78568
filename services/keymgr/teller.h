// Says the same trouble once, and that it is over.
#pragma once

#include <string>
#include <utility>

#include "lib/base/status.h"
#include "lib/service/logging.h"

namespace virp::keymgr {

// For one thread.
class Teller {
 public:
  explicit Teller(std::string what) : what_(std::move(what)) {}

  // Whether that was news, and stands in the log now.
  bool Tell(const absl::Status& status) {
    std::string trouble(Message(status));
    if (told_ == trouble) return false;
    if (trouble.empty()) {
      service::LogInfo("well again", {{"what", what_}});
    } else {
      service::LogStatus(service::LogLevel::kWarning, what_, status);
    }
    told_ = std::move(trouble);
    return true;
  }

 private:
  const std::string what_;
  std::string told_;
};

}  // namespace virp::keymgr
