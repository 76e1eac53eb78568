// A service's O-Keys: key files, and the key manager beside them where one is configured. The one thing that collector
// and O-Node put into their main (docs/operations/observation-keys.md).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/frame/key_directory.h"
#include "lib/keys/key_client.h"
#include "lib/keys/key_maker.h"
#include "lib/keys/managed_keys.h"
#include "lib/service/config.h"
#include "lib/service/metrics.h"

namespace virp::keys {

struct KeySupplyOptions {
  std::vector<std::string> managers;  // host:port; none: key files alone, and the last list where there is one
  std::string state;                  // folder of the last list and of keys made here; empty: neither
};

// Adds `key-manager` and `key-state`.
void AddKeySupplyOptions(service::Options& options, KeySupplyOptions* to);
absl::Status CheckKeySupply(const KeySupplyOptions& options);

// Thread-safe.
class KeySupply {
 public:
  // Reads the key files below `directory` and the last list. Needs no manager. Errors as KeyDirectory::Open and
  // ManagedKeys::Open. `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<KeySupply>> Open(const std::string& directory, const KeySupplyOptions& options,
                                                         const Clock& clock);
  ~KeySupply();  // Stop()

  const frame::KeyProvider& keys() const { return *joined_; }
  frame::KeyDirectory& files() { return *files_; }
  const ManagedKeys& managed() const { return *managed_; }

  // Begins to follow the managers, if there are any. `known`, of an O-Node: what its chains know. A supply without
  // `known` belongs to somebody who signs, and makes the keys that the manager asks for.
  void Start(ChannelFactory channels, std::function<std::vector<KnownVersion>()> known = nullptr);
  void Stop();
  KeyClientStatus status() const;

  // docs/metrics.md, "Keys from the key manager". The supply outlives the metrics.
  void AddMetrics(service::Metrics& metrics) const;

 private:
  KeySupply(KeySupplyOptions options, std::unique_ptr<frame::KeyDirectory> files, std::unique_ptr<ManagedKeys> managed,
            std::unique_ptr<KeyMaker> maker);

  KeyClient* client() const;  // null until Start

  const KeySupplyOptions options_;
  const std::unique_ptr<frame::KeyDirectory> files_;
  const std::unique_ptr<ManagedKeys> managed_;
  const std::unique_ptr<KeyMaker> maker_;  // null without a folder for its keys
  const std::unique_ptr<JoinedKeys> joined_;
  mutable Mutex mutex_;
  std::unique_ptr<KeyClient> client_ ABSL_GUARDED_BY(mutex_);  // made once, and stays
};

}  // namespace virp::keys
