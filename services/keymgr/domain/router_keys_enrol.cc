// Requests of routers: their way from the wire to a version (RFC 8635 sections 6.1 and 9).
#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/frame/payload.h"
#include "lib/rpki/check.h"
#include "services/keymgr/domain/router_keys.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kMaxWaiting = 16;  // requests of one router
constexpr std::size_t kMaxWaitingInAll = 20'000;
constexpr UnixNanos kRenewAtMost = UnixNanos{3'600} * 1'000'000'000;

absl::StatusOr<std::string> DerOf(std::string_view request) {
  if (request.empty() || request.size() > x509::kMaxRequest)
    return InvalidField("csr", fmt::format("has {} bytes; wanted 1 to {}", request.size(), x509::kMaxRequest));
  auto blocks = x509::DerBlocks(request, {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}, x509::kMaxRequest, 1);
  if (!blocks.ok()) return WithReason(InvalidField("csr", Message(blocks.status())), "MALFORMED");
  return std::move(blocks->front());
}

AuditRecord RequestAudit(std::string_view event, const RouterRequestRecord& request) {
  AuditRecord audit;
  audit.event = event;
  frame::JsonWriter json;
  json.BeginObject().Field("router", std::string_view(request.router)).Field("asn", request.asn);
  json.Field("request", std::string_view(request.id));
  if (const auto ski = rpki::KeyIdentifier(request.spki); ski.ok()) json.Field("key_identifier", HexEncode(*ski));
  audit.fields = json.Field("submitted_by", std::string_view(request.submitted_by)).EndObject().Take();
  return audit;
}

absl::StatusOr<std::uint32_t> AsnOf(const RouterRecord& router, std::uint32_t asn) {
  if (asn != 0) return asn;
  if (router.spec.asns.size() == 1) return router.spec.asns.front();
  return InvalidField("asn", fmt::format("is 0, and router {} has {} ASes", router.spec.id, router.spec.asns.size()));
}

absl::Status CheckLog(const RouterRecord& router) {
  if (!router.spec.needs_custody_log || !router.logs.empty()) return absl::OkStatus();
  return WithReason(
      FailedPrecondition("router {}: attach the custody log of its keys first (RFC 8635 section 9)", router.spec.id),
      "CUSTODY_LOG");
}

bool HasCertifiedKey(const Snapshot& now, std::string_view router, std::uint32_t asn) {
  bool has = false;
  RouterBook::ForEachSlot(now, router, [&](const RouterBook::SlotPtr& slot) {
    has = slot->asn == asn && std::ranges::any_of(slot->versions, [](const RouterVersion& version) {
            return !version.certificates.empty() || !version.imported.empty();
          });
    return !has;
  });
  return has;
}

}  // namespace

bool RouterKeys::Matches(const RouterCaller& caller, const RouterRecord& router, std::string_view spki) {
  const auto hash = [](std::string_view bytes) { return std::string(View(crypto::Sha256(bytes))); };
  std::string of_certificate, of_key;
  if (const auto parsed = x509::ParseCertificate(caller.certificate); !caller.certificate.empty() && parsed.ok()) {
    of_certificate = hash(caller.certificate);
    of_key = hash(parsed->spki);
  }
  return std::ranges::any_of(router.spec.material, [&](const Material& material) {
    switch (material.kind) {
      case MaterialKind::kTlsCertificate:
        return material.sha256 == of_certificate;
      case MaterialKind::kTlsKey:
        return material.sha256 == of_key;
      case MaterialKind::kRouterKey:
        return material.sha256 == hash(spki);
    }
    return false;
  });
}

// Keys for TLS and for BGPsec are different ones (RFC 8635 appendix B.1): neither is lost with the other.
absl::Status RouterKeys::CheckNoTlsKey(const RouterCaller& caller, const RouterRecord& router, std::string_view spki) {
  const auto parsed = x509::ParseCertificate(caller.certificate);
  const bool callers = !caller.certificate.empty() && parsed.ok() && parsed->spki == spki;
  const Material registered{MaterialKind::kTlsKey, std::string(View(crypto::Sha256(spki)))};
  if (!callers && std::ranges::find(router.spec.material, registered) == router.spec.material.end())
    return absl::OkStatus();
  return WithReason(InvalidField("csr", "is for the key of a TLS certificate: make another key for BGPsec"), "TLS_KEY");
}

