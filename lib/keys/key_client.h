// Keeps ManagedKeys up to date: one watch stream to the key manager, and reports of what the caller's chain knows.
#pragma once

#include <grpcpp/channel.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/keys/key_maker.h"
#include "lib/keys/managed_keys.h"

namespace virp::keys {

// Makes a channel to an address with the service's credentials, expecting role `keymgr` of it. Thread-safe.
using ChannelFactory = std::function<absl::StatusOr<std::shared_ptr<grpc::Channel>>(const std::string& address)>;

// A version that the caller's chain has.
struct KnownVersion {
  std::string source;
  std::uint32_t version = 0;
  std::uint64_t entry = 0;  // size of the chain that it was read from
  bool compromised = false;
  std::string statement;  // public key or commitment
};

struct KeyClientStatus {
  std::string connected_to;    // whose list is complete here; empty while there is none
  std::string problem;         // of the list, of keeping it, of what is reported: what lasts, joined by "; "
  std::uint64_t lists = 0;     // taken since the start
  std::uint64_t reported = 0;  // versions
};

struct KeyClientOptions {
  std::vector<std::string> addresses;  // of managers, in the order in which they are tried
  // Called each `report_interval`, by an O-Node only; what was not reported before is. May be null.
  std::function<std::vector<KnownVersion>()> known{};
  std::chrono::milliseconds report_interval{500};
  // Called each `report_interval`, by who signs only: keys that were made and that the manager waits for. May be null.
  std::function<absl::StatusOr<std::vector<Registration>>()> made{};
  // Called when `connected_to` or `problem` has changed, from threads of the client; must not call it. May be null.
  std::function<void(const KeyClientStatus&)> on_change{};
  std::chrono::milliseconds backoff_min{200}, backoff_max{10'000};
  std::chrono::milliseconds call_timeout{10'000};
};

// Thread-safe. `keys` outlives it.
class KeyClient {
 public:
  KeyClient(KeyClientOptions options, ChannelFactory channels, ManagedKeys& keys);
  ~KeyClient();  // Stop()

  void Start();
  void Stop();
  KeyClientStatus status() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::keys
