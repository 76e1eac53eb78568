#include "services/rtr-bridge/transport/rtr_handler.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/base/utf8.h"
#include "lib/crypto/random.h"
#include "lib/service/errors.h"
#include "lib/service/wire.h"
#include "services/rtr-bridge/transport/payload_wire.h"
#include "services/rtr-bridge/transport/rtr_messages.h"

namespace virp::rtr_bridge {
namespace {

namespace pb = ::virp::rtr::v1;

constexpr int kMostRoutes = 1'000;
constexpr std::size_t kMaxRequestId = 64;
constexpr std::size_t kMaxReason = 1'000;
constexpr std::size_t kMostRemembered = 1'000;
constexpr std::size_t kMostOctets = 2 << 20;  // of an answer; a message of gRPC has 4 MiB
constexpr std::chrono::milliseconds kRefreshPatience{60'000};

grpc::Status Reply(const absl::Status& status) {
  return service::ToGrpcStatus(status, "rtr-bridge");
}

absl::StatusOr<std::size_t> PageSize(std::int32_t asked, std::size_t usual, std::size_t most) {
  if (asked < 0) return InvalidField("page_size", "is negative");
  return asked == 0 ? usual : std::min(static_cast<std::size_t>(asked), most);
}

// A cursor is a place in lists of one generation, "GENERATION/PLACE".
absl::StatusOr<std::size_t> PlaceIn(const std::string& token, const std::string& filter, std::uint64_t generation) {
  ASSIGN_OR_RETURN(const std::string cursor, service::ReadPageToken(token, filter));
  if (cursor.empty()) return std::size_t{0};
  const std::size_t slash = cursor.find('/');
  if (slash == std::string::npos || cursor.substr(0, slash) != std::to_string(generation)) {
    return WithReason(absl::AbortedError("another generation is served by now: begin with the first page"),
                      "GENERATION_CHANGED");
  }
  std::size_t place = 0;
  const char* const end = cursor.data() + cursor.size();
  if (std::from_chars(cursor.data() + slash + 1, end, place).ptr != end)
    return InvalidField("page_token", "is not ours");
  return place;
}

std::string TokenOf(std::size_t place, const std::string& filter, std::uint64_t generation) {
  return service::MakePageToken(std::to_string(generation) + "/" + std::to_string(place), filter);
}

absl::Status Accept(Cache& cache, const pb::RefreshRequest& request, const Request& asked) {
  Hash sha256{};
  if (request.accept_sha256().size() != sha256.size())
    return InvalidField("accept_sha256", "is not the 32 bytes of the held generation's sha256");
  std::copy(request.accept_sha256().begin(), request.accept_sha256().end(), sha256.begin());
  return cache.Accept(request.accept_generation(), sha256, asked);
}

absl::Status WhyNothing(const CacheStatus& status) {
  if (!status.held) return Unavailable("{}", Message(status.merge_problem));
  return Unavailable("nothing is served yet, a guard holds generation {}: {}", status.held->number,
                     fmt::join(status.held->reasons, "; "));
}

template <typename T, typename Message>
std::size_t Added(const T& payload, Message& message) {
  ToMessage(payload, message);
  return message.ByteSizeLong();
}

// From `place` on, at most `size` that fit, and no more octets than a message takes; where the next page begins, or the
// end. `add` tells how many octets it added.
template <typename T, typename Fits, typename Add>
std::size_t FillPage(const std::vector<T>& from, std::size_t place, std::size_t& size, Fits&& fits, Add&& add) {
  std::size_t octets = 0;
  for (; place < from.size(); ++place) {
    if (!fits(from[place])) continue;
    if (octets >= kMostOctets) size = 0;
    if (size == 0) break;
    --size;
    octets += add(from[place]);
  }
  return place;
}

}  // namespace

RtrHandler::RtrHandler(RtrHandlerParts parts)
    : parts_(std::move(parts)), watch_session_(HexEncode(crypto::RandomBytes(8))) {}

absl::StatusOr<std::shared_ptr<const ServedView>> RtrHandler::Serving() const {
  auto view = parts_.board.view();
  if (view == nullptr) return WithReason(Unavailable("nothing is loaded yet; the status tells why"), "NO_DATA");
  return view;
}

void RtrHandler::FillSources(const CacheStatus& status,
                             google::protobuf::RepeatedPtrField<pb::SourceStatus>& to) const {
  for (const SourceState& source : status.sources) ToMessage(source, parts_.clock.NowNanos(), *to.Add());
}

grpc::Status RtrHandler::GetStatus(grpc::ServerContext*, const pb::GetStatusRequest*, pb::GetStatusResponse* response) {
  const CacheStatus status = parts_.cache.status();
  response->set_name(parts_.name);
  if (status.serving) ToMessage(*status.serving, *response->mutable_serving());
  if (status.held) ToMessage(*status.held, *response->mutable_held());
  FillSources(status, *response->mutable_sources());
  if (status.slurm.slurm != nullptr) {
    for (const vrp::Slurm::File& file : status.slurm.slurm->files) {
      pb::SlurmStatus& to = *response->add_slurm_files();
      to.set_path(ToUtf8(file.name));
      to.set_sha256(std::string(View(file.sha256)));
      to.set_filters(static_cast<std::int32_t>(file.filters));
      to.set_assertions(static_cast<std::int32_t>(file.assertions));
    }
  }
  if (!status.slurm.problem.ok()) response->set_slurm_problem(ToUtf8(Message(status.slurm.problem)));
  const std::vector<RouterView> routers = parts_.routers.Views();
  response->set_routers(static_cast<std::int32_t>(routers.size()));
  const auto count = [&](bool (RouterView::*is)() const) {
    return static_cast<std::int32_t>(std::count_if(routers.begin(), routers.end(), std::mem_fn(is)));
  };
  response->set_routers_current(count(&RouterView::current));
  response->set_routers_confirmed(count(&RouterView::confirmed));
  response->set_merge_policy(ToMessage(status.rule.policy));
  response->set_serving_state(ToMessage(status.state));
  if (!status.merge_problem.ok()) response->set_merge_problem(ToUtf8(Message(status.merge_problem)));
  for (const std::string& left_out : status.left_out) response->add_left_out(ToUtf8(left_out));
  if (!status.state_problem.ok()) response->set_state_problem(ToUtf8(Message(status.state_problem)));
  if (status.stale_since) *response->mutable_stale_since() = service::TimestampOf(*status.stale_since);
  if (parts_.deliverer == nullptr) return grpc::Status::OK;
  const deliver::DelivererStatus delivery = parts_.deliverer->status();
  response->mutable_delivery()->set_connected_to(delivery.connected_to);
  response->mutable_delivery()->set_problem(ToUtf8(delivery.problem));
  const deliver::SpoolStats spool = parts_.spool->stats();
  response->mutable_delivery()->set_pending(static_cast<std::int64_t>(spool.last_frame + 1 - spool.first));
  return grpc::Status::OK;
}

grpc::Status RtrHandler::ListVrps(grpc::ServerContext*, const pb::ListVrpsRequest* request,
                                  pb::ListVrpsResponse* response) {
  return Reply([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto view, Serving());
    ASSIGN_OR_RETURN(std::size_t size, PageSize(request->page_size(), 1'000, 10'000));
    std::optional<Prefix> near;
    if (!request->prefix().empty()) {
      const auto prefix = Prefix::Parse(request->prefix());
      if (!prefix.ok()) return InvalidField("prefix", Message(prefix.status()));
      near = *prefix;
    }
    const std::uint64_t generation = view->generation().number;
    const std::string filter =
        "vrps " + (request->has_asn() ? std::to_string(request->asn()) : "") + " " + request->prefix();
    ASSIGN_OR_RETURN(std::size_t place, PlaceIn(request->page_token(), filter, generation));
    const auto fits = [&](const auto& vrp) {
      if (request->has_asn() && vrp.as != request->asn()) return false;
      if (!near) return true;
      const Prefix prefix = vrp::PrefixOf(vrp);
      return prefix.Contains(*near) || near->Contains(prefix);
    };
    const auto add = [&](const auto& vrp) { return Added(vrp, *response->add_vrps()); };
    const vrp::Payloads& payloads = *view->payloads();
    const std::size_t v4 = payloads.vrps4.size();
    if (place < v4) place = FillPage(payloads.vrps4, place, size, fits, add);
    if (place >= v4) place = v4 + FillPage(payloads.vrps6, place - v4, size, fits, add);
    response->set_generation(generation);
    if (place < v4 + payloads.vrps6.size()) response->set_next_page_token(TokenOf(place, filter, generation));
    return absl::OkStatus();
  }());
}

grpc::Status RtrHandler::ListRouterKeys(grpc::ServerContext*, const pb::ListRouterKeysRequest* request,
                                        pb::ListRouterKeysResponse* response) {
  return Reply([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto view, Serving());
    ASSIGN_OR_RETURN(std::size_t size, PageSize(request->page_size(), 1'000, 10'000));
    const std::uint64_t generation = view->generation().number;
    const std::string filter = "keys " + (request->has_asn() ? std::to_string(request->asn()) : "");
    ASSIGN_OR_RETURN(std::size_t place, PlaceIn(request->page_token(), filter, generation));
    const auto& keys = view->payloads()->router_keys;
    place = FillPage(
        keys, place, size, [&](const vrp::RouterKey& key) { return !request->has_asn() || key.as == request->asn(); },
        [&](const vrp::RouterKey& key) { return Added(key, *response->add_router_keys()); });
    response->set_generation(generation);
    if (place < keys.size()) response->set_next_page_token(TokenOf(place, filter, generation));
    return absl::OkStatus();
  }());
}

