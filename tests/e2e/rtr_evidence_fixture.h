// The RTR bridge with evidence beside an O-Node, all as they are run; a router of the loopback; and what an auditor
// does who has nothing but the chain, its verifier key and the bridge's public key.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lib/rtr/client_session.h"
#include "tests/testutil/evidence_bridge.h"
#include "tests/testutil/service_lab.h"
#include "virp/rtr/v1/rtr_service.grpc.pb.h"

namespace virp::e2e {

// A router that speaks RTR version 1 over TCP from an address of its own. It does something only inside of Until.
class LoopbackRouter {
 public:
  LoopbackRouter(int port, const std::string& from);
  // Follows the cache until it has data for which `done` holds; false when ten seconds were not enough.
  bool Until(const std::function<bool(const rtr::ClientSessionState&)>& done);
  // Asks by the serial that it has, and waits for the answer.
  bool AskAgain();
  const rtr::ClientSessionState& state() const { return session_.state(); }

 private:
  bool Step();

  rtr::ClientSession session_;
  FileDescriptor socket_;
};

// One record of the bridge, as the chain holds it.
struct Record {
  UnixNanos time = 0;
  frame::Type type{};
  frame::Tier tier{};
  std::uint64_t epoch = 0, sequence = 0;
  nlohmann::json payload;

  std::string event() const { return payload.value("event", ""); }
  std::string subject() const { return payload.value("subject", ""); }
};

// What the chain answers to "what had this cache served to router X by then, and what had X confirmed?"
struct Served {
  std::optional<nlohmann::json> sent, confirmed;  // the records
  std::set<std::string> identified;               // "TRANSPORT IDENTITY" of its connections
  bool connected = false;                         // by the records, at that time
};
Served WhatWasServed(const std::vector<Record>& records, const std::string& router, UnixNanos by);

class RtrEvidenceTest : public ::testing::Test {
 protected:
  static constexpr const char* kBridge = testutil::EvidenceBridge::kName;

  explicit RtrEvidenceTest(testutil::LabOptions options = {.binaries = VIRP_BINARY_DIR});
  // The platform without the bridge, which is registered.
  void SetUp() override;
  absl::Status StartBridge(std::vector<std::string> more = {});
  // Asks the bridge itself.
  absl::StatusOr<rtr::v1::GetGenerationResponse> GetGeneration(std::uint64_t number);
  absl::StatusOr<rtr::v1::GetStatusResponse> GetStatus();

  // All records of the bridge that a signed checkpoint covers: the checkpoint's signature and root, each frame's tag
  // and source are checked here. An error says what does not hold.
  absl::StatusOr<std::vector<Record>> Audit();
  // The same once there is a record for which `enough` holds; empty when ten seconds were not enough.
  std::vector<Record> AuditUntil(const std::function<bool(const std::vector<Record>&)>& enough);
  std::vector<Record> AuditUntil(const std::string& event, const std::string& subject, std::size_t times = 1);
  absl::StatusOr<frame::Frame> CheckFrame(std::string_view bytes) const;

  testutil::ServiceLab lab_;
  testutil::EvidenceBridge evidence_{lab_};
  testutil::RtrLab& bridge_ = evidence_.rtr();
  std::shared_ptr<grpc::Channel> reader_;
};

inline std::size_t CountOf(const std::vector<Record>& records, const std::string& event,
                           const std::string& subject = "") {
  return static_cast<std::size_t>(std::count_if(records.begin(), records.end(), [&](const Record& record) {
    return record.event() == event && (subject.empty() || record.subject() == subject);
  }));
}

}  // namespace virp::e2e
