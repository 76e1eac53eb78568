// The whole platform under load: three O-Nodes on one PostgreSQL, a collector, two key managers, an RTR bridge that
// keeps evidence, and a real router behind it whose table is looked at all the time. What is taken away, how long
// nothing is acknowledged, and that all that was acknowledged is in one chain, once. Prints what
// docs/operations/high-availability.md states.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/fault/fault_test_util.h"
#include "tests/interop/rtr_routers.h"
#include "tests/testutil/evidence_bridge.h"
#include "tests/testutil/postgres.h"
#include "tests/twins/postgres_proxy.h"

namespace virp::twins {

using namespace std::chrono_literals;
using fault::Load;
using service::Role;
using testutil::ServiceLab;
using testutil::WaitUntil;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kReplicas = 3;
constexpr std::chrono::milliseconds kLease = 1'500ms;
constexpr auto kPatience = 60s;

// BIRD, which follows the bridge; a thread looks at its table ten times a second.
class WatchedRouter {
 public:
  absl::Status Start(const testutil::RtrLab& bridge, const testutil::RtrTable& table);
  void Stop();  // the looks
  int looks() const { return looks_; }
  int fewer() const { return fewer_; }  // looks that found less than the table
  std::string log() const { return bird_.log(); }

 private:
  testutil::Bird bird_{false};
  testutil::RtrTable table_;
  std::atomic<int> looks_{0}, fewer_{0};
  std::jthread looking_;
};

class Availability : public ::testing::Test {
 protected:
  void SetUp() override;

  std::string DenyFile(std::size_t i) const { return lab_->onode_folder(i) + "/deny"; }
  void Deny(const std::string& line);
  std::size_t Leader();
  // That another than this O-Node leads, by its own word.
  bool AnotherLeads(std::size_t than);
  // Entries come in now, as the leader sees it.
  ::testing::AssertionResult Grows();
  std::string Logs();
  // The key manager that is active and open; null when a minute was not enough.
  testutil::KeymgrLab* AwaitManager();
  // Once, of what a program submits through the collector; returns when entries come in under the new one.
  void RollAKey();
  // Notes when `strike` happened, and lets the load settle behind it.
  void Strike(const std::string& what, const std::function<void()>& strike);
  // The load ends. Each strike's longest time without an ack, that the chain holds everything once, at each replica,
  // and that the router always had all.
  void Judge();
  std::string SerialAt(const std::string& address);

  std::unique_ptr<testutil::PostgresCluster> cluster_;
  std::string url_;
  std::array<std::unique_ptr<PostgresProxy>, kReplicas> proxies_;
  std::unique_ptr<ServiceLab> lab_;
  std::unique_ptr<testutil::EvidenceBridge> bridge_;
  WatchedRouter router_;
  std::unique_ptr<Load> load_;

 private:
  void JudgeRouter();
  void PrintSizes();
  struct Struck {
    std::string what;
    Clock::time_point at;
  };
  std::vector<Struck> strikes_;
};

}  // namespace virp::twins
