#include "services/keymgr/domain/router_book.h"

#include <algorithm>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/frame/payload.h"
#include "lib/rpki/issue.h"
#include "services/keymgr/domain/rpki_record.h"

namespace virp::keymgr {

RouterBook::RouterBook(Ledger& ledger, RouterKeyOptions options) : ledger_(ledger), options_(options) {
  ledger_.Subscribe([this](const Committed& committed) { OnCommitted(committed); });
}

absl::StatusOr<RouterBook::RouterPtr> RouterBook::Router(const Snapshot& now, std::string_view id) {
  RouterPtr out = now.Find<RouterRecord>(id);
  if (out == nullptr) return NotFound("router {} is not registered", id.substr(0, 256));
  if (out->decommissioned) return WithReason(FailedPrecondition("router {} is decommissioned", id), "DECOMMISSIONED");
  return out;
}

absl::StatusOr<RouterBook::SlotPtr> RouterBook::Slot(const Snapshot& now, std::string_view id) {
  SlotPtr out = now.Find<RouterSlotRecord>(id);
  if (out == nullptr) return NotFound("there are no router keys {}", id.substr(0, 256));
  return out;
}

absl::StatusOr<RouterBook::RequestPtr> RouterBook::Request(const Snapshot& now, std::string_view id) {
  RequestPtr out = now.Find<RouterRequestRecord>(id);
  if (out == nullptr) return NotFound("there is no certificate request {}", id.substr(0, 256));
  return out;
}

absl::Status RouterBook::CheckAgent(const Snapshot& now, const RouterSpec& spec) {
  if (spec.agent.empty()) return absl::OkStatus();
  absl::Status taken;
  now.ForEach<RouterRecord>([&](const RouterPtr& other) {
    if (!other->decommissioned && other->spec.id != spec.id && other->spec.agent == spec.agent)
      taken = AlreadyExists("router {} has this agent", other->spec.id);
    return taken.ok();
  });
  return taken;
}

// ---- changes ----

void RouterBook::Put(Changes& changes, std::shared_ptr<RouterSlotRecord> slot) const {
  slot->look_at = NextLook(*slot, options_.times);
  changes.Put(std::move(slot));
}

absl::StatusOr<std::shared_ptr<RouterSlotRecord>> RouterBook::Changed(const Snapshot& now, Changes& changes,
                                                                      std::string_view slot,
                                                                      const Change& change) const {
  std::shared_ptr<RouterSlotRecord> after;
  if (const SlotPtr before = now.Find<RouterSlotRecord>(slot); before != nullptr) {
    after = std::make_shared<RouterSlotRecord>(*before);
  } else if (change.router.empty()) {
    return NotFound("there are no router keys {}", slot.substr(0, 256));
  } else {
    std::size_t usages = 0;
    ForEachSlot(now, change.router, [&](const SlotPtr& other) {
      usages += static_cast<std::size_t>(other->asn == change.asn);
      return true;
    });
    if (usages >= kMaxUsages)
      return ResourceExhausted("router {} has {} kinds of keys in AS {} already", change.router, usages, change.asn);
    after = std::make_shared<RouterSlotRecord>();
    after->router = change.router;
    after->asn = change.asn;
    after->usage = change.usage;
  }
  RETURN_IF_ERROR(change.step(now, *after, changes));
  return after;
}

absl::Status RouterBook::Apply(const Snapshot& now, Changes& changes, std::string_view slot,
                               const Change& change) const {
  ASSIGN_OR_RETURN(auto after, Changed(now, changes, slot, change));
  Put(changes, std::move(after));
  return absl::OkStatus();
}

absl::StatusOr<Receipt> RouterBook::Commit(const Call& call, std::string_view slot, const Change& change) const {
  return ledger_.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
    ASSIGN_OR_RETURN(auto after, Changed(now, changes, slot, change));
    changes.Audit(AuditOf(*after, change));
    changes.Answer(std::to_string(change.version == 0 ? after->last_version : change.version));
    Put(changes, std::move(after));
    return absl::OkStatus();
  });
}

