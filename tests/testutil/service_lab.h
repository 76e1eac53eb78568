// The platform as it is run: virp-onode (one or more, on SQLite or PostgreSQL), virp-collector and, if it is wanted,
// virp-keymgr as processes of their own, with PKI, keys, registered sources and ports that stay theirs over restarts.
// For tests that kill, stop, cut and restart them.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/frame/key_directory.h"
#include "tests/testutil/keymgr_lab.h"
#include "tests/testutil/process.h"
#include "tests/testutil/reserved_port.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/test_pki.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"
#include "virp/collector/v1/collector_service.grpc.pb.h"
#include "virp/source/v1/source_service.grpc.pb.h"

namespace virp::testutil {

struct LabOptions {
  std::string binaries;  // build folder
  int onodes = 1;
  std::vector<std::string> stores{};  // URL of each O-Node's store; missing: SQLite in a folder of its own
  std::chrono::milliseconds lease{2'000};
  std::chrono::milliseconds checkpoint_interval{250};
  std::map<std::string, std::string> onode_environment{}, collector_environment{};
  // A key manager on SQLite beside them, which collector and O-Nodes take keys from; and more of its command line.
  bool keymgr = false;
  std::vector<std::string> keymgr_options{};
  std::string keymgr_store{};  // URL instead
  bool standby = false;        // a second key manager on it, which the test starts
};

// Used by one thread, except for what is const.
class ServiceLab {
 public:
  static constexpr const char* kOrigin = "virp.example.net/lab";
  // Sources, all registered by Start. Those of router edge-a may send types 1 to 4 and 22.
  static constexpr const char* kDaemon = "edge-a.bgpd";      // version 1, HMAC, Unix socket
  static constexpr const char* kNative = "edge-a.native";    // version 2, HMAC, frame TCP
  static constexpr const char* kSubmitted = "edge-a.agent";  // Submit, Ed25519
  static constexpr const char* kDirect = "edge-a.direct";    // version 2, HMAC, delivered by kDirectDeliverer itself
  static constexpr const char* kBmp = "edge-b.bmp";          // BMP of router edge-b, Ed25519
  static constexpr const char* kCollector = "collector-1";
  static constexpr const char* kManager = "keymgr-1";        // the key manager's own; registered where there is one
  static constexpr const char* kRouterId = "192.0.2.1";      // of edge-a
  static constexpr const char* kBmpRouterId = "192.0.2.11";  // of edge-b

  explicit ServiceLab(LabOptions options);
  ~ServiceLab();

  // Opens the chain, starts all O-Nodes, registers the sources, starts the collector.
  absl::Status Start();

  // Their options may be changed until Start.
  Process& onode(std::size_t i = 0) { return *onodes_.at(i)->process; }
  Process& collector() { return *collector_; }
  // Starts it (again) and waits until it answers.
  absl::Status StartONode(std::size_t i = 0);
  absl::Status StartCollector();
  // SIGTERM. The lab's own connection is closed before: an idle client takes seconds to notice that a server goes.
  absl::Status StopCollector(std::chrono::milliseconds patience);
  KeymgrLab& keymgr() { return *keymgr_; }    // needs LabOptions::keymgr
  KeymgrLab& standby() { return *standby_; }  // needs LabOptions::standby

  std::size_t onodes() const { return onodes_.size(); }
  const std::string& onode_address(std::size_t i = 0) const { return onodes_.at(i)->address; }
  // Key directory of collector and O-Nodes; a source that a test adds puts its key there before Start.
  std::string key_folder() const { return dir_.File("keys"); }
  std::string onode_folder(std::size_t i = 0) const { return onodes_.at(i)->folder; }  // state, and the SQLite database
  std::string collector_address() const { return submit_port_.address(); }
  std::string collector_folder() const { return dir_.File("collector"); }  // spool
  std::string frame_socket() const { return dir_.File("frames.sock"); }
  const ReservedPort& frame_port() const { return frame_port_; }
  const ReservedPort& frame_tls_port() const {
    return frame_tls_port_;
  }  // kNative too; no client certificate is asked for
  const ReservedPort& bmp_port() const { return bmp_port_; }
  const ReservedPort& collector_port() const { return submit_port_; }  // gRPC
  const ReservedPort& collector_admin() const { return collector_admin_; }
  const ReservedPort& onode_admin(std::size_t i = 0) const { return onodes_.at(i)->admin; }

  frame::KeyProvider& keys() { return *keys_; }
  const std::string& verifier() const { return verifier_; }  // of the chain's checkpoints
  TestPki& pki() { return pki_; }
  std::shared_ptr<grpc::Channel> ONodeChannel(service::Role role, std::size_t i = 0, std::string_view name = "test");
  std::shared_ptr<grpc::Channel> CollectorChannel(service::Role role, std::string_view name = "test");

  absl::StatusOr<chain::v1::GetChainResponse> GetChain(std::size_t i = 0);
  // Which O-Node leads; waits for one. -1 when none does.
  int AwaitLeader(std::chrono::milliseconds patience);
  absl::StatusOr<collector::v1::GetStatusResponse> CollectorStatus();
  absl::StatusOr<chain::v1::VerifyReport> VerifyChain(std::size_t i = 0);
  // What a service's admin port answers: status line, header and body. Empty when it does not.
  static std::string AdminPage(const Process& service, std::string_view path);
  // All entries from `begin` on, as stored.
  absl::StatusOr<std::vector<std::string>> Entries(std::size_t i = 0, std::uint64_t begin = 0);

 private:
  struct Node {
    ReservedPort port, admin;
    std::string address, folder;
    std::unique_ptr<Process> process;
    std::shared_ptr<grpc::Channel> reader;
  };

  void MakeKeys();
  void WriteConfigurations() const;
  std::vector<std::string> ONodeCommand(const Node& node, std::size_t i) const;
  std::vector<std::string> CollectorCommand() const;
  std::unique_ptr<KeymgrLab> MakeKeymgr(const std::string& state, const std::string& kek);
  std::vector<std::string> KeymgrFlags(const std::string& state) const;
  std::shared_ptr<grpc::Channel> Channel(const std::string& target, service::Role server, service::Role role,
                                         std::string_view name);
  absl::Status RegisterSources(std::size_t leader);

  const LabOptions options_;
  TempDir dir_;
  TestPki pki_;
  std::map<std::string, service::TlsFiles> tls_;
  std::string verifier_;
  std::unique_ptr<frame::KeyDirectory> keys_;
  std::vector<std::unique_ptr<Node>> onodes_;
  ReservedPort submit_port_, frame_port_, frame_tls_port_, bmp_port_, collector_admin_;
  std::unique_ptr<KeymgrLab> keymgr_, standby_;
  std::unique_ptr<Process> collector_;
  std::shared_ptr<grpc::Channel> collector_operator_;
};

}  // namespace virp::testutil
