#include "tests/e2e/onode_client.h"

#include <gtest/gtest.h>

#include <atomic>

#include "google/protobuf/util/time_util.h"
#include "lib/base/status.h"

namespace virp::e2e {
namespace {

using google::protobuf::util::TimeUtil;
using service::Role;

constexpr std::chrono::seconds kPatience{30};

void Allow(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
}

// One unary call that has to succeed.
template <typename Stub, typename Request, typename Response>
Response Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request) {
  grpc::ClientContext context;
  Allow(context);
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_code() << " " << status.error_message();
  return response;
}

std::string RequestId() {
  static std::atomic<std::uint64_t> next{1};
  return fmt::format("00000000-0000-4000-9000-{:012}", next++);
}

// A change by the operator, with what all of them need.
template <typename Request>
Request Change(const std::string& reason) {
  Request request;
  request.set_request_id(RequestId());
  request.set_reason(reason);
  return request;
}

}  // namespace

std::string Producer::Sign(std::uint64_t number, frame::Type type, std::string_view payload, frame::Tier tier) const {
  frame::Header header;
  header.type = type;
  header.tier = tier;
  header.suite = key_->suite();
  header.timestamp = clock_.NowNanos() + static_cast<UnixNanos>(clock_error_.count());
  header.sequence = number;
  header.key_version = key_version_;
  header.boot_epoch = epoch_;
  header.source_id = frame::SourceIdOf(name_);
  return frame::EncodeSigned(header, payload, *key_).value();
}

OnodeClient::OnodeClient(testutil::OnodeSite& site, testutil::OnodeLab& onode)
    : site_(site),
      onode_(onode),
      operator_(source::v1::SourceService::NewStub(onode.Channel(Role::kOperator))),
      reader_(verify::v1::VerifyService::NewStub(onode.Channel(Role::kReader))),
      chain_(chain::v1::ChainService::NewStub(onode.Channel(Role::kReader))) {}

std::unique_ptr<grpc::ClientReaderWriter<ingest::v1::DeliverRequest, ingest::v1::DeliverResponse>> OnodeClient::Open(
    grpc::ClientContext& context, const std::string& collector, const std::string& checkpoint) {
  Allow(context);
  auto& stub = collectors_[collector];
  if (stub == nullptr) stub = ingest::v1::IngestService::NewStub(onode_.Channel(Role::kCollector, collector));
  auto stream = stub->Deliver(&context);
  ingest::v1::DeliverRequest hello;
  hello.mutable_hello()->set_protocol_version(1);
  hello.mutable_hello()->set_deliverer(site_.pki().Id(Role::kCollector, collector));
  hello.mutable_hello()->set_origin(site_.origin());
  hello.mutable_hello()->set_checkpoint(checkpoint);
  stream->Write(hello);
  return stream;
}

ingest::v1::FrameResult OnodeClient::Deliver(const std::string& collector, const std::string& source,
                                             const std::string& frame) {
  grpc::ClientContext context;
  const auto stream = Open(context, collector, "");
  ingest::v1::DeliverRequest request;
  ingest::v1::DeliveredFrame& delivered = *request.mutable_batch()->add_frames();
  delivered.set_delivery_number(++deliveries_);
  delivered.set_source(source);
  delivered.set_frame(frame);
  delivered.set_spelling(ingest::v1::SPELLING_V2);
  stream->Write(request);
  ingest::v1::DeliverResponse response;
  ingest::v1::FrameResult result;
  while (result.outcome() == ingest::v1::FrameResult::OUTCOME_UNSPECIFIED && stream->Read(&response)) {
    if (response.has_ack() && response.ack().results_size() == 1) result = response.ack().results(0);
  }
  EXPECT_NE(result.outcome(), ingest::v1::FrameResult::OUTCOME_UNSPECIFIED) << stream->Finish().error_message();
  context.TryCancel();
  return result;
}

void OnodeClient::Greet(const std::string& collector, const std::string& checkpoint) {
  grpc::ClientContext context;
  const auto stream = Open(context, collector, checkpoint);
  ingest::v1::DeliverResponse response;
  stream->Read(&response);
  context.TryCancel();
}

void OnodeClient::Suspend(const std::string& name) {
  auto request = Change<source::v1::SuspendSourceRequest>("under repair");
  request.set_name(name);
  Call(*operator_, &source::v1::SourceService::Stub::SuspendSource, request);
}

void OnodeClient::Resume(const std::string& name) {
  auto request = Change<source::v1::ResumeSourceRequest>("repaired");
  request.set_name(name);
  Call(*operator_, &source::v1::SourceService::Stub::ResumeSource, request);
}

void OnodeClient::MarkBlack(const std::string& name) {
  auto request = Change<source::v1::MarkBlackRequest>("found open");
  request.set_name(name);
  Call(*operator_, &source::v1::SourceService::Stub::MarkBlack, request);
}

void OnodeClient::MarkCompromised(const std::string& name, std::uint32_t version, UnixNanos since) {
  auto request = Change<source::v1::MarkBlackRequest>("key found in a repository");
  request.set_name(name);
  request.set_key_version(version);
  *request.mutable_compromised_since() = TimeUtil::NanosecondsToTimestamp(static_cast<std::int64_t>(since));
  Call(*operator_, &source::v1::SourceService::Stub::MarkBlack, request);
}

int OnodeClient::ClearAlarms(const std::string& name) {
  auto request = Change<source::v1::ClearAlarmRequest>("looked into");
  request.set_source(name);
  source::v1::ClearAlarmResponse response;
  grpc::ClientContext context;
  Allow(context);
  const grpc::Status status = operator_->ClearAlarm(&context, request, &response);
  EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::NOT_FOUND) << status.error_message();
  return response.cleared_size();
}

verify::v1::ClaimAnswer OnodeClient::Ask(const verify::v1::VerifyClaimRequest& request) {
  return Call(*reader_, &verify::v1::VerifyService::Stub::VerifyClaim, request).answer();
}

verify::v1::VerifyClaimsResponse OnodeClient::AskMany(const verify::v1::VerifyClaimsRequest& request) {
  return Call(*reader_, &verify::v1::VerifyService::Stub::VerifyClaims, request);
}

std::vector<std::string> OnodeClient::Entries() {
  grpc::ClientContext context;
  Allow(context);
  const auto stream = chain_->StreamEntries(&context, {});
  chain::v1::StreamEntriesResponse response;
  std::vector<std::string> out;
  while (stream->Read(&response)) out.insert(out.end(), response.entries().begin(), response.entries().end());
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return out;
}

}  // namespace virp::e2e
