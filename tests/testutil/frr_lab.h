// Two real routers for tests: FRR's bgpd as Debian 12 packages it, twice, peering with each other on addresses of
// 127.0.0.0/8 that are this lab's own. No network namespaces, no zebra, nothing of the machine's own FRR is touched.
//
//   edge-a  AS 64500, router id 192.0.2.1: the monitored router, a BMP client
//   edge-b  AS 64501, router id 192.0.2.2: its neighbor, which announces routes
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "tests/testutil/process.h"
#include "tests/testutil/temp_dir.h"

namespace virp::testutil {

struct FrrOptions {
  std::string name;
  std::string address;                  // where it listens for BGP
  std::vector<std::string> config;      // of bgpd, line by line
  std::string module = "bmp";           // loaded with -M
  std::vector<std::string> under = {};  // a command that runs it, as valgrind does
};

// One bgpd in a folder of its own. Used by one thread, which must be the test's main thread (see Process). Ended with
// the object, and with the test.
class FrrDaemon {
 public:
  static constexpr int kBgpPort = 1790;

  explicit FrrDaemon(FrrOptions options);
  ~FrrDaemon();

  absl::Status Start();  // with its configuration, also after an end; answers on its vty afterwards
  void Kill();           // SIGKILL: it says goodbye to nobody, its kernel closes the connections
  absl::Status Stop();   // SIGTERM

  // What the command prints, as vtysh would show it, run in enable mode. FailedPrecondition when bgpd refuses it.
  absl::StatusOr<std::string> Show(std::string_view command);
  // Lines of configuration, from `configure terminal` on; the first one that is refused ends it with
  // FailedPrecondition.
  absl::Status Configure(const std::vector<std::string>& lines);

  const std::string& address() const { return options_.address; }
  std::string log() const;  // what bgpd logged, over all its lives
  pid_t pid() const { return process_.pid(); }

 private:
  absl::Status Connect();
  absl::StatusOr<std::string> Command(std::string_view command);

  const FrrOptions options_;
  TempDir dir_;
  Process process_;
  FileDescriptor vty_;
};

// Whether edge-a keeps what edge-b announced as it was before policy (`soft-reconfiguration inbound`), for adj-in-pre.
enum class FrrPrePolicy { kKept, kNotKept };

// Another module than BMP in edge-a.
struct FrrModule {
  std::string spec;                     // as bgpd's -M wants it
  std::vector<std::string> lines;       // of its configuration, under edge-a's `router bgp`
  std::vector<std::string> under = {};  // as FrrOptions::under
};

class FrrLab {
 public:
  static constexpr std::chrono::seconds kPatience{30};

  // Configured, not started. `bmp_port`: on 127.0.0.1, where edge-a connects to; 0: no BMP.
  explicit FrrLab(int bmp_port, FrrPrePolicy pre_policy = FrrPrePolicy::kKept);
  explicit FrrLab(const FrrModule& module);

  absl::Status Start();  // both; returns when their session is Established on either side

  FrrDaemon& edge_a() { return *edge_a_; }
  FrrDaemon& edge_b() { return *edge_b_; }

  // The session's state as edge-a sees it ("Established", "Active", ...), waited for.
  absl::Status AwaitSession(std::string_view state, std::chrono::milliseconds patience = kPatience);
  // The session is shut down administratively at either end, or brought up again.
  absl::Status ShutDown(FrrDaemon& at, std::string_view words = {});
  absl::Status BringUp(FrrDaemon& at);

  // edge-b originates the prefix with that MED and AS path "64501 64510", or changes what it originates; or withdraws
  // it.
  absl::Status Announce(const std::string& prefix, int med);
  absl::Status Withdraw(const std::string& prefix);
  // edge-a has (or has not) a path for it; waited for.
  absl::Status AwaitRoute(const std::string& prefix, bool present, std::chrono::milliseconds patience = kPatience);

  // Opens a BGP connection to edge-a from edge-b's address beside the session, says nothing or an OPEN as edge-b would,
  // and closes it when edge-a has answered.
  absl::Status IntrudeAtEdgeA(bool says_open) const;

  // edge-a's connection to the station is closed, and kept closed; or opened (again).
  absl::Status CloseBmp();
  absl::Status OpenBmp();

 private:
  void MakeRouters(const FrrModule& module_of_a);
  std::string Neighbor(const FrrDaemon& at) const;  // "neighbor ADDRESS" as `at` configures it
  absl::Status Configure(FrrDaemon& at, const std::string& line);
  std::string BmpConnect() const;

  const int bmp_port_;
  std::unique_ptr<FrrDaemon> edge_a_, edge_b_;
};

}  // namespace virp::testutil