absl::StatusOr<RouterKeys::Wanted> RouterKeys::Check(const RouterCaller& caller, const Snapshot& now,
                                                     const Submission& submission, RouterPtr router,
                                                     std::string request) const {
  Wanted out;
  out.id = HexEncode(View(crypto::Sha256(request)));
  ASSIGN_OR_RETURN(out.asn, AsnOf(*router, submission.asn));
  if (!router->Has(out.asn)) {
    return WithReason(FailedPrecondition("AS {} is none of router {}", out.asn, router->spec.id), "AS_NOT_HELD");
  }
  if (submission.bgp_id.has_value() && *submission.bgp_id != router->spec.bgp_id)
    return WithReason(FailedPrecondition("router {} is registered with another BGP identifier", router->spec.id),
                      "BGP_ID_DIFFERS");
  ASSIGN_OR_RETURN(rpki::RouterRequest checked, rpki::RouterRequest::Check(request, {.asn = out.asn}));
  out.checked = std::make_shared<const rpki::RouterRequest>(std::move(checked));
  out.spki = out.checked->key().spki();
  RETURN_IF_ERROR(CheckNoTlsKey(caller, *router, out.spki));
  ASSIGN_OR_RETURN(out.slot, SlotId(router->spec.id, out.asn, submission.usage));
  for (const std::string& other : book_.SlotsWith(out.spki)) {
    const auto slot = now.Find<RouterSlotRecord>(other);
    if (slot == nullptr || other == out.slot) continue;
    // One key for several ASes of one router is fine: each has its own certificate.
    if (slot->router == router->spec.id && slot->asn != out.asn) continue;
    return WithReason(AlreadyExists("another slot has this key"), "KEY_IN_USE");
  }
  out.router = std::move(router);
  out.request = std::move(request);
  return out;
}

absl::StatusOr<RouterKeys::RequestPtr> RouterKeys::SubmitRequest(const Call& call, const RouterCaller& caller,
                                                                 const Submission& submission) {
  const auto now = ledger_.snapshot();
  const std::string id = submission.router.empty() ? book_.AgentOf(caller.identity) : submission.router;
  ASSIGN_OR_RETURN(RouterPtr router, Allowed(caller, *now, id));
  ASSIGN_OR_RETURN(std::string der, DerOf(submission.request));
  const auto before = now->Find<RouterRequestRecord>(HexEncode(View(crypto::Sha256(der))));
  if (before != nullptr && before->router != id)
    return WithReason(AlreadyExists("another router sent this request"), "KEY_IN_USE");
  if (before != nullptr) {
    ASSIGN_OR_RETURN(const std::uint32_t asn, AsnOf(*router, submission.asn));
    if (before->asn != asn || before->usage != submission.usage) {
      return WithReason(AlreadyExists("this request was sent for AS {}{}{}: a request is for one AS and usage, so sign "
                                      "another one",
                                      before->asn, before->usage.empty() ? "" : " ", before->usage),
                        "ANOTHER_SLOT");
    }
  }
  if (before != nullptr && !(submission.renew && before->state == RequestState::kApproved)) return RequestPtr(before);
  ASSIGN_OR_RETURN(const Wanted wanted, Check(caller, *now, submission, std::move(router), std::move(der)));
  const SlotPtr slot = now->Find<RouterSlotRecord>(wanted.slot);
  if (slot != nullptr) {
    const auto version = std::ranges::find(slot->versions, wanted.spki, &RouterVersion::spki);
    if (version != slot->versions.end()) return RenewFor(call, wanted, *slot, *version);
  }
  if (wanted.router->spec.method == KeyMethod::kOperatorDriven)
    return WithReason(FailedPrecondition("keys of router {} are made here", wanted.router->spec.id), "METHOD");
  if (slot != nullptr) {
    RouterRoll trial = slot->roll;
    RETURN_IF_ERROR(AddNext(trial, slot->last_version + 1, clock_.NowNanos()));
  }
  auto request = std::make_shared<RouterRequestRecord>();
  request->id = wanted.id;
  request->router = wanted.router->spec.id;
  request->asn = wanted.asn;
  request->usage = submission.usage;
  request->request = wanted.request;
  request->spki = wanted.spki;
  request->submitted_by = call.actor;
  // What was said of a router before it came speaks for its first key only: the next one is approved.
  const bool known = !caller.is_operator && Matches(caller, *wanted.router, wanted.spki) &&
                     !HasCertifiedKey(*now, request->router, request->asn);
  if (known && CheckLog(*wanted.router).ok()) return Accept(call, std::move(request), false, wanted.checked.get());
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& state, Changes& changes) -> absl::Status {
    RETURN_IF_ERROR(RouterBook::Router(state, request->router).status());
    if (state.Find<RouterRequestRecord>(request->id) != nullptr) return Aborted("it came twice at once: ask again");
    if (book_.PendingOf(request->router) >= kMaxWaiting)
      return ResourceExhausted("{} requests of router {} wait for approval", kMaxWaiting, request->router);
    if (book_.pending() >= kMaxWaitingInAll)
      return ResourceExhausted("{} requests wait for approval: approve or reject some", kMaxWaitingInAll);
    changes.Audit(RequestAudit("router_request_submitted", *request));
    changes.Put(std::make_shared<RouterRequestRecord>(*request));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(receipt.status());
  return RouterBook::Request(*ledger_.snapshot(), request->id);
}

