// A whole O-Node in this process for benchmarks: store, chain, handlers and an mTLS server on a free port, with HMAC
// sources registered that the collector "test" carries. What goes wrong ends the program with a message.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/frame/key.h"
#include "lib/frame/key_directory.h"
#include "services/onode/domain/node.h"
#include "services/onode/transport/chain_admin_handler.h"
#include "services/onode/transport/chain_handler.h"
#include "services/onode/transport/ingest_handler.h"
#include "services/onode/transport/source_handler.h"
#include "services/onode/transport/verify_handler.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/test_pki.h"

namespace virp::bench {

class BenchONode {
 public:
  static constexpr const char* kOrigin = "virp.example.net/bench";

  // Opens the store of `url`, a new chain in it, and registers "router-0" to "router-<sources - 1>".
  BenchONode(const std::string& url, int sources);
  ~BenchONode();
  BenchONode(const BenchONode&) = delete;
  BenchONode& operator=(const BenchONode&) = delete;

  onode::Chain& chain() { return *chain_; }
  std::string SourceName(int source) const { return "router-" + std::to_string(source); }
  const frame::OKey& KeyOf(int source) const { return *source_keys_[static_cast<std::size_t>(source)]; }
  std::string CollectorId() const { return pki_.Id(service::Role::kCollector); }
  // A new connection.
  std::shared_ptr<grpc::Channel> Channel(service::Role role) { return pki_.Channel(*server_, role); }

 private:
  void Register(int source);

  SystemClock clock_;
  testutil::TestPki pki_;
  service::Security security_;
  testutil::TempDir dir_;
  std::vector<std::shared_ptr<const frame::OKey>> source_keys_;
  std::unique_ptr<frame::KeyDirectory> keys_;
  std::unique_ptr<onode::ChainStore> store_;
  std::unique_ptr<onode::Node> node_;
  onode::Chain* chain_ = nullptr;
  std::unique_ptr<onode::IngestHandler> ingest_;
  std::unique_ptr<onode::VerifyHandler> verify_;
  std::unique_ptr<onode::ChainHandler> chains_;
  std::unique_ptr<onode::ChainAdminHandler> admin_;
  std::unique_ptr<onode::SourceHandler> sources_;
  std::unique_ptr<service::ServerRunner> server_;
};

// The value, or the end of the program with its status.
template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    fmt::print(stderr, "{}\n", value.status().ToString());
    std::exit(1);
  }
  return *std::move(value);
}
inline void Must(const absl::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "{}\n", status.ToString());
  std::exit(1);
}

}  // namespace virp::bench
