// The platform with a key manager, and what its tests ask: who said what, under which version of whose key.
#pragma once

#include <gmock/gmock.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/chain/entry.h"
#include "lib/frame/payload.h"
#include "tests/fault/fault_test_util.h"
#include "tests/testutil/key_desk.h"
#include "virp/keymgr/v1/key_admin.grpc.pb.h"

namespace virp::e2e {
using namespace std::chrono_literals;
using service::Role;
using testutil::ServiceLab;
using testutil::WaitUntil;
namespace pb = keymgr::v1;

struct SeenEntry {
  std::uint64_t sequence = 0;
  std::string source;  // that signed it
  frame::Type type{};
  std::uint32_t key_version = 0;
  std::uint64_t number = 0;  // of the frame in its epoch
  std::string event, about;  // of key events
  std::uint32_t about_version = 0;
};

class KeyManagerTest : public ::testing::Test {
 protected:
  explicit KeyManagerTest(testutil::LabOptions options = {.binaries = fault::BuildFolder(), .keymgr = true})
      : lab_(std::move(options)) {}
  void Start() {
    ASSERT_OK(lab_.Start());
    desk_ = std::make_unique<testutil::KeyDesk>(lab_.keymgr().Channel(Role::kOperator, "noc-1"),
                                                lab_.keymgr().Channel(Role::kOperator, "noc-2"));
  }
  testutil::KeyDesk& desk() { return *desk_; }
  std::string CollectorId() { return lab_.pki().Id(Role::kCollector, ServiceLab::kCollector); }

  std::vector<SeenEntry> Entries() {
    const auto entries = lab_.Entries();
    EXPECT_OK(entries);
    std::map<std::uint64_t, std::string> names;
    for (const char* name : {ServiceLab::kDaemon, ServiceLab::kNative, ServiceLab::kSubmitted, ServiceLab::kDirect,
                             ServiceLab::kBmp, ServiceLab::kCollector, ServiceLab::kManager, ServiceLab::kOrigin}) {
      names[frame::ShortIdOf(name)] = name;
    }
    std::vector<SeenEntry> out;
    for (const std::string& bytes : entries.value_or(std::vector<std::string>())) {
      const auto entry = chain::DecodeEntry(bytes);
      const auto frame = frame::Decode(entry->frame, entry->header.spelling);
      SeenEntry& seen = out.emplace_back();
      seen.sequence = entry->header.sequence;
      seen.source = names[entry->header.source];
      seen.type = frame->header.type;
      seen.key_version = entry->header.key_version;
      seen.number = frame->header.sequence;
      if (seen.type != frame::Type::kKeyEvent) continue;
      frame::PayloadReader reader;
      const auto payload = reader.Read(frame->payload);
      seen.event = (*payload)["event"].AsString().value_or("");
      seen.about = (*payload)["source"].AsString().value_or("");
      seen.about_version = static_cast<std::uint32_t>((*payload)["key_version"].AsUnsigned().value_or(0));
    }
    return out;
  }
  // The versions under which the source's frames stand, in the order of their first use.
  static std::vector<std::uint32_t> UsedVersions(const std::vector<SeenEntry>& entries, const std::string& source) {
    std::vector<std::uint32_t> out;
    for (const SeenEntry& seen : entries) {
      if (seen.source == source && std::find(out.begin(), out.end(), seen.key_version) == out.end())
        out.push_back(seen.key_version);
    }
    return out;
  }
  bool Used(const std::string& source, std::uint32_t version) {
    return WaitUntil(30s, [&] {
      const auto used = UsedVersions(Entries(), source);
      return std::find(used.begin(), used.end(), version) != used.end();
    });
  }
  // One Submit through the collector; whether it was taken.
  absl::Status Say() {
    collector::v1::SubmitRequest request;
    request.set_request_id(fmt::format("00000000-0000-4000-a000-{:012}", ++said_));
    auto& observation = *request.add_observations();
    observation.set_source(ServiceLab::kSubmitted);
    observation.set_type(3);
    observation.set_payload(fault::PathPayload("program", said_));
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    collector::v1::SubmitResponse response;
    return service::FromGrpcStatus(collector::v1::CollectorService::NewStub(lab_.CollectorChannel(Role::kProducer))
                                       ->Submit(&context, request, &response));
  }
  // What somebody gets who asks for a source's keys.
  absl::StatusOr<pb::SourceKeys> Fetch(Role role, const std::string& name, const std::string& source) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    const auto stub = pb::ObservationKeyService::NewStub(lab_.keymgr().Channel(role, name));
    const auto stream = stub->FetchObservationKeys(&context);
    pb::FetchObservationKeysRequest request;
    request.set_source(source);
    pb::FetchObservationKeysResponse response;
    stream->Write(request);
    stream->WritesDone();
    const bool answered = stream->Read(&response);
    RETURN_IF_ERROR(service::FromGrpcStatus(stream->Finish()));
    if (!answered) return Unavailable("no answer");
    return response.keys();
  }
  double Metric(const testutil::Process& service, const std::string& name) {
    const std::string page = ServiceLab::AdminPage(service, "/metrics");
    const std::size_t at = page.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::atof(page.c_str() + at + name.size() + 2);
  }
  // What the chain has of the submitted source behind that number.
  std::uint64_t Late(std::uint64_t number) {
    std::uint64_t late = 0;
    for (const SeenEntry& seen : Entries())
      late += seen.source == ServiceLab::kSubmitted && seen.number > number ? 1 : 0;
    return late;
  }
  void ExpectVerified() {
    const auto report = lab_.VerifyChain();
    ASSERT_OK(report);
    EXPECT_EQ(report->result(), chain::v1::VerifyReport::RESULT_VERIFIED) << report->ShortDebugString();
  }

  ServiceLab lab_;
  std::unique_ptr<testutil::KeyDesk> desk_;
  std::uint64_t said_ = 0;
};

}  // namespace virp::e2e
