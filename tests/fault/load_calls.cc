// Producers that get answers over gRPC: programs that Submit, and a deliverer.
#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <algorithm>

#include "lib/frame/frame.h"
#include "lib/frame/key.h"
#include "lib/service/errors.h"
#include "tests/fault/load.h"
#include "virp/ingest/v1/ingest_service.grpc.pb.h"

namespace virp::fault {
namespace {

using namespace std::chrono_literals;
using testutil::ServiceLab;

constexpr auto kPatience = 30s;
constexpr unsigned kObservations = 8;  // in one Submit
constexpr std::size_t kBatch = 64;     // frames in one delivery message

// Repeats a request until it is answered, as apis.md asks of programs: then it was taken once.
class Submitter : public Producer {
 public:
  Submitter(ServiceLab& lab, unsigned rate, int number)
      : stub_(collector::v1::CollectorService::NewStub(lab.CollectorChannel(service::Role::kProducer))),
        rate_(rate),
        number_(number) {}

  void Run(const std::stop_token& stop) override {
    Pace pace(rate_);
    unsigned due = 0;
    while (!stop.stop_requested()) {
      for (due += pace.Wait(); due >= kObservations && !stop.stop_requested(); due -= kObservations) Submit(stop);
    }
  }

  void Report(Ledger& ledger) const override { ledger.submitted.push_back(answers_); }

 private:
  void Submit(const std::stop_token& stop) {
    collector::v1::SubmitRequest request;
    request.set_request_id(fmt::format("{:08x}-0000-4000-8000-{:012}", number_, ++requests_));
    for (unsigned i = 0; i < kObservations; ++i) {
      collector::v1::Observation& observation = *request.add_observations();
      observation.set_source(ServiceLab::kSubmitted);
      observation.set_type(3);
      observation.set_payload(PathPayload(fmt::format("program-{}", number_), ++said_));
    }
    offered_ += kObservations;
    std::chrono::steady_clock::time_point deadline{};
    while (true) {
      collector::v1::SubmitResponse response;
      grpc::ClientContext context;
      context.set_wait_for_ready(true);
      context.set_deadline(std::chrono::system_clock::now() + 2s);
      if (stub_->Submit(&context, request, &response).ok()) {
        for (const auto& receipt : response.receipts()) {
          answers_.push_back(
              {receipt.epoch(), receipt.sequence(), HashFromBytes(receipt.frame_sha256()).value_or(Hash{})});
        }
        return;
      }
      if (stop.stop_requested()) {  // everything is up now
        if (deadline == std::chrono::steady_clock::time_point())
          deadline = std::chrono::steady_clock::now() + kPatience;
        if (std::chrono::steady_clock::now() > deadline) return;
      }
      std::this_thread::sleep_for(20ms);
    }
  }

  const std::unique_ptr<collector::v1::CollectorService::Stub> stub_;
  const unsigned rate_;
  const int number_;
  std::uint64_t requests_ = 0, said_ = 0;
  std::vector<Ledger::Submitted> answers_;
};

// A deliverer without spool: what it has said and is not answered it keeps, and delivers again on the next stream,
// wherever the leader is.
class DirectDeliverer : public Producer {
 public:
  DirectDeliverer(ServiceLab& lab, unsigned rate)
      : identity_(lab.pki().Id(service::Role::kCollector, "direct")),
        key_(lab.keys().Find(ServiceLab::kDirect, 1)),
        rate_(rate),
        epoch_(SystemClock().NowNanos()) {
    for (std::size_t i = 0; i < lab.onodes(); ++i) {
      stubs_.push_back(ingest::v1::IngestService::NewStub(lab.ONodeChannel(service::Role::kCollector, i, "direct")));
    }
  }

  void Run(const std::stop_token& stop) override {
    Pace pace(rate_);
    std::chrono::steady_clock::time_point deadline{};
    while (true) {
      if (stop.stop_requested()) {
        if (deadline == std::chrono::steady_clock::time_point())
          deadline = std::chrono::steady_clock::now() + kPatience;
        if (unanswered_.empty() || std::chrono::steady_clock::now() > deadline) break;
      }
      Deliver(stop, pace);
      at_ = (at_ + 1) % stubs_.size();
      std::this_thread::sleep_for(20ms);
    }
  }

  void Report(Ledger& ledger) const override {
    ledger.delivered = answers_;
    ledger.acks = acks_;
    ledger.sent[ServiceLab::kDirect] = {epoch_, said_};
  }

 private:
  using Stream = grpc::ClientReaderWriter<ingest::v1::DeliverRequest, ingest::v1::DeliverResponse>;
  struct Unanswered {
    std::uint64_t number = 0;
    std::string frame;
    std::chrono::steady_clock::time_point said;
  };