AuditRecord RouterBook::AuditOf(const RouterSlotRecord& slot, const Change& change) const {
  AuditRecord audit;
  audit.event = change.event;
  audit.tier = change.tier;
  frame::JsonWriter json;
  json.BeginObject().Field("router", std::string_view(slot.router)).Field("asn", slot.asn);
  const std::uint32_t number = change.version == 0 ? slot.last_version : change.version;
  const RollKey* const key = slot.roll.Find(number);
  const RouterVersion* const version = slot.Find(number);
  if (key != nullptr && version != nullptr) {
    audit.keys.push_back(slot.identity(number));
    json.Field("state", RouterKeyStateName(key->state));
    if (const auto ski = rpki::KeyIdentifier(version->spki); ski.ok()) json.Field("key_identifier", HexEncode(*ski));
  }
  audit.fields = json.EndObject().Take();
  return audit;
}

// ---- indexes ----

void RouterBook::Add(const RouterRecord& router) {
  if (!router.decommissioned && !router.spec.agent.empty()) agents_[router.spec.agent] = router.spec.id;
}

// In one commit another router may have taken over the agent before this one lets it go.
void RouterBook::Drop(const RouterRecord& router) {
  const auto found = agents_.find(router.spec.agent);
  if (found != agents_.end() && found->second == router.spec.id) agents_.erase(found);
}

void RouterBook::Add(const RouterRequestRecord& request) {
  decided_.Add(request);
  if (request.state != RequestState::kPending) return;
  pending_.emplace(request.created, request.id);
  ++waiting_[request.router];
}

void RouterBook::Drop(const RouterRequestRecord& request) {
  decided_.Drop(request);
  if (pending_.erase({request.created, request.id}) == 0) return;
  const auto count = waiting_.find(request.router);
  if (count != waiting_.end() && --count->second == 0) waiting_.erase(count);
}

void RouterBook::Add(const RouterSlotRecord& slot) {
  const std::string id = slot.id();
  if (slot.look_at) due_.emplace(*slot.look_at, id);
  for (const RouterVersion& version : slot.versions) keys_.emplace(version.spki, id);
  touched_.insert(id);  // what changed may ask for more: a next key, a renewal
}

void RouterBook::Drop(const RouterSlotRecord& slot) {
  const std::string id = slot.id();
  if (slot.look_at) due_.erase({*slot.look_at, id});
  for (const RouterVersion& version : slot.versions) keys_.erase({version.spki, id});
}

void RouterBook::Note(const Snapshot& now, const Committed::Item& item) {
  if (item.kind == RouterRecord::kKind) {
    if (item.before != nullptr) Drop(static_cast<const RouterRecord&>(*item.before));
    if (item.after != nullptr) Add(static_cast<const RouterRecord&>(*item.after));
  } else if (item.kind == RouterRequestRecord::kKind) {
    if (item.before != nullptr) Drop(static_cast<const RouterRequestRecord&>(*item.before));
    if (item.after != nullptr) Add(static_cast<const RouterRequestRecord&>(*item.after));
  } else if (item.kind == RouterSlotRecord::kKind) {
    ++serial_;
    if (item.before != nullptr) Drop(static_cast<const RouterSlotRecord&>(*item.before));
    if (item.after != nullptr) Add(static_cast<const RouterSlotRecord&>(*item.after));
  } else if (item.kind == RouterCertificateRecord::kKind && item.after != nullptr) {
    const auto& certificate = static_cast<const RouterCertificateRecord&>(*item.after);
    if (certificate.state != CertificateState::kPublished && certificate.state != CertificateState::kRevoked) return;
    std::vector<std::string> touched;
    ForEachSlot(now, certificate.router, [&](const SlotPtr& slot) {
      if (slot->asn == certificate.asn) touched.push_back(slot->id());
      return true;
    });
    touched_.insert(touched.begin(), touched.end());
  }
}

