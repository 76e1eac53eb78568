#include "tests/twins/lying_relay.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <thread>

#include "lib/chain/entry.h"

namespace virp::twins {

namespace pb = ::virp::ingest::v1;

void LyingRelay::Drop(pb::DeliverRequest& request, Dropped& dropped) {
  if (lie_ == Lie::kNone || request.batch().frames_size() < 2) return;
  auto& frames = *request.mutable_batch()->mutable_frames();
  const int last = frames.size() - 1;
  dropped.number = frames[last].delivery_number();
  dropped.behind = frames[last - 1].delivery_number();
  dropped.frame = frames[last].frame();
  dropped.lie = lie_.exchange(Lie::kNone);
  frames.RemoveLast();
}

void LyingRelay::Acknowledge(pb::DeliverResponse& response, Dropped& dropped) {
  if (response.has_checkpoint() && dropped.acknowledged) ++checkpoints_since_;
  if (dropped.lie == Lie::kNone || !response.has_ack()) return;
  auto& results = *response.mutable_ack()->mutable_results();
  int at = 0;
  while (at < results.size() && results[at].delivery_number() != dropped.behind) ++at;
  if (at == results.size()) return;
  pb::FrameResult lie = results[at];
  lie.set_delivery_number(dropped.number);
  if (dropped.lie == Lie::kInvents) {
    chain::EntryHeader header;
    std::copy_n(lie.entry_header().begin() + 8, header.origin_id.size(), header.origin_id.begin());
    header.sequence = lie.chain_sequence() + 1;
    const std::string invented = chain::EncodeEntry(header, dropped.frame);
    lie.set_chain_sequence(header.sequence);
    lie.set_entry_header(invented.substr(0, chain::kEntryHeaderSize));
    lie.set_leaf_hash(std::string(View(chain::LeafHash(invented))));
  }
  // Behind the one that it followed; later ones keep their order.
  *results.Add() = lie;
  for (int i = results.size() - 1; i > at + 1; --i) results.SwapElements(i, i - 1);
  if (at + 2 == results.size()) response.mutable_ack()->set_delivery_number(dropped.number);
  dropped.lie = Lie::kNone;
  dropped.acknowledged = true;
  lied_ = true;
}

grpc::Status LyingRelay::Deliver(grpc::ServerContext* /*context*/,
                                 grpc::ServerReaderWriter<pb::DeliverResponse, pb::DeliverRequest>* stream) {
  grpc::ClientContext upstream;
  const auto honest = stub_->Deliver(&upstream);
  Mutex mutex;
  Dropped dropped;
  std::thread answers([&] {
    pb::DeliverResponse response;
    while (honest->Read(&response)) {
      {
        const MutexLock lock(mutex);
        Acknowledge(response, dropped);
      }
      if (!stream->Write(response)) break;
    }
    upstream.TryCancel();
  });
  pb::DeliverRequest request;
  while (stream->Read(&request)) {
    {
      const MutexLock lock(mutex);
      Drop(request, dropped);
    }
    if (!honest->Write(request)) break;
  }
  upstream.TryCancel();
  answers.join();
  return honest->Finish();
}

}  // namespace virp::twins
