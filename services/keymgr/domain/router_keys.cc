#include "services/keymgr/domain/router_keys.h"

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/cms.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"
#include "lib/rpki/issue.h"
#include "services/keymgr/domain/custody_log.h"

namespace virp::keymgr {
namespace {

AuditRecord RouterAudit(std::string_view event, const RouterRecord& router) {
  AuditRecord audit;
  audit.event = event;
  frame::JsonWriter json;
  json.BeginObject().Field("router", std::string_view(router.spec.id)).Field("bgp_id", router.spec.bgp_id);
  json.Key("asns").BeginArray();
  for (const std::uint32_t asn : router.spec.asns) json.Unsigned(asn);
  json.EndArray()
      .Field("makes_keys", KeyMethodName(router.spec.method))
      .Field("policy", ExportPolicyName(router.spec.policy));
  json.Field("agent", std::string_view(router.spec.agent)).Field("bootstrap", BootstrapName(router.spec.bootstrap));
  audit.fields = json.EndObject().Take();
  return audit;
}

absl::Status HasKeys(const RouterSlotRecord& slot) {
  return WithReason(FailedPrecondition("{} has keys that are not over: revoke them first", slot.id()), "ROUTER_KEYS");
}

}  // namespace

RouterKeys::RouterKeys(Ledger& ledger, const Custodies& custodies, RpkiAuthority& authority, const Clock& clock,
                       RouterKeyOptions options, std::string self)
    : ledger_(ledger),
      custodies_(custodies),
      authority_(authority),
      clock_(clock),
      options_(options),
      self_(std::move(self)),
      book_(ledger, options),
      nonces_(clock),
      transfer_(ledger, custodies, authority, clock, options.transfer_life, self_) {
  authority_.OnReissue([this](const Snapshot& now, const RouterCertificateRecord& old_one,
                              const RouterCertificateRecord& new_one,
                              Changes& changes) { NoteReissued(now, old_one, new_one, changes); });
}

std::vector<RecordType> RouterKeys::Types() {
  return {TypeOf<RouterRecord>(),       TypeOf<RouterSlotRecord>(),  TypeOf<RouterRequestRecord>(),
          TypeOf<RouterChainRecord>(),  TypeOf<TransferKeyRecord>(), TypeOf<CustodyLogRecord>(),
          TypeOf<EscrowReleaseRecord>()};
}

Call RouterKeys::OwnCall(std::string_view what, std::string reason) const {
  Call call;
  call.actor = self_;
  call.method = fmt::format("schedule/{}", what);
  call.reason = std::move(reason);
  return call;
}

// ---- routers ----

absl::StatusOr<RouterKeys::RouterPtr> RouterKeys::Register(const Call& call, const RouterSpec& spec) {
  RETURN_IF_ERROR(CheckRouter(spec));
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
    if (now.Find<RouterRecord>(spec.id) != nullptr)
      return AlreadyExists("router {} is there, or was; ids are not used twice", spec.id);
    RETURN_IF_ERROR(RouterBook::CheckAgent(now, spec));
    auto router = std::make_shared<RouterRecord>();
    router->spec = spec;
    router->registered_by = call.actor;
    changes.Audit(RouterAudit("router_registered", *router));
    changes.Put(std::move(router));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(receipt.status());
  return GetRouter(spec.id);
}

absl::StatusOr<RouterKeys::RouterPtr> RouterKeys::Update(const Call& call, const RouterSpec& spec,
                                                         std::uint64_t revision) {
  RETURN_IF_ERROR(CheckRouter(spec));
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
    ASSIGN_OR_RETURN(const RouterPtr before, RouterBook::Router(now, spec.id));
    if (revision != 0 && revision != before->revision)
      return WithReason(Aborted("router {} was changed meanwhile; read it again", spec.id), "ETAG");
    RETURN_IF_ERROR(RouterBook::CheckAgent(now, spec));
    auto router = std::make_shared<RouterRecord>(*before);
    router->spec = spec;
    absl::Status kept;
    RouterBook::ForEachSlot(now, spec.id, [&](const SlotPtr& slot) {
      if (!router->Has(slot->asn) && !slot->IsOver()) kept = HasKeys(*slot);
      return kept.ok();
    });
    RETURN_IF_ERROR(kept);
    changes.Audit(RouterAudit("router_updated", *router));
    changes.Put(std::move(router));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(receipt.status());
  return GetRouter(spec.id);
}

absl::Status RouterKeys::Decommission(const Call& call, std::string_view id) {
  return ledger_
      .Commit(call,
              [&](const Snapshot& now, Changes& changes) -> absl::Status {
                ASSIGN_OR_RETURN(const RouterPtr before, RouterBook::Router(now, id));
                absl::Status kept;
                RouterBook::ForEachSlot(now, id, [&](const SlotPtr& slot) {
                  if (!slot->IsOver()) kept = HasKeys(*slot);
                  return kept.ok();
                });
                RETURN_IF_ERROR(kept);
                auto router = std::make_shared<RouterRecord>(*before);
                router->decommissioned = true;
                changes.Audit(RouterAudit("router_decommissioned", *router));
                changes.Put(std::move(router));
                for (const std::string& waiting : book_.Pending({}, ~std::size_t{0})) {
                  const auto found = now.Find<RouterRequestRecord>(waiting);
                  if (found == nullptr || found->router != id || found->state != RequestState::kPending) continue;
                  auto request = std::make_shared<RouterRequestRecord>(*found);
                  request->state = RequestState::kRejected;
                  request->decided_by = call.actor;
                  request->decision = "the router is decommissioned";
                  request->decided = changes.now();
                  changes.Put(std::move(request));
                }
                return absl::OkStatus();
              })
      .status();
}

absl::StatusOr<RouterKeys::RouterPtr> RouterKeys::AttachCustodyLog(const Call& call, std::string_view router,
                                                                   std::string_view log) {
  if (log.size() > kMaxCustodyLog)
    return InvalidField("log", fmt::format("has {} bytes; at most {}", log.size(), kMaxCustodyLog));
  ASSIGN_OR_RETURN(const cms::SignedData data, cms::Parse(log));
  ASSIGN_OR_RETURN(const x509::Certificate signer, cms::VerifySigner(data));
  ASSIGN_OR_RETURN(const std::string identifier, rpki::KeyIdentifier(signer.spki));
  const Hash hash = crypto::Sha256(log);
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
    ASSIGN_OR_RETURN(const RouterPtr before, RouterBook::Router(now, router));
    auto after = std::make_shared<RouterRecord>(*before);
    const auto same = std::ranges::find(after->logs, View(hash), &CustodyLog::sha256);
    if (same != after->logs.end()) return AlreadyExists("router {} has this custody log", router);
    if (after->logs.size() >= kMaxCustodyLogs)
      return ResourceExhausted("router {} has {} custody logs", router, after->logs.size());
    after->logs.push_back({std::string(View(hash)), log.size(), identifier, call.actor, changes.now()});
    auto kept = std::make_shared<CustodyLogRecord>();
    kept->id = CustodyLogId(router, View(hash));
    kept->router = router;
    kept->log = log;
    AuditRecord audit;
    audit.event = "router_custody_log_attached";
    frame::JsonWriter json;
    json.BeginObject().Field("router", router).Field("sha256", HexEncode(View(hash)));
    audit.fields = json.Field("signer", HexEncode(identifier)).EndObject().Take();
    changes.Audit(std::move(audit));
    changes.Put(std::move(kept));
    changes.Put(std::move(after));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(receipt.status());
  return GetRouter(router);
}

// ---- reading ----

absl::StatusOr<RouterKeys::RouterPtr> RouterKeys::GetRouter(std::string_view id) const {
  RouterPtr out = ledger_.snapshot()->Find<RouterRecord>(id);
  if (out == nullptr) return NotFound("router {} is not registered", id.substr(0, 256));
  return out;
}

std::vector<RouterKeys::RouterPtr> RouterKeys::ListRouters(std::string_view after, std::size_t limit) const {
  std::vector<RouterPtr> out;
  ledger_.snapshot()->ForEach<RouterRecord>(
      [&](const RouterPtr& router) {
        out.push_back(router);
        return out.size() < limit;
      },
      {}, after);
  return out;
}

absl::StatusOr<RouterKeys::RouterPtr> RouterKeys::RouterOf(std::string_view agent) const {
  const std::string id = book_.AgentOf(agent);
  if (id.empty()) return NotFound("no router is registered with the agent {}", agent.substr(0, 256));
  return RouterBook::Router(*ledger_.snapshot(), id);
}

absl::StatusOr<std::string> RouterKeys::CustodyLogOf(std::string_view router, std::string_view sha256) const {
  const auto found = ledger_.snapshot()->Find<CustodyLogRecord>(CustodyLogId(router, sha256));
  if (found == nullptr) return NotFound("router {} has no such custody log", router.substr(0, 256));
  return found->log;
}

absl::StatusOr<RouterKeys::SlotPtr> RouterKeys::GetSlot(std::string_view slot) const {
  return RouterBook::Slot(*ledger_.snapshot(), slot);
}

std::vector<RouterKeys::SlotPtr> RouterKeys::ListSlots(std::string_view router, std::string_view after,
                                                       std::size_t limit) const {
  std::vector<SlotPtr> out;
  ledger_.snapshot()->ForEach<RouterSlotRecord>(
      [&](const SlotPtr& slot) {
        if (router.empty() || slot->router == router) out.push_back(slot);
        return out.size() < limit;
      },
      router.empty() ? std::string() : std::string(router) + "/", after);
  return out;
}

absl::StatusOr<RouterKeys::RequestPtr> RouterKeys::GetRequest(const RouterCaller& caller, std::string_view id) const {
  const auto now = ledger_.snapshot();
  ASSIGN_OR_RETURN(RequestPtr request, RouterBook::Request(*now, id));
  RETURN_IF_ERROR(Allowed(caller, *now, request->router).status());
  return request;
}

std::vector<RouterKeys::RequestPtr> RouterKeys::ListPending(std::string_view after, std::size_t limit) const {
  std::vector<RequestPtr> out;
  const auto now = ledger_.snapshot();
  for (const std::string& id : book_.Pending(after, limit)) {
    if (auto request = now->Find<RouterRequestRecord>(id); request != nullptr) out.push_back(std::move(request));
  }
  return out;
}

absl::StatusOr<RouterKeys::RouterPtr> RouterKeys::Allowed(const RouterCaller& caller, const Snapshot& now,
                                                          std::string_view router) const {
  RouterPtr found = now.Find<RouterRecord>(router);
  const bool own = found != nullptr && !found->spec.agent.empty() && found->spec.agent == caller.identity;
  // Of others' routers an agent does not even learn whether they are there.
  if (!caller.is_operator && !own) {
    return WithReason(PermissionDenied("{} is not the agent of router {}", caller.identity, router.substr(0, 256)),
                      "NOT_YOUR_ROUTER");
  }
  return RouterBook::Router(now, router);
}

absl::StatusOr<RouterKeys::SlotPtr> RouterKeys::AllowedSlot(const RouterCaller& caller, std::string_view slot) const {
  const auto now = ledger_.snapshot();
  const SlotPtr found = now->Find<RouterSlotRecord>(slot);
  if (found == nullptr && !caller.is_operator) {
    return WithReason(PermissionDenied("{} is not the agent of router keys {}", caller.identity, slot.substr(0, 256)),
                      "NOT_YOUR_ROUTER");
  }
  if (found != nullptr) RETURN_IF_ERROR(Allowed(caller, *now, found->router).status());
  return RouterBook::Slot(*now, slot);
}

absl::StatusOr<std::vector<std::string>> RouterKeys::TrustChain() const {
  ASSIGN_OR_RETURN(std::string anchor, authority_.TrustAnchor());
  std::vector<std::string> out{std::move(anchor)};
  for (std::string& below : authority_.AuthoritiesBelow()) out.push_back(std::move(below));
  return out;
}

absl::StatusOr<std::vector<RouterPlan>> RouterKeys::Plan(const RouterCaller& caller, std::string_view router) const {
  const auto now = ledger_.snapshot();
  const std::string id = router.empty() ? book_.AgentOf(caller.identity) : std::string(router);
  ASSIGN_OR_RETURN(const RouterPtr found, Allowed(caller, *now, id));
  std::vector<RouterPlan> out;
  std::vector<std::uint32_t> planned;
  RouterBook::ForEachSlot(*now, id, [&](const SlotPtr& slot) {
    out.push_back(PlanFor(found->spec, *slot, clock_.NowNanos()));
    if (slot->usage.empty()) planned.push_back(slot->asn);
    return true;
  });
  // ASes that have no key yet.
  for (const std::uint32_t asn : found->spec.asns) {
    if (std::ranges::find(planned, asn) != planned.end()) continue;
    RouterSlotRecord empty;
    empty.router = id;
    empty.asn = asn;
    out.push_back(PlanFor(found->spec, empty, clock_.NowNanos()));
  }
  return out;
}

absl::StatusOr<std::string> RouterKeys::RouterIdOf(const RouterCaller& caller, std::string_view router) const {
  const std::string id = router.empty() ? book_.AgentOf(caller.identity) : std::string(router);
  ASSIGN_OR_RETURN(const RouterPtr found, Allowed(caller, *ledger_.snapshot(), id));
  return found->spec.id;
}

absl::StatusOr<RouterKeys::SlotPtr> RouterKeys::Change(const Call& call, std::string_view slot,
                                                       const RouterBook::Change& change) const {
  RETURN_IF_ERROR(book_.Commit(call, slot, change).status());
  return GetSlot(slot);
}

}  // namespace virp::keymgr
