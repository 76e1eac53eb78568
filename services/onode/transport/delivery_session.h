// One open Deliver stream on the O-Node's side: batches in, acks and checkpoint notices out, both bounded.
#pragma once

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/base/rate_limiter.h"
#include "lib/service/caller.h"
#include "services/onode/domain/chain.h"
#include "virp/ingest/v1/ingest_service.pb.h"

namespace virp::onode {

struct DeliveryLimits {
  std::uint32_t batch_frames = 1'024;
  std::uint32_t batch_bytes = 3 << 20;
  std::uint32_t unanswered_frames = 8'192;
  std::uint32_t notice_leaf_hashes = 65'536;  // more than these are proven instead of listed
  std::uint32_t notice_inclusions = 1'024;
  std::shared_ptr<RateLimiter> deliverers;  // by identity, over all streams of one; null: none
};

// Over all deliveries. Thread-safe.
struct DeliveryCounters {
  std::atomic<std::uint64_t> throttled{0};  // batches that waited for their deliverer's limit
  std::atomic<std::int64_t> throttled_now{0};
};

// Serve runs on the handler's thread and uses one more for writing. The sequencer's thread only queues answers.
class DeliverySession {
 public:
  using Stream = grpc::ServerReaderWriter<ingest::v1::DeliverResponse, ingest::v1::DeliverRequest>;

  DeliverySession(Chain& chain, std::string carrier, const grpc::ServerContext& context, Stream& stream,
                  service::StreamGuard& guard, const DeliveryLimits& limits, DeliveryCounters& counters)
      : chain_(chain),
        carrier_(std::move(carrier)),
        context_(context),
        stream_(stream),
        guard_(guard),
        limits_(limits),
        counters_(counters) {}

  // From the hello on, until either side ends it.
  absl::Status Serve(const ingest::v1::Hello& hello);

 private:
  absl::Status SendWelcome(const ingest::v1::Hello& hello);
  absl::StatusOr<std::vector<Delivery>> DeliveriesOf(const ingest::v1::FrameBatch& batch);
  void Answer(absl::StatusOr<std::vector<FrameOutcome>> outcomes, std::size_t frames);
  void WriteAnswers();
  std::optional<ingest::v1::DeliverResponse> NextAnswer();
  absl::StatusOr<std::optional<ingest::v1::DeliverResponse>> NextNotice();
  absl::Status AddInclusions(std::uint64_t size, bool listed, ingest::v1::CheckpointNotice& notice);
  void End(const absl::Status& why);
  absl::Status WaitForRoom(std::size_t frames);
  absl::Status WaitForAccount(const std::vector<Delivery>& deliveries);

  Chain& chain_;
  const std::string carrier_;
  const grpc::ServerContext& context_;
  Stream& stream_;
  service::StreamGuard& guard_;
  const DeliveryLimits& limits_;
  DeliveryCounters& counters_;
  const std::shared_ptr<DeliveryOrder> order_ = std::make_shared<DeliveryOrder>();
  std::uint64_t last_number_ = 0;

  Mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::vector<FrameOutcome>> answers_ ABSL_GUARDED_BY(mutex_);
  std::size_t unanswered_ ABSL_GUARDED_BY(mutex_) = 0;  // frames whose ack is not written yet
  std::size_t processing_ ABSL_GUARDED_BY(mutex_) = 0;  // batches whose answer the sequencer still owes
  absl::Status ended_ ABSL_GUARDED_BY(mutex_);
  bool ending_sent_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;

  // The writer's own.
  std::uint64_t noticed_ = 0;          // size of the last checkpoint shown
  std::deque<std::uint64_t> to_show_;  // places of this stream's entries that no notice showed yet
};

}  // namespace virp::onode