grpc::Status RtrHandler::ListAspas(grpc::ServerContext*, const pb::ListAspasRequest* request,
                                   pb::ListAspasResponse* response) {
  return Reply([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto view, Serving());
    ASSIGN_OR_RETURN(std::size_t size, PageSize(request->page_size(), 100, 1'000));
    const std::uint64_t generation = view->generation().number;
    const std::string filter = "aspas " + (request->has_customer() ? std::to_string(request->customer()) : "");
    ASSIGN_OR_RETURN(std::size_t place, PlaceIn(request->page_token(), filter, generation));
    const auto& aspas = view->payloads()->aspas;
    place = FillPage(
        aspas, place, size,
        [&](const vrp::Aspa& aspa) { return !request->has_customer() || aspa.customer == request->customer(); },
        [&](const vrp::Aspa& aspa) { return Added(aspa, *response->add_aspas()); });
    response->set_generation(generation);
    if (place < aspas.size()) response->set_next_page_token(TokenOf(place, filter, generation));
    return absl::OkStatus();
  }());
}

namespace {

// The same for one request and for each of a stream.
template <typename Request, typename Response>
absl::Status ValidateAll(const ServedView& view, const Request& request, Response& response) {
  if (request.routes().empty() || request.routes_size() > kMostRoutes)
    return InvalidField("routes", fmt::format("has {} routes; 1 to {} are taken", request.routes_size(), kMostRoutes));
  std::size_t octets = 0;
  for (int i = 0; i < request.routes_size(); ++i) {
    const pb::Route& route = request.routes(i);
    const auto prefix = Prefix::Parse(route.prefix());
    if (!prefix.ok()) return InvalidField(fmt::format("routes[{}].prefix", i), Message(prefix.status()));
    const auto validity = view.validator().Explain(*prefix, route.origin_asn());
    pb::RouteValidity& answer = *response.add_validities();
    ToMessage(*prefix, route.origin_asn(), validity, answer);
    octets += answer.ByteSizeLong();
    if (octets > kMostOctets)
      return ResourceExhausted("so many VRPs cover routes[0] to routes[{}] that no answer holds them: ask for fewer",
                               i);
  }
  response.set_generation(view.generation().number);
  response.set_sha256(std::string(View(view.generation().sha256)));
  return absl::OkStatus();
}

}  // namespace

grpc::Status RtrHandler::ValidateRoute(grpc::ServerContext*, const pb::ValidateRouteRequest* request,
                                       pb::ValidateRouteResponse* response) {
  return Reply([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto view, Serving());
    return ValidateAll(*view, *request, *response);
  }());
}