void RouterBook::Load(const Snapshot& now) {
  agents_.clear();
  pending_.clear();
  waiting_.clear();
  decided_.Clear();
  due_.clear();
  touched_.clear();
  keys_.clear();
  ++serial_;
  std::vector<RouterPtr> routers;
  std::vector<RequestPtr> requests;
  std::vector<SlotPtr> slots;
  const auto into = [](auto& list) {
    return [&list](const auto& record) {
      list.push_back(record);
      return true;
    };
  };
  now.ForEach<RouterRecord>(into(routers));
  now.ForEach<RouterRequestRecord>(into(requests));
  now.ForEach<RouterSlotRecord>(into(slots));
  for (const RouterPtr& router : routers) Add(*router);
  for (const RequestPtr& request : requests) Add(*request);
  for (const SlotPtr& slot : slots) Add(*slot);
}

void RouterBook::OnCommitted(const Committed& committed) {
  const MutexLock lock(mutex_);
  if (committed.items.empty()) return Load(*committed.snapshot);
  for (const Committed::Item& item : committed.items) Note(*committed.snapshot, item);
}

std::string RouterBook::AgentOf(std::string_view identity) const {
  const MutexLock lock(mutex_);
  const auto found = agents_.find(identity);
  return found == agents_.end() ? std::string() : found->second;
}

std::vector<std::string> RouterBook::Pending(std::string_view after, std::size_t limit) const {
  std::vector<std::string> out;
  const auto last = ledger_.snapshot()->Find<RouterRequestRecord>(after);
  const MutexLock lock(mutex_);
  auto at = last == nullptr ? pending_.begin() : pending_.upper_bound({last->created, last->id});
  for (; at != pending_.end() && out.size() < limit; ++at) out.push_back(at->second);
  return out;
}

std::size_t RouterBook::PendingOf(std::string_view router) const {
  const MutexLock lock(mutex_);
  const auto found = waiting_.find(router);
  return found == waiting_.end() ? 0 : found->second;
}

std::size_t RouterBook::pending() const {
  const MutexLock lock(mutex_);
  return pending_.size();
}

RouterBook::StaleRequests RouterBook::Stale(UnixNanos now, std::size_t most) const {
  StaleRequests out;
  const auto waiting =
      static_cast<UnixNanos>(std::chrono::duration_cast<std::chrono::nanoseconds>(options_.requests.waiting).count());
  const MutexLock lock(mutex_);
  for (const auto& [created, id] : pending_) {
    if (out.undecided.size() == most || created + waiting > now) break;
    out.undecided.push_back(id);
  }
  out.over = decided_.Over(options_.requests, now, most - out.undecided.size());
  return out;
}

std::vector<std::string> RouterBook::SlotsWith(std::string_view spki) const {
  std::vector<std::string> out;
  const MutexLock lock(mutex_);
  for (auto at = keys_.lower_bound({std::string(spki), std::string()}); at != keys_.end() && at->first == spki; ++at)
    out.push_back(at->second);
  return out;
}

std::vector<std::string> RouterBook::TakeDue(UnixNanos now, std::size_t most) {
  std::vector<std::string> out;
  const MutexLock lock(mutex_);
  while (!touched_.empty() && out.size() < most) {
    out.push_back(std::move(touched_.extract(touched_.begin()).value()));
  }
  while (!due_.empty() && due_.begin()->first <= now && out.size() < most) {
    out.push_back(due_.begin()->second);
    due_.erase(due_.begin());
  }
  return out;
}

void RouterBook::Expect(std::string_view slot, UnixNanos at) {
  const MutexLock lock(mutex_);
  due_.emplace(at, std::string(slot));
}

std::uint64_t RouterBook::serial() const {
  const MutexLock lock(mutex_);
  return serial_;
}

}  // namespace virp::keymgr
