#include "tests/e2e/rtr_evidence_fixture.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <grpcpp/client_context.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/chain/merkle.h"
#include "lib/chain/note.h"
#include "lib/service/errors.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::e2e {
namespace {

using namespace std::chrono_literals;
using service::Role;
using std::chrono::steady_clock;

constexpr auto kPatience = 10s;

sockaddr_in AddressOf(const std::string& address, int port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, address.c_str(), &out.sin_addr);
  return out;
}

rtr::ClientSessionOptions VersionOne() {
  rtr::ClientSessionOptions options;
  options.version = 1;
  return options;
}

// Waits, and gives up in time.
void SetDeadline(grpc::ClientContext& context) {
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
}

}  // namespace

LoopbackRouter::LoopbackRouter(int port, const std::string& from)
    : session_(VersionOne()), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_in here = AddressOf(from, 0);
  const sockaddr_in there = AddressOf("127.0.0.1", port);
  EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&here), sizeof(here)), 0);
  EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&there), sizeof(there)), 0);
  session_.Connected(steady_clock::now());
}

// Sends what is due and reads what has come; false when the cache has closed.
bool LoopbackRouter::Step() {
  std::array<std::string_view, 8> pieces;
  while (const std::size_t count = session_.Peek(pieces)) {
    for (std::size_t i = 0; i < count; ++i) {
      if (!WriteAll(socket_.get(), pieces[i], "a cache").ok()) return false;
      session_.Consume(pieces[i].size());
    }
  }
  pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, 20) == 0) return true;
  std::array<char, 65536> bytes;
  const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
  if (got <= 0) return false;
  session_.Feed({bytes.data(), static_cast<std::size_t>(got)}, steady_clock::now());
  return !session_.closing();
}

bool LoopbackRouter::Until(const std::function<bool(const rtr::ClientSessionState&)>& done) {
  return testutil::WaitUntil(
      kPatience, [&] { return Step() && session_.state().has_data && session_.idle() && done(session_.state()); });
}

bool LoopbackRouter::AskAgain() {
  const std::uint64_t updates = session_.state().updates;
  session_.Query(false, steady_clock::now());
  return Until([&](const rtr::ClientSessionState& state) { return state.updates > updates; });
}

Served WhatWasServed(const std::vector<Record>& records, const std::string& router, UnixNanos by) {
  const std::string subject = std::string("bridge-1/router/") + router;
  Served out;
  std::set<std::uint64_t> open;
  for (const Record& record : records) {
    if (record.time > by) continue;
    // With a new start all connections of the one before are over.
    if (record.event() == "bridge_started") open.clear();
    if (record.subject() != subject) continue;
    const nlohmann::json& said = record.payload;
    out.identified.insert(said.value("transport", "?") + " " + said.value("identity", "?"));
    const std::uint64_t connection = said.value("connection", std::uint64_t{0});
    if (record.event() == "session_opened") open.insert(connection);
    if (record.event() == "session_closed") open.erase(connection);
    if (record.event() == "end_of_data_sent") out.sent = said;
    if (record.event() == "serial_confirmed") out.confirmed = said;
  }
  out.connected = !open.empty();
  return out;
}

RtrEvidenceTest::RtrEvidenceTest(testutil::LabOptions options) : lab_(std::move(options)) {}

void RtrEvidenceTest::SetUp() {
  ASSERT_OK(lab_.Start());
  ASSERT_OK(evidence_.Register());
}

absl::Status RtrEvidenceTest::StartBridge(std::vector<std::string> more) {
  RETURN_IF_ERROR(evidence_.Start(std::move(more)));
  reader_ = lab_.pki().Channel(evidence_.address(), lab_.pki().Files(Role::kReader),
                               {.role = Role::kRtrBridge, .spiffe_id = "", .check_host = true});
  return absl::OkStatus();
}

