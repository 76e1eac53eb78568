// What becomes of certificate requests that nobody decides, and of those that are decided.
#include "services/keymgr/domain/router_requests.h"

#include <algorithm>

#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "services/keymgr/domain/router_keys.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kPruneAtOnce = 128;  // in one audit record, which names each

UnixNanos NanosOf(std::chrono::hours time) {
  return static_cast<UnixNanos>(std::chrono::nanoseconds(time).count());
}

}  // namespace

void RequestIndex::Add(const RouterRequestRecord& request) {
  if (request.state == RequestState::kPending) return;
  const std::pair<UnixNanos, std::string> at{request.decided, request.id};
  all_.insert(at);
  if (request.state == RequestState::kRejected) refused_.insert(at);
  ByAge& own = by_router_[request.router];
  own.insert(at);
  if (own.size() > kLeast) crowded_.insert(request.router);
}

void RequestIndex::Drop(const RouterRequestRecord& request) {
  const std::pair<UnixNanos, std::string> at{request.decided, request.id};
  if (all_.erase(at) == 0) return;
  refused_.erase(at);
  const auto own = by_router_.find(request.router);
  own->second.erase(at);
  if (own->second.size() <= kLeast) crowded_.erase(request.router);
  if (own->second.empty()) by_router_.erase(own);
}

void RequestIndex::Clear() {
  all_.clear();
  refused_.clear();
  by_router_.clear();
  crowded_.clear();
}

std::vector<std::string> RequestIndex::Over(const RequestLimits& limits, UnixNanos now, std::size_t most) const {
  std::set<std::string> out;
  for (const auto& [decided, id] : refused_) {
    if (out.size() == most || decided + NanosOf(limits.kept) > now) break;
    out.insert(id);
  }
  for (const std::string& router : crowded_) {
    const ByAge& own = by_router_.at(router);
    std::size_t over = own.size() - std::min(own.size(), std::max(limits.per_router, kLeast));
    for (auto one = own.begin(); over != 0 && out.size() < most; ++one, --over) out.insert(one->second);
  }
  std::size_t over = all_.size() - std::min(all_.size(), limits.in_all);
  for (auto one = all_.begin(); over != 0 && out.size() < most; ++one, --over) out.insert(one->second);
  return {out.begin(), out.end()};
}

absl::Status RouterKeys::PruneRequests(UnixNanos time) {
  const RouterBook::StaleRequests stale = book_.Stale(time, kPruneAtOnce);
  if (stale.undecided.empty() && stale.over.empty()) return absl::OkStatus();
  const Call call = OwnCall("router-requests", "old certificate requests are let go");
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
    std::size_t done = 0;
    frame::JsonWriter json;
    json.BeginObject().Key("ended").BeginArray();
    for (const std::string& id : stale.undecided) {
      const auto found = now.Find<RouterRequestRecord>(id);
      if (found == nullptr || found->state != RequestState::kPending) continue;
      auto request = std::make_shared<RouterRequestRecord>(*found);
      request->state = RequestState::kRejected;
      request->decided_by = self_;
      request->decision = "nobody decided in time: send a new one";
      request->decided = changes.now();
      changes.Put(std::move(request));
      json.String(id);
      ++done;
    }
    json.EndArray().Key("forgotten").BeginArray();
    for (const std::string& id : stale.over) {
      const auto found = now.Find<RouterRequestRecord>(id);
      if (found == nullptr || found->state == RequestState::kPending) continue;
      changes.Erase<RouterRequestRecord>(id);
      json.String(id);
      ++done;
    }
    if (done == 0) return absl::CancelledError("nothing is over");
    AuditRecord audit;
    audit.event = "router_requests_pruned";
    audit.fields = json.EndArray().EndObject().Take();
    changes.Audit(std::move(audit));
    return absl::OkStatus();
  });
  return absl::IsCancelled(receipt.status()) ? absl::OkStatus() : receipt.status();
}

}  // namespace virp::keymgr