grpc::Status RtrHandler::ValidateRoutes(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<pb::ValidateRoutesResponse, pb::ValidateRoutesRequest>* stream) {
  return Reply([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const service::Identity caller, parts_.callers->Resolve(*context));
    service::StreamGuard guard(*parts_.callers, caller, context);
    pb::ValidateRoutesRequest request;
    while (!draining_ && stream->Read(&request)) {
      RETURN_IF_ERROR(guard.Check());
      ASSIGN_OR_RETURN(const auto view, Serving());
      pb::ValidateRoutesResponse response;
      RETURN_IF_ERROR(ValidateAll(*view, request, response));
      if (!stream->Write(response)) break;
    }
    return absl::OkStatus();
  }());
}

grpc::Status RtrHandler::ListSessions(grpc::ServerContext*, const pb::ListSessionsRequest* request,
                                      pb::ListSessionsResponse* response) {
  return Reply([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::size_t size, service::PageSizeOf(request->page_size()));
    const std::string filter = request->include_closed() ? "sessions closed" : "sessions";
    ASSIGN_OR_RETURN(const std::string cursor, service::ReadPageToken(request->page_token(), filter));
    std::vector<RouterView> views = parts_.routers.Views();
    if (request->include_closed()) {
      std::vector<RouterView> closed = parts_.sessions.Closed(parts_.clock.NowNanos());
      std::move(closed.begin(), closed.end(), std::back_inserter(views));
    }
    std::sort(views.begin(), views.end(),
              [](const RouterView& a, const RouterView& b) { return a.name.connection < b.name.connection; });
    const std::uint64_t after = cursor.empty() ? 0 : std::strtoull(cursor.c_str(), nullptr, 10);
    for (const RouterView& view : views) {
      if (view.name.connection <= after) continue;
      if (static_cast<std::size_t>(response->sessions_size()) == size) {
        response->set_next_page_token(service::MakePageToken(
            std::to_string(response->sessions(response->sessions_size() - 1).connection()), filter));
        break;
      }
      ToMessage(view, *response->add_sessions());
    }
    return absl::OkStatus();
  }());
}