absl::StatusOr<rtr::v1::GetGenerationResponse> RtrEvidenceTest::GetGeneration(std::uint64_t number) {
  grpc::ClientContext context;
  SetDeadline(context);
  rtr::v1::GetGenerationRequest request;
  request.set_generation(number);
  rtr::v1::GetGenerationResponse response;
  RETURN_IF_ERROR(
      service::FromGrpcStatus(rtr::v1::RtrService::NewStub(reader_)->GetGeneration(&context, request, &response)));
  return response;
}

absl::StatusOr<rtr::v1::GetStatusResponse> RtrEvidenceTest::GetStatus() {
  grpc::ClientContext context;
  SetDeadline(context);
  rtr::v1::GetStatusResponse response;
  RETURN_IF_ERROR(service::FromGrpcStatus(rtr::v1::RtrService::NewStub(reader_)->GetStatus(&context, {}, &response)));
  return response;
}

absl::StatusOr<frame::Frame> RtrEvidenceTest::CheckFrame(std::string_view bytes) const {
  ASSIGN_OR_RETURN(const frame::Frame frame, frame::Decode(bytes, frame::Spelling::kV2));
  if (frame.header.source_id != frame::SourceIdOf(kBridge)) return DataLoss("the frame is of another source");
  if (!frame::VerifyTag(frame, evidence_.public_key())) return DataLoss("the bridge has not signed the frame");
  return frame;
}

absl::StatusOr<std::vector<Record>> RtrEvidenceTest::Audit() {
  ASSIGN_OR_RETURN(const chain::VerifierKey verifier, chain::VerifierKey::Parse(lab_.verifier()));
  grpc::ClientContext context;
  SetDeadline(context);
  chain::v1::GetCheckpointResponse signed_note;
  RETURN_IF_ERROR(service::FromGrpcStatus(
      chain::v1::ChainService::NewStub(lab_.ONodeChannel(Role::kReader))->GetCheckpoint(&context, {}, &signed_note)));
  ASSIGN_OR_RETURN(const chain::Checkpoint checkpoint, chain::OpenCheckpoint(signed_note.note(), {verifier}));
  ASSIGN_OR_RETURN(std::vector<std::string> entries, lab_.Entries());
  if (entries.size() < checkpoint.size) return DataLoss("the chain is shorter than its checkpoint");
  entries.resize(checkpoint.size);
  std::vector<Hash> leaves;
  std::vector<Record> records;
  for (const std::string& bytes : entries) {
    leaves.push_back(chain::LeafHash(bytes));
    ASSIGN_OR_RETURN(const chain::Entry entry, chain::DecodeEntry(bytes));
    // Gaps too are entered under the source that they are about; the O-Node signs them.
    if (entry.header.source != frame::ShortIdOf(kBridge)) continue;
    ASSIGN_OR_RETURN(const frame::Frame frame, CheckFrame(entry.frame));
    if (entry.header.result != 0) return DataLoss("an entry has flags {}: {}", entry.header.result, frame.payload);
    Record& record = records.emplace_back();
    record.time = frame.header.timestamp;
    record.type = frame.header.type;
    record.tier = frame.header.tier;
    record.epoch = frame.header.boot_epoch;
    record.sequence = frame.header.sequence;
    record.payload = nlohmann::json::parse(frame.payload);
  }
  if (chain::RootOf(leaves) != checkpoint.root) return DataLoss("the entries are not those of the checkpoint");
  return records;
}

std::vector<Record> RtrEvidenceTest::AuditUntil(const std::function<bool(const std::vector<Record>&)>& enough) {
  absl::StatusOr<std::vector<Record>> records;
  const bool in_time = testutil::WaitUntil(kPatience, [&] { return (records = Audit()).ok() && enough(*records); });
  EXPECT_OK(records);
  if (in_time) return *std::move(records);
  std::string said;
  if (records.ok()) {
    for (const Record& record : *records) said += record.payload.dump() + "\n";
  }
  ADD_FAILURE() << "not in the chain in time; it has\n" << said;
  return {};
}

std::vector<Record> RtrEvidenceTest::AuditUntil(const std::string& event, const std::string& subject,
                                                std::size_t times) {
  return AuditUntil([&](const std::vector<Record>& records) { return CountOf(records, event, subject) >= times; });
}

}  // namespace virp::e2e
