#include "services/collector/transport/collector_handler.h"

#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"
#include "lib/service/errors.h"
#include "lib/service/wire.h"
#include "services/collector/transport/bmp_report.h"

namespace virp::collector {
namespace {

constexpr int kMaxObservations = 256;
constexpr std::size_t kMaxRequestId = 64;
constexpr std::string_view kProducersFilter = "producers";
constexpr std::uint64_t kFrameBytes = 64 + 64;  // header and tag

grpc::Status Reply(const absl::Status& status) {
  return service::ToGrpcStatus(status, "collector");
}

void AddReceipts(const v1::SubmitRequest& request, const std::vector<deliver::Receipt>& receipts,
                 v1::SubmitResponse& response) {
  for (std::size_t i = 0; i < receipts.size(); ++i) {
    auto& to = *response.add_receipts();
    to.set_source(request.observations(static_cast<int>(i)).source());
    to.set_epoch(receipts[i].epoch);
    to.set_sequence(receipts[i].sequence);
    to.set_frame_sha256(std::string(View(receipts[i].digest)));
  }
}

}  // namespace

CollectorHandler::CollectorHandler(std::string name, deliver::Outbox& outbox, Submissions& submissions,
                                   const Liveness& liveness, const BmpIngest& bmp, const deliver::Deliverer& deliverer,
                                   std::vector<ProducerBinding> producers,
                                   std::shared_ptr<const service::CallerResolver> callers, const Clock& clock,
                                   EdgeLimits* limits)
    : name_(std::move(name)),
      outbox_(outbox),
      submissions_(submissions),
      liveness_(liveness),
      bmp_(bmp),
      deliverer_(deliverer),
      callers_(std::move(callers)),
      started_(clock.NowNanos()),
      limits_(limits) {
  for (ProducerBinding& producer : producers) {
    const std::string identity = producer.identity;
    producers_.emplace(identity, std::move(producer));
  }
}

absl::Status CollectorHandler::Check(const service::Identity& caller, const v1::SubmitRequest& request) {
  const auto producer = producers_.find(caller.spiffe_id);
  if (producer == producers_.end())
    return WithReason(PermissionDenied("{} is bound to no source here", caller.spiffe_id), "SCOPE_DENIED");
  if (request.request_id().empty() || request.request_id().size() > kMaxRequestId)
    return InvalidField("request_id", "is empty or too long; use a UUID");
  if (request.observations_size() < 1 || request.observations_size() > kMaxObservations) {
    return InvalidField("observations", fmt::format("has {} observations; 1 to {} are taken",
                                                    request.observations_size(), kMaxObservations));
  }
  frame::PayloadReader reader;
  for (int i = 0; i < request.observations_size(); ++i) {
    const v1::Observation& observation = request.observations(i);
    if (!producer->second.sources.contains(observation.source()) ||
        !producer->second.types.contains(observation.type())) {
      return WithReason(PermissionDenied("observations[{}]: source '{}' with type {} is not bound to {}", i,
                                         observation.source().substr(0, 128), observation.type(), caller.spiffe_id),
                        "SCOPE_DENIED");
    }
    if (observation.tier() > 3) return InvalidField(fmt::format("observations[{}].tier", i), "is not 0 to 3");
    const auto payload = reader.Read(observation.payload());
    if (!payload.ok()) return InvalidField(fmt::format("observations[{}].payload", i), Message(payload.status()));
  }
  return absl::OkStatus();
}

// Each answer names the frame of each observation, so nothing is folded here: who says too much is told to wait.
absl::Status CollectorHandler::Admit(const v1::SubmitRequest& request) {
  if (limits_ == nullptr) return absl::OkStatus();
  std::set<std::string_view> sources;
  for (const v1::Observation& observation : request.observations()) sources.insert(observation.source());
  for (const std::string_view source : sources) RETURN_IF_ERROR(limits_->Admit(source));
  return absl::OkStatus();
}

void CollectorHandler::Charge(const v1::SubmitRequest& request) {
  if (limits_ == nullptr) return;
  for (const v1::Observation& observation : request.observations())
    limits_->Charge(observation.source(), 1, kFrameBytes + observation.payload().size());
}

absl::Status CollectorHandler::Take(const service::Identity& caller, const v1::SubmitRequest& request,
                                    v1::SubmitResponse& response) {
  RETURN_IF_ERROR(Check(caller, request));
  const std::string key = caller.spiffe_id + "\n" + request.request_id();
  Submissions::Answer answer;
  answer.request = crypto::Sha256(request.SerializeAsString());
  std::vector<deliver::Observation> observations;
  std::vector<deliver::Outbox::Item> items;
  observations.reserve(static_cast<std::size_t>(request.observations_size()));
  for (const v1::Observation& from : request.observations()) {
    observations.push_back(
        {static_cast<frame::Type>(from.type()), static_cast<frame::Tier>(from.tier()), from.payload()});
    items.push_back({from.source(), &observations.back()});
  }
  std::uint64_t last = 0;
  {
    const MutexLock lock(mutex_);
    if (const auto known = submissions_.Find(key)) {
      if (known->request != answer.request) {
        return WithReason(AlreadyExists("request_id {} was used for other observations", request.request_id()),
                          "REQUEST_ID_REUSED");
      }
      AddReceipts(request, known->receipts, response);
      last = outbox_.spool().stats().last;  // the first answer may still be waiting for its fsync
    } else {
      RETURN_IF_ERROR(Admit(request));
      ASSIGN_OR_RETURN(answer.receipts, outbox_.Emit(items, [&](const std::vector<deliver::Receipt>& receipts) {
        Submissions::Answer noted = answer;
        noted.receipts = receipts;
        return Submissions::NoteOf(key, noted);
      }));
      submissions_.Remember(key, answer);
      Charge(request);
      submitted_[caller.spiffe_id] += items.size();
      AddReceipts(request, answer.receipts, response);
      last = answer.receipts.back().number + 1;  // the note behind them
    }
  }
  return outbox_.Sync(last);
}

grpc::Status CollectorHandler::Submit(grpc::ServerContext* context, const v1::SubmitRequest* request,
                                      v1::SubmitResponse* response) {
  const auto caller = callers_->Resolve(*context);
  if (!caller.ok()) return Reply(caller.status());
  absl::Status taken = Take(*caller, *request, *response);
  if (absl::IsResourceExhausted(taken) && !GetRetryAfter(taken)) SetRetryAfter(taken, std::chrono::milliseconds(1'000));
  return Reply(taken);
}

grpc::Status CollectorHandler::GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*,
                                         v1::GetStatusResponse* response) {
  const deliver::SpoolStats spool = outbox_.spool().stats();
  const deliver::DelivererStatus delivery = deliverer_.status();
  response->set_name(name_);
  response->set_spooled_frames(spool.last_frame + 1 - spool.first);
  response->set_spooled_bytes(spool.bytes);
  response->set_spool_limit_bytes(spool.limit);
  response->set_last_delivery_number(spool.last_frame);
  response->set_answered_delivery_number(delivery.answered);
  response->set_delivering_to(delivery.connected_to);
  response->set_delivery_problem(delivery.problem);
  response->set_audit_problem(delivery.audit_problem);
  response->set_audited_size(delivery.audited_size);
  *response->mutable_started_at() = service::TimestampOf(started_);
  for (const SourceLiveness& from : liveness_.Sources()) {
    auto& to = *response->add_sources();
    const deliver::Position position = outbox_.position(from.source);
    to.set_source(from.source);
    to.set_path(std::string(PathName(from.path)));
    to.set_connected(from.connected);
    *to.mutable_since() = service::TimestampOf(from.since);
    if (from.last_bytes != 0) *to.mutable_last_bytes_at() = service::TimestampOf(from.last_bytes);
    to.set_epoch(position.epoch);
    to.set_last_sequence(position.last_sequence);
    to.set_frames(position.frames);
    for (const auto& [source, frames] : delivery.held) {
      if (source == from.source) to.set_held_frames(frames);
    }
  }
  return grpc::Status::OK;
}

grpc::Status CollectorHandler::ListProducers(grpc::ServerContext*, const v1::ListProducersRequest* request,
                                             v1::ListProducersResponse* response) {
  const auto page = service::PageSizeOf(request->page_size());
  if (!page.ok()) return Reply(page.status());
  const auto after = service::ReadPageToken(request->page_token(), kProducersFilter);
  if (!after.ok()) return Reply(after.status());
  const MutexLock lock(mutex_);
  for (auto at = producers_.upper_bound(*after); at != producers_.end(); ++at) {
    if (static_cast<std::size_t>(response->producers_size()) == *page) {
      response->set_next_page_token(
          service::MakePageToken(response->producers().rbegin()->identity(), kProducersFilter));
      break;
    }
    auto& to = *response->add_producers();
    to.set_identity(at->first);
    for (const std::string& source : at->second.sources) to.add_sources(source);
    for (const std::uint32_t type : at->second.types) to.add_types(type);
    if (const auto count = submitted_.find(at->first); count != submitted_.end()) to.set_submitted(count->second);
  }
  return grpc::Status::OK;
}

grpc::Status CollectorHandler::ListBmpPeers(grpc::ServerContext*, const v1::ListBmpPeersRequest* request,
                                            v1::ListBmpPeersResponse* response) {
  return Reply(collector::ListBmpPeers(bmp_, *request, *response));
}

}  // namespace virp::collector
