// `keys router`: routers' accounts, their requests and who lets them in.
#include <google/protobuf/util/json_util.h>

#include "lib/base/bytes.h"
#include "lib/base/status.h"
#include "lib/crypto/x509.h"
#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/input.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/router_account.h"
#include "tools/virpctl/router_options.h"
#include "tools/virpctl/router_tables.h"
#include "virp/keymgr/v1/router_key.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using Service = pb::RouterKeyService;

constexpr std::size_t kMaxAccount = 1 << 20;
constexpr std::size_t kMaxLog = 128 << 10;

template <typename Response>
absl::StatusOr<Exit> ShowRouter(const Options& options, const absl::StatusOr<Response>& response) {
  return Show(options, response, [](const Response& answer) { return RouterTable(answer.router()); });
}

template <typename Response>
absl::StatusOr<Exit> ShowRequest(const Options& options, const absl::StatusOr<Response>& response) {
  RETURN_IF_ERROR(
      Show(options, response, [](const Response& answer) { return RequestTable(answer.request()); }).status());
  switch (response->request().state()) {
    case pb::ROUTER_CSR_STATE_PENDING:
      return Exit::kCannotSay;
    case pb::ROUTER_CSR_STATE_REJECTED:
      return Exit::kNo;
    default:
      return Exit::kYes;
  }
}

// What an operator sees before deciding about a request.
absl::StatusOr<pb::RouterCsr> LookAt(const Options& options, const std::string& id) {
  pb::GetCsrRequest ask;
  ask.set_id(id);
  ASSIGN_OR_RETURN(const auto found, Ask(ToKeymgr(options), &Service::Stub::GetCsr, ask));
  return found.request();
}

}  // namespace

absl::StatusOr<pb::Router> ReadAccount(const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadInput(file, false, kMaxAccount));
  pb::Router router;
  if (const auto read = google::protobuf::util::JsonStringToMessage(text, &router); !read.ok())
    return InvalidArgument("{}: no router's account: {}", file, read.ToString());
  return router;
}

absl::StatusOr<Exit> RouterKeysRegister(const Options& options, const RouterKeyOptions& keys) {
  auto request = Change<pb::RegisterRouterRequest>(keys);
  ASSIGN_OR_RETURN(*request.mutable_router(), ReadAccount(keys.file));
  return ShowRouter(options, Ask(ToKeymgr(options), &Service::Stub::RegisterRouter, request));
}

absl::StatusOr<Exit> RouterKeysUpdate(const Options& options, const RouterKeyOptions& keys) {
  auto request = Change<pb::UpdateRouterRequest>(keys);
  ASSIGN_OR_RETURN(*request.mutable_router(), ReadAccount(keys.file));
  return ShowRouter(options, Ask(ToKeymgr(options), &Service::Stub::UpdateRouter, request));
}

