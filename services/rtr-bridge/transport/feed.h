// Sources that say by themselves what changes: the key manager's router keys, another bridge's payloads.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/service/access.h"
#include "services/rtr-bridge/domain/source_table.h"

namespace virp::rtr_bridge {

// Run on one thread, Stop on any.
class Feed {
 public:
  virtual ~Feed() = default;
  // An error refuses what was read: it is the server's fault, and the next address is asked.
  using OnReading = std::function<absl::Status(Reading)>;
  using OnFailure = std::function<void(const absl::Status&)>;
  // Connects, again and again, and tells each whole state, until Stop. A stream that ends and is taken up again is no
  // failure, as servers end them now and then. Of those behind each other the first is told, once no address has done.
  virtual void Run(const OnReading& on_reading, const OnFailure& on_failure) = 0;
  virtual void Stop() = 0;
};

// `addresses`: "HOST:PORT,HOST:PORT", tried in turn. InvalidArgument without one, or without a factory.
absl::StatusOr<std::unique_ptr<Feed>> MakeKeyFeed(const std::string& addresses, service::ChannelFactory channels);
absl::StatusOr<std::unique_ptr<Feed>> MakeBridgeFeed(const std::string& addresses, service::ChannelFactory channels);

}  // namespace virp::rtr_bridge