// A request for a key that the slot has: its holder has proved that it still has it.
absl::StatusOr<RouterKeys::RequestPtr> RouterKeys::RenewFor(const Call& call, const Wanted& wanted,
                                                            const RouterSlotRecord& slot,
                                                            const RouterVersion& version) {
  const RollKey* const key = slot.roll.Find(version.version);
  if (key == nullptr) return Internal("{} has version {} without a state", slot.id(), version.version);
  if (key->compromised || key->state > RouterKeyState::kActive) {
    return WithReason(FailedPrecondition("version {} of {} is {}: make another key", version.version, slot.id(),
                                         key->compromised ? "compromised" : RouterKeyStateName(key->state)),
                      key->compromised ? "COMPROMISED" : "ROUTER_KEY_STATE");
  }
  auto request = std::make_shared<RouterRequestRecord>();
  const auto known = ledger_.snapshot()->Find<RouterRequestRecord>(wanted.id);
  // Who submitted and who approved it stands once and for all; the audit has each renewal.
  const bool decided = known != nullptr && known->state == RequestState::kApproved;
  if (decided) *request = *known;
  request->id = wanted.id;
  request->router = slot.router;
  request->asn = slot.asn;
  request->usage = slot.usage;
  request->request = wanted.request;
  request->spki = wanted.spki;
  request->state = RequestState::kApproved;
  request->version = version.version;
  if (!decided) {
    request->submitted_by = call.actor;
    request->decision = "the key has a certificate";
  }
  // An outside authority renews by itself; who asks twice within an hour gets the same.
  const auto newest = version.certificates.empty()
                          ? nullptr
                          : ledger_.snapshot()->Find<RouterCertificateRecord>(version.certificates.back());
  if (wanted.router->spec.outside_authority) return RequestPtr(request);
  if (newest != nullptr && newest->created + kRenewAtMost > clock_.NowNanos()) return RequestPtr(request);
  const RpkiAuthority::Order order =
      OrderOf(*wanted.router, slot.id(), slot.asn, slot.usage, version.version, wanted.request, wanted.checked.get(),
              [&](const Snapshot&, RouterSlotRecord&, Changes& changes) {
                if (decided) return absl::OkStatus();
                auto made = std::make_shared<RouterRequestRecord>(*request);
                made->decided = changes.now();
                changes.Put(std::move(made));
                return absl::OkStatus();
              });
  RETURN_IF_ERROR(authority_.Issue(call, order, true).status());
  return RequestPtr(request);
}

