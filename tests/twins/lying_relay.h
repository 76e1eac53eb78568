// An O-Node that lies: a relay in front of an honest one, with an O-Node's certificate, that drops one frame and
// acknowledges it.
#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <memory>
#include <string>

#include "lib/base/mutex.h"
#include "virp/ingest/v1/ingest_service.grpc.pb.h"

namespace virp::twins {

class LyingRelay final : public ingest::v1::IngestService::Service {
 public:
  enum class Lie {
    kNone,
    kNamesAnother,  // acknowledges it at another entry's place with that entry's own header and hash: no checkpoint
                    // contradicts that
    kInvents,       // acknowledges a well-made entry that is in no chain, at a place that another will have
  };

  // `honest`: a channel to the O-Node behind it, as the deliverer itself.
  explicit LyingRelay(std::shared_ptr<grpc::Channel> honest)
      : stub_(ingest::v1::IngestService::NewStub(std::move(honest))) {}

  // The next frame that can be dropped is; once.
  void LieOnce(Lie lie) { lie_ = lie; }
  bool lied() const { return lied_; }
  // Checkpoints that the deliverer was shown since, on the connection that it was lied to.
  int checkpoints_since() const { return checkpoints_since_; }

  grpc::Status Deliver(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<ingest::v1::DeliverResponse, ingest::v1::DeliverRequest>* stream) override;

 private:
  struct Dropped {
    std::uint64_t number = 0, behind = 0;  // behind: number of the frame before it in the same batch
    std::string frame;
    Lie lie = Lie::kNone;
    bool acknowledged = false;
  };
  void Drop(ingest::v1::DeliverRequest& request, Dropped& dropped);
  void Acknowledge(ingest::v1::DeliverResponse& response, Dropped& dropped);

  const std::unique_ptr<ingest::v1::IngestService::Stub> stub_;
  std::atomic<Lie> lie_{Lie::kNone};
  std::atomic<bool> lied_{false};
  std::atomic<int> checkpoints_since_{0};
};

}  // namespace virp::twins
