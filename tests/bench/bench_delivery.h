// Deliveries for benchmarks: signed frames of the sources of a BenchONode, and an open stream that carries them.
#pragma once

#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "lib/frame/frame.h"
#include "tests/bench/bench_onode.h"
#include "virp/ingest/v1/ingest_service.grpc.pb.h"

namespace virp::bench {

namespace pb = ::virp::ingest::v1;

inline constexpr int kSources = 64;
inline constexpr std::size_t kPayload = 300;
inline constexpr std::size_t kBatch = 256;
inline constexpr std::uint64_t kPrefixes = 200'000;

// Signed frames of all sources in turn, each of one type about one of 200,000 prefixes.
class Frames {
 public:
  explicit Frames(const BenchONode& onode, frame::Type type = frame::Type::kBgpRouteUpdate)
      : onode_(onode), type_(type) {}

  pb::DeliverRequest Next(std::size_t count) {
    pb::DeliverRequest request;
    for (std::size_t i = 0; i < count; ++i) Add(*request.mutable_batch()->add_frames());
    return request;
  }
  // A beat of every source, so that what it said before is confirmed now.
  pb::DeliverRequest Beats() {
    pb::DeliverRequest request;
    for (int i = 0; i < kSources; ++i) {
      Add(*request.mutable_batch()->add_frames(), frame::Type::kHeartbeat, R"({"domain":"virp","event":"heartbeat"})");
    }
    return request;
  }
  std::uint64_t made() const { return number_; }
  // One of the last million that were announced.
  struct Path {
    int source = 0;
    std::uint32_t prefix = 0;
  };
  Path AnyPath(std::uint64_t random) const { return paths_[random % paths_.size()]; }
  static int SourceOf(std::uint64_t number) { return static_cast<int>(number % kSources); }
  static std::string Prefix(std::uint64_t prefix) {
    return fmt::format("10.{}.{}.{}/32", prefix >> 16 & 255, prefix >> 8 & 255, prefix & 255);
  }

 private:
  void Add(pb::DeliveredFrame& to) {
    const Path path{SourceOf(number_), static_cast<std::uint32_t>(random_() % kPrefixes)};
    if (paths_.size() < kPathsKept) {
      paths_.push_back(path);
    } else {
      paths_[number_ % kPathsKept] = path;
    }
    std::string payload = fmt::format(
        R"({{"domain":"bgp","event":"route_announce","router_id":"192.0.2.{}","peer_addr":"198.51.100.7","peer_as":64501,)"
        R"("local_as":64500,"rib":"adj-in-pre","path_id":0,"safi":1,"prefix":"{}","nexthop":"198.51.100.7",)"
        R"("as_path":"64501 64510 64511","note":")",
        path.source + 1, Prefix(path.prefix));
    payload.append(kPayload - payload.size() - 2, 'x');
    payload += "\"}";
    Add(to, type_, payload);
  }
  void Add(pb::DeliveredFrame& to, frame::Type type, std::string_view payload) {
    const int source = SourceOf(number_);
    frame::Header header;
    header.type = type;
    header.timestamp = clock_.NowNanos();
    header.sequence = number_ / kSources + 1;
    header.key_version = 1;
    header.boot_epoch = epoch_;
    header.source_id = frame::SourceIdOf(onode_.SourceName(source));
    to.set_delivery_number(++number_);
    to.set_source(onode_.SourceName(source));
    to.set_frame(Must(frame::EncodeSigned(header, payload, onode_.KeyOf(source))));
    to.set_spelling(pb::SPELLING_V2);
  }

  static constexpr std::size_t kPathsKept = 1'000'000;

  const BenchONode& onode_;
  const frame::Type type_;
  std::vector<Path> paths_;  // the last ones
  SystemClock clock_;
  const std::uint64_t epoch_ = clock_.NowNanos();
  std::uint64_t number_ = 0;
  std::mt19937_64 random_{3};
};

// One open delivery: a thread reads acks and notes when each frame was answered.
class Delivery {
 public:
  explicit Delivery(BenchONode& onode)
      : channel_(onode.Channel(service::Role::kCollector)), stub_(pb::IngestService::NewStub(channel_)) {
    stream_ = stub_->Deliver(&context_);
    pb::DeliverRequest hello;
    hello.mutable_hello()->set_protocol_version(1);
    hello.mutable_hello()->set_deliverer(onode.CollectorId());
    hello.mutable_hello()->set_origin(BenchONode::kOrigin);
    pb::DeliverResponse welcome;
    if (!stream_->Write(hello) || !stream_->Read(&welcome)) {
      fmt::print(stderr, "{}\n", stream_->Finish().error_message());
      std::exit(1);
    }
    reader_ = std::thread([this] { ReadAcks(); });
  }
  ~Delivery() {
    stream_->WritesDone();
    reader_.join();
    const grpc::Status status = stream_->Finish();
    if (!status.ok()) fmt::print(stderr, "delivery: {}\n", status.error_message());
  }

  void Write(const pb::DeliverRequest& request) { stream_->Write(request); }
  // Until all frames up to `number` are answered, and no more than `open` are not.
  void Await(std::uint64_t number) const {
    for (std::uint64_t seen = answered_; seen < number; seen = answered_) answered_.wait(seen);
  }
  std::uint64_t answered() const { return answered_; }
  // Called by the reader for every ack with the numbers (from, to]; set while nothing is unanswered.
  std::function<void(std::uint64_t, std::uint64_t)> on_ack;

 private:
  void ReadAcks() {
    pb::DeliverResponse response;
    while (stream_->Read(&response)) {
      if (response.has_ending()) std::exit((fmt::print(stderr, "the O-Node ended the delivery\n"), 1));
      if (!response.has_ack()) continue;
      for (const pb::FrameResult& result : response.ack().results()) {
        if (result.outcome() == pb::FrameResult::OUTCOME_APPENDED) continue;
        fmt::print(stderr, "frame {}: {} {}\n", result.delivery_number(), static_cast<int>(result.outcome()),
                   result.reason());
        std::exit(1);
      }
      const std::uint64_t before = answered_;
      if (on_ack) on_ack(before, response.ack().delivery_number());
      answered_ = response.ack().delivery_number();
      answered_.notify_all();
    }
  }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::IngestService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<pb::DeliverRequest, pb::DeliverResponse>> stream_;
  std::atomic<std::uint64_t> answered_{0};
  std::thread reader_;
};

}  // namespace virp::bench