  void Deliver(const std::stop_token& stop, Pace& pace) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);  // between calls nobody drives a connection that is being made
    waiting_ = true;
    // A leader that is stopped keeps its stream open, or the connection unfinished as one that starts does, and says
    // nothing: cut it then.
    std::atomic<bool> welcomed{false};
    std::jthread watch([&](const std::stop_token& done) {
      for (std::uint64_t before = heard_, quiet = 0; !done.stop_requested() && quiet < (welcomed ? 150 : 50);
           std::this_thread::sleep_for(20ms)) {
        quiet = before == heard_ && waiting_ ? quiet + 1 : 0;
        before = heard_;
      }
      if (!done.stop_requested()) context.TryCancel();
    });
    const auto stream = stubs_[at_]->Deliver(&context);
    ingest::v1::DeliverRequest hello;
    hello.mutable_hello()->set_protocol_version(1);
    hello.mutable_hello()->set_deliverer(identity_);
    hello.mutable_hello()->set_origin(ServiceLab::kOrigin);
    ingest::v1::DeliverResponse welcome;
    bool open = stream->Write(hello) && stream->Read(&welcome) && welcome.has_welcome();
    welcomed = open;
    while (open && (!stop.stop_requested() || !unanswered_.empty())) {
      waiting_ = false;
      const unsigned due = pace.Wait();
      for (unsigned i = 0; i < due && !stop.stop_requested(); ++i) Say();
      if (!unanswered_.empty()) open = Exchange(*stream);
    }
    context.TryCancel();
    (void)stream->Finish();
    waiting_ = false;
    watch.request_stop();
  }

  // One batch of the oldest, and its answer.
  bool Exchange(Stream& stream) {
    ingest::v1::DeliverRequest request;
    const std::size_t count = std::min(unanswered_.size(), kBatch);
    for (std::size_t i = 0; i < count; ++i) {
      ingest::v1::DeliveredFrame& frame = *request.mutable_batch()->add_frames();
      frame.set_delivery_number(unanswered_[i].number);
      frame.set_source(ServiceLab::kDirect);
      frame.set_frame(unanswered_[i].frame);
      frame.set_spelling(ingest::v1::SPELLING_V2);
    }
    const std::uint64_t last = unanswered_[count - 1].number;
    waiting_ = true;
    if (!stream.Write(request)) return false;
    while (!unanswered_.empty() && unanswered_.front().number <= last) {
      ingest::v1::DeliverResponse response;
      if (!stream.Read(&response) || response.has_ending()) return false;
      ++heard_;
      for (const auto& result : response.ack().results()) Take(result);
    }
    return true;
  }

  void Take(const ingest::v1::FrameResult& result) {
    if (unanswered_.empty() || result.delivery_number() != unanswered_.front().number) return;
    if (result.outcome() != ingest::v1::FrameResult::OUTCOME_REFUSED) {
      answers_.push_back(
          {result.chain_sequence(), HashFromBytes(result.leaf_hash()).value_or(Hash{}), unanswered_.front().frame});
      const auto now = std::chrono::steady_clock::now();
      acks_.push_back({now, now - unanswered_.front().said});
    }
    unanswered_.erase(unanswered_.begin());
  }

  void Say() {
    frame::Header header;
    header.type = frame::Type::kBgpProcess;
    header.timestamp = SystemClock().NowNanos();
    header.sequence = ++said_;
    header.key_version = 1;
    header.boot_epoch = epoch_;
    header.source_id = frame::SourceIdOf(ServiceLab::kDirect);
    unanswered_.push_back({said_, *frame::EncodeSigned(header, PathPayload(ServiceLab::kDirect, said_), *key_),
                           std::chrono::steady_clock::now()});
    ++offered_;
  }

  const std::string identity_;
  const std::shared_ptr<const frame::OKey> key_;
  const unsigned rate_;
  const std::uint64_t epoch_;
  std::vector<std::unique_ptr<ingest::v1::IngestService::Stub>> stubs_;
  std::size_t at_ = 0;
  std::uint64_t said_ = 0;
  std::vector<Unanswered> unanswered_;
  std::vector<Ledger::Delivered> answers_;
  std::vector<Ledger::Ack> acks_;
  std::atomic<std::uint64_t> heard_{0};
  std::atomic<bool> waiting_{false};
};

}  // namespace

std::unique_ptr<Producer> MakeSubmitter(ServiceLab& lab, unsigned rate, int number) {
  return std::make_unique<Submitter>(lab, rate, number);
}
std::unique_ptr<Producer> MakeDirectDeliverer(ServiceLab& lab, unsigned rate) {
  return std::make_unique<DirectDeliverer>(lab, rate);
}

}  // namespace virp::fault
