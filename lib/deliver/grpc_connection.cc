#include "lib/deliver/grpc_connection.h"

#include <grpcpp/client_context.h>

#include <utility>

#include "lib/base/status.h"
#include "lib/service/errors.h"
#include "virp/ingest/v1/ingest_service.grpc.pb.h"

namespace virp::deliver {
namespace {

namespace pb = ::virp::ingest::v1;

absl::StatusOr<std::vector<Hash>> HashesOf(const google::protobuf::RepeatedPtrField<std::string>& bytes) {
  std::vector<Hash> hashes;
  hashes.reserve(static_cast<std::size_t>(bytes.size()));
  for (const std::string& one : bytes) {
    ASSIGN_OR_RETURN(const Hash hash, HashFromBytes(one));
    hashes.push_back(hash);
  }
  return hashes;
}

absl::StatusOr<Ack> AckOf(const pb::DeliverAck& message) {
  Ack ack;
  ack.reserve(static_cast<std::size_t>(message.results_size()));
  for (const pb::FrameResult& from : message.results()) {
    FrameResult& to = ack.emplace_back();
    to.number = from.delivery_number();
    to.chain_sequence = from.chain_sequence();
    switch (from.outcome()) {
      case pb::FrameResult::OUTCOME_APPENDED:
        to.outcome = FrameResult::Outcome::kAppended;
        break;
      case pb::FrameResult::OUTCOME_DUPLICATE:
        to.outcome = FrameResult::Outcome::kDuplicate;
        break;
      case pb::FrameResult::OUTCOME_REFUSED: {
        to.outcome = FrameResult::Outcome::kRefused;
        const auto reason = frame::ReasonFromName(from.reason());
        if (!reason)
          return DataLoss("frame {} was refused for '{}', which is no reason", to.number, from.reason().substr(0, 40));
        to.reason = *reason;
        continue;
      }
      default:
        return DataLoss("frame {} was answered without an outcome", to.number);
    }
    ASSIGN_OR_RETURN(to.leaf, HashFromBytes(from.leaf_hash()));
    to.entry_header = from.entry_header();
  }
  return ack;
}

absl::StatusOr<CheckpointNotice> NoticeOf(const pb::CheckpointNotice& message) {
  CheckpointNotice notice;
  notice.note = message.note();
  notice.first = message.first();
  const std::string& leaves = message.leaf_hashes();
  if (leaves.size() % sizeof(Hash) != 0) return DataLoss("leaf hashes of {} bytes", leaves.size());
  for (std::size_t at = 0; at < leaves.size(); at += sizeof(Hash)) {
    notice.leaf_hashes.push_back(*HashFromBytes(std::string_view(leaves).substr(at, sizeof(Hash))));
  }
  ASSIGN_OR_RETURN(notice.consistency, HashesOf(message.consistency()));
  ASSIGN_OR_RETURN(notice.frontier, HashesOf(message.frontier()));
  for (const pb::Inclusion& from : message.inclusions()) {
    ASSIGN_OR_RETURN(auto path, HashesOf(from.path()));
    notice.inclusions.push_back({from.chain_sequence(), std::move(path)});
  }
  return notice;
}

class GrpcConnection final : public Connection {
 public:
  explicit GrpcConnection(std::shared_ptr<grpc::Channel> channel)
      : channel_(std::move(channel)), stub_(pb::IngestService::NewStub(channel_)) {}

  absl::StatusOr<Welcome> Open(const Hello& hello, std::chrono::milliseconds timeout) override {
    RETURN_IF_ERROR(AwaitConnected(timeout));
    stream_ = stub_->Deliver(&context_);
    pb::DeliverRequest request;
    request.mutable_hello()->set_protocol_version(1);
    request.mutable_hello()->set_deliverer(hello.identity);
    request.mutable_hello()->set_origin(hello.origin);
    request.mutable_hello()->set_checkpoint(hello.checkpoint);
    pb::DeliverResponse response;
    if (!stream_->Write(request) || !stream_->Read(&response)) return Ended();
    if (!response.has_welcome()) return DataLoss("the O-Node did not answer the hello with its limits");
    const pb::Welcome& message = response.welcome();
    Welcome welcome;
    welcome.max_batch_frames = message.max_batch_frames();
    welcome.max_batch_bytes = message.max_batch_bytes();
    welcome.max_unanswered_frames = message.max_unanswered_frames();
    welcome.checkpoint = message.checkpoint();
    ASSIGN_OR_RETURN(welcome.consistency, HashesOf(message.consistency()));
    ASSIGN_OR_RETURN(welcome.frontier, HashesOf(message.frontier()));
    return welcome;
  }

  absl::Status Send(const std::vector<Spool::SpooledFrame>& batch) override {
    pb::DeliverRequest request;
    for (const Spool::SpooledFrame& from : batch) {
      pb::DeliveredFrame& to = *request.mutable_batch()->add_frames();
      to.set_delivery_number(from.number);
      to.set_source(from.source);
      to.set_frame(from.bytes);
      to.set_spelling(static_cast<pb::Spelling>(from.spelling));
      if (from.spelling != frame::Spelling::kV2) to.set_epoch(from.epoch);
    }
    // Why it ended is the receiver's to say: Finish may be called once only.
    return stream_->Write(request) ? absl::OkStatus() : Unavailable("the stream ended");
  }

  absl::StatusOr<ServerMessage> Receive() override {
    pb::DeliverResponse response;
    if (!stream_->Read(&response)) return Ended();
    if (response.has_ack()) return AckOf(response.ack());
    if (response.has_checkpoint()) return NoticeOf(response.checkpoint());
    if (response.has_ending()) return service::FromStatusProto(response.ending().status());
    return DataLoss("the O-Node sent a second welcome");
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  // At most `timeout`, and not a moment longer than it is known to fail: there may be another O-Node to try.
  absl::Status AwaitConnected(std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::system_clock::now() + timeout;
    while (true) {
      const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
      if (state == GRPC_CHANNEL_READY) return absl::OkStatus();
      if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
        return Unavailable("no connection; is the O-Node up, and are the certificates of both sides valid?");
      }
      if (!channel_->WaitForStateChange(state, deadline)) {
        return Unavailable(
            "no connection within {} ms; is the O-Node up, and are the certificates of both sides valid?",
            timeout.count());
      }
    }
  }

  absl::Status Ended() {
    const absl::Status status = service::FromGrpcStatus(stream_->Finish());
    return status.ok() ? Unavailable("the O-Node ended the stream") : status;
  }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::IngestService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<pb::DeliverRequest, pb::DeliverResponse>> stream_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> GrpcConnector::Connect(const std::string& address) {
  ASSIGN_OR_RETURN(auto channel, factory_(address));
  return std::make_unique<GrpcConnection>(std::move(channel));
}

}  // namespace virp::deliver