absl::Status RtrHandler::DoRefresh(const service::Identity& caller, const pb::RefreshRequest& request,
                                   pb::RefreshResponse& response) {
  if (request.reason().empty() || request.reason().size() > kMaxReason)
    return InvalidField("reason", "is empty or longer than 1,000 bytes: say why; it is recorded");
  if (request.request_id().empty() || request.request_id().size() > kMaxRequestId)
    return InvalidField("request_id", "is empty or too long; use a UUID");
  const std::string key = caller.spiffe_id + "\n" + request.request_id();
  const Request asked{caller.break_glass ? "break-glass" : caller.spiffe_id, request.reason(), request.request_id()};
  const auto remember = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (refreshed_.size() >= kMostRemembered) refreshed_.clear();
    refreshed_[key] = request.SerializeAsString();
  };
  bool reads = false;
  {
    const MutexLock lock(mutex_);
    const auto known = refreshed_.find(key);
    if (known != refreshed_.end() && known->second != request.SerializeAsString()) {
      return WithReason(AlreadyExists("request_id {} was used for another request", request.request_id()),
                        "REQUEST_ID_REUSED");
    }
    reads = known == refreshed_.end() && request.accept_generation() == 0;
    if (known == refreshed_.end() && !reads) {
      RETURN_IF_ERROR(Accept(parts_.cache, request, asked));
      remember();
    }
  }
  if (reads) {  // a source that stalls keeps nobody from accepting
    parts_.cache.RecordRefresh(asked);
    if (!parts_.sources.RefreshAll(kRefreshPatience))
      return Unavailable("not every source was read within a minute; the status tells which");
    const MutexLock lock(mutex_);
    remember();
  }
  const CacheStatus status = parts_.cache.status();
  if (!status.serving) return WithReason(WhyNothing(status), "NO_DATA");
  ToMessage(*status.serving, *response.mutable_serving());
  if (status.held) ToMessage(*status.held, *response.mutable_held());
  FillSources(status, *response.mutable_sources());
  return absl::OkStatus();
}

grpc::Status RtrHandler::Refresh(grpc::ServerContext* context, const pb::RefreshRequest* request,
                                 pb::RefreshResponse* response) {
  return Reply([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const service::Identity caller, parts_.callers->Resolve(*context));
    return DoRefresh(caller, *request, *response);
  }());
}

grpc::Status RtrHandler::ListGenerations(grpc::ServerContext*, const pb::ListGenerationsRequest* request,
                                         pb::ListGenerationsResponse* response) {
  return Reply([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::size_t size, service::PageSizeOf(request->page_size()));
    ASSIGN_OR_RETURN(const std::string cursor, service::ReadPageToken(request->page_token(), "generations"));
    const std::uint64_t below = cursor.empty() ? ~std::uint64_t{0} : std::strtoull(cursor.c_str(), nullptr, 10);
    const std::vector<Generation> all = parts_.cache.generations();
    for (auto at = all.rbegin(); at != all.rend(); ++at) {
      if (at->number >= below) continue;
      if (static_cast<std::size_t>(response->generations_size()) == size) {
        response->set_next_page_token(service::MakePageToken(
            std::to_string(response->generations(response->generations_size() - 1).generation()), "generations"));
        break;
      }
      ToMessage(*at, *response->add_generations());
    }
    return absl::OkStatus();
  }());
}

grpc::Status RtrHandler::GetGeneration(grpc::ServerContext*, const pb::GetGenerationRequest* request,
                                       pb::GetGenerationResponse* response) {
  return Reply([&]() -> absl::Status {
    const std::vector<Generation> all = parts_.cache.generations();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const Generation& at) { return at.number == request->generation(); });
    if (found == all.end()) {
      return NotFound("generation {} is not in the window; its record is in the chain, about {}/cache",
                      request->generation(), parts_.name);
    }
    ToMessage(*found, *response->mutable_generation());
    pb::Evidence& evidence = *response->mutable_evidence();
    evidence.set_frame(found->frame);
    if (found->frame.empty() || !parts_.prove) {
      evidence.set_problem("this bridge keeps no evidence, or had no room for the record");
      return absl::OkStatus();
    }
    auto proof = parts_.prove(found->frame);
    if (proof.ok()) {
      evidence.set_proof_file(*std::move(proof));
    } else {
      evidence.set_problem(ToUtf8(Message(proof.status())));
    }
    return absl::OkStatus();
  }());
}

}  // namespace virp::rtr_bridge