absl::StatusOr<Exit> RouterKeysRouters(const Options& options, const RouterKeyOptions&) {
  ASSIGN_OR_RETURN(const auto all, AskPages(ToKeymgr(options), &Service::Stub::ListRouters, pb::ListRoutersRequest(),
                                            &pb::ListRoutersResponse::mutable_routers));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"ROUTER", "AS", "KEYS ARE MADE", "AGENT"});
  for (const pb::Router& router : all.routers()) {
    table.Add({router.id() + (router.decommissioned() ? " (decommissioned)" : ""), AsnsText(router),
               Short(pb::RouterKeyMethod_Name(router.method()), "ROUTER_KEY_METHOD_"),
               router.agent().empty() ? "operators" : router.agent()});
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysRouter(const Options& options, const RouterKeyOptions& keys) {
  pb::GetRouterRequest request;
  request.set_id(keys.id);
  return ShowRouter(options, Ask(ToKeymgr(options), &Service::Stub::GetRouter, request));
}

absl::StatusOr<Exit> RouterKeysDecommission(const Options& options, const RouterKeyOptions& keys) {
  RETURN_IF_ERROR(Announce(keys.yes, "The end of router " + keys.id,
                           {"it gets no key any more, and nobody else ever gets its id",
                            "refused while one of its keys may still be signed with: revoke them first"}));
  auto request = Change<pb::DecommissionRouterRequest>(keys);
  request.set_id(keys.id);
  ASSIGN_OR_RETURN(const auto done, Ask(ToKeymgr(options), &Service::Stub::DecommissionRouter, request));
  if (options.json) RETURN_IF_ERROR(PrintJson(done));
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysCustodyLog(const Options& options, const RouterKeyOptions& keys) {
  auto request = Change<pb::AttachCustodyLogRequest>(keys);
  request.set_router(keys.id);
  ASSIGN_OR_RETURN(*request.mutable_log(), ReadInput(keys.file, false, kMaxLog));
  return ShowRouter(options, Ask(ToKeymgr(options), &Service::Stub::AttachCustodyLog, request));
}

absl::StatusOr<Exit> RouterKeysSubmit(const Options& options, const RouterKeyOptions& keys) {
  auto request = Change<pb::SubmitCsrRequest>(keys);
  request.set_router(keys.router);
  request.set_asn(keys.asn);
  request.set_bgp_id(keys.bgp_id);
  request.set_usage(keys.usage);
  ASSIGN_OR_RETURN(*request.mutable_csr(), ReadInput(keys.file, false, x509::kMaxRequest));
  return ShowRequest(options, Ask(ToKeymgr(options), &Service::Stub::SubmitCsr, request));
}

absl::StatusOr<Exit> RouterKeysPending(const Options& options, const RouterKeyOptions&) {
  ASSIGN_OR_RETURN(const auto all, AskPages(ToKeymgr(options), &Service::Stub::ListPending, pb::ListPendingRequest(),
                                            &pb::ListPendingResponse::mutable_requests));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"REQUEST", "ROUTER", "AS", "SINCE", "SUBMITTED BY"});
  for (const pb::RouterCsr& request : all.requests()) {
    table.Add({request.id(), request.router(), fmt::format("{}", request.asn()), TimeText(request.submitted()),
               request.submitted_by()});
  }
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysApprove(const Options& options, const RouterKeyOptions& keys) {
  ASSIGN_OR_RETURN(const pb::RouterCsr waiting, LookAt(options, keys.id));
  RETURN_IF_ERROR(Announce(
      keys.yes, "Approval of a router's request (RFC 8635 section 6.1)",
      {fmt::format("router {}, AS{}, key {}", waiting.router(), waiting.asn(), HexEncode(waiting.key_identifier())),
       fmt::format("submitted {} by {}; who submitted it may not approve it", TimeText(waiting.submitted()),
                   waiting.submitted_by()),
       "the key is certified and published: whoever holds it can sign for that AS"}));
  auto request = Change<pb::ApproveCsrRequest>(keys);
  request.set_id(keys.id);
  return ShowRequest(options, Ask(ToKeymgr(options), &Service::Stub::ApproveCsr, request));
}

absl::StatusOr<Exit> RouterKeysReject(const Options& options, const RouterKeyOptions& keys) {
  ASSIGN_OR_RETURN(const pb::RouterCsr waiting, LookAt(options, keys.id));
  RETURN_IF_ERROR(Announce(
      keys.yes, "Refusal of a router's request",
      {fmt::format("router {}, AS{}, submitted by {}", waiting.router(), waiting.asn(), waiting.submitted_by()),
       "this request is refused for good; the router may send another"}));
  auto request = Change<pb::RejectCsrRequest>(keys);
  request.set_id(keys.id);
  return Show(options, Ask(ToKeymgr(options), &Service::Stub::RejectCsr, request),
              [](const auto& done) { return RequestTable(done.request()); });
}

}  // namespace virp::virpctl
