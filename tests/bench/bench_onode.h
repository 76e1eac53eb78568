// An O-Node for benchmarks, with HMAC sources registered that the collector "test" carries. What goes wrong ends the
// program with a message.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/frame/key.h"
#include "tests/testutil/must.h"
#include "tests/testutil/onode_lab.h"

namespace virp::bench {

using testutil::Must;

class BenchONode {
 public:
  static constexpr const char* kOrigin = "virp.example.net/bench";

  // Opens the store of `url`, a new chain in it, and registers "router-0" to "router-<sources - 1>".
  BenchONode(const std::string& url, int sources);

  onode::Chain& chain() { return onode_->chain(); }
  std::string SourceName(int source) const { return "router-" + std::to_string(source); }
  const frame::OKey& KeyOf(int source) const { return *source_keys_[static_cast<std::size_t>(source)]; }
  std::string CollectorId() const { return site_.pki().Id(service::Role::kCollector); }
  // A new connection.
  std::shared_ptr<grpc::Channel> Channel(service::Role role) { return onode_->Channel(role); }

 private:
  SystemClock clock_;
  testutil::OnodeSite site_{kOrigin, clock_};
  std::vector<std::shared_ptr<const frame::OKey>> source_keys_;
  std::unique_ptr<testutil::OnodeLab> onode_;
};

}  // namespace virp::bench