// Gives the request its version, and of our authority its certificate, in one commit.
absl::StatusOr<RouterKeys::RequestPtr> RouterKeys::Accept(const Call& call,
                                                          std::shared_ptr<RouterRequestRecord> request, bool approved,
                                                          const rpki::RouterRequest* checked) {
  const auto now = ledger_.snapshot();
  ASSIGN_OR_RETURN(const RouterPtr router, RouterBook::Router(*now, request->router));
  ASSIGN_OR_RETURN(const std::string slot_id, SlotId(request->router, request->asn, request->usage));
  const SlotPtr seen = now->Find<RouterSlotRecord>(slot_id);
  const std::uint32_t number = seen == nullptr ? 1 : seen->last_version + 1;
  const Step step = [&](const Snapshot& state, RouterSlotRecord& slot, Changes& changes) -> absl::Status {
    ASSIGN_OR_RETURN(const RouterPtr newest, RouterBook::Router(state, request->router));
    RETURN_IF_ERROR(CheckLog(*newest));
    if (!newest->Has(request->asn))
      return WithReason(FailedPrecondition("AS {} is none of router {}", request->asn, request->router), "AS_NOT_HELD");
    const auto waits = state.Find<RouterRequestRecord>(request->id);
    if (approved && (waits == nullptr || waits->state != RequestState::kPending)) {
      return WithReason(FailedPrecondition("request {} was decided by {}", request->id,
                                           waits == nullptr ? "nobody" : waits->decided_by),
                        "DECIDED");
    }
    if (approved && waits->submitted_by == call.actor)
      return WithReason(PermissionDenied("{} submitted it: somebody else approves", call.actor), "SAME_PERSON");
    if (!approved && waits != nullptr) return Aborted("it came twice at once: ask again");
    if (slot.last_version + 1 != number) return Aborted("another key came between: try again");
    RouterVersion version;
    version.version = number;
    version.method = KeyMethod::kRouterDriven;
    version.spki = request->spki;
    version.request = request->request;
    version.made_by = request->submitted_by;
    if (approved) version.approved_by = call.actor;
    RETURN_IF_ERROR(AddVersion(slot, std::move(version), changes.now()));
    auto decided = std::make_shared<RouterRequestRecord>(*request);
    decided->state = RequestState::kApproved;
    decided->decided_by = call.actor;
    decided->decision = call.reason;
    decided->version = number;
    decided->decided = changes.now();
    changes.Put(std::move(decided));
    return absl::OkStatus();
  };
  if (router->spec.outside_authority) {
    RETURN_IF_ERROR(book_
                        .Commit(call, slot_id,
                                {.event = "router_request_approved",
                                 .step = step,
                                 .router = request->router,
                                 .asn = request->asn,
                                 .usage = request->usage})
                        .status());
  } else {
    const RpkiAuthority::Order order =
        OrderOf(*router, slot_id, request->asn, request->usage, number, request->request, checked, step);
    RETURN_IF_ERROR(authority_.Issue(call, order, false).status());
  }
  return RouterBook::Request(*ledger_.snapshot(), request->id);
}

absl::StatusOr<RouterKeys::RequestPtr> RouterKeys::Approve(const Call& call, std::string_view id) {
  ASSIGN_OR_RETURN(const RequestPtr found, RouterBook::Request(*ledger_.snapshot(), id));
  return Accept(call, std::make_shared<RouterRequestRecord>(*found), true, nullptr);
}

absl::StatusOr<RouterKeys::RequestPtr> RouterKeys::Reject(const Call& call, std::string_view id) {
  const auto receipt = ledger_.Commit(call, [&](const Snapshot& now, Changes& changes) -> absl::Status {
    ASSIGN_OR_RETURN(const RequestPtr found, RouterBook::Request(now, id));
    if (found->state != RequestState::kPending)
      return WithReason(FailedPrecondition("request {} was decided by {}", id, found->decided_by), "DECIDED");
    auto request = std::make_shared<RouterRequestRecord>(*found);
    request->state = RequestState::kRejected;
    request->decided_by = call.actor;
    request->decision = call.reason;
    request->decided = changes.now();
    changes.Audit(RequestAudit("router_request_rejected", *request));
    changes.Put(std::move(request));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(receipt.status());
  return RouterBook::Request(*ledger_.snapshot(), id);
}

}  // namespace virp::keymgr
