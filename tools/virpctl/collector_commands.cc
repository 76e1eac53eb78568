// Questions to a collector.
#include "lib/base/status.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/session.h"
#include "virp/collector/v1/collector_service.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::collector::v1;
using Service = pb::CollectorService;

Connection ToCollector(const Options& options) {
  Connection to = options.connection;
  to.onode = options.collector;
  to.to_collector = true;
  return to;
}

std::string YesNo(bool value) {
  return value ? "yes" : "no";
}

std::string OrDash(const std::string& text) {
  return text.empty() ? "-" : text;
}

}  // namespace

absl::StatusOr<Exit> CollectorStatus(const Options& options) {
  ASSIGN_OR_RETURN(const auto status, Ask(ToCollector(options), &Service::Stub::GetStatus, pb::GetStatusRequest()));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(status));
  } else {
    Table table({"ITEM", "VALUE"});
    table.Add({"collector", status.name()});
    table.Add({"started", TimeText(status.started_at())});
    table.Add({"spool", fmt::format("{} frames, {} of {} bytes", status.spooled_frames(), status.spooled_bytes(),
                                    status.spool_limit_bytes())});
    table.Add({"delivered", fmt::format("{} of {}", status.answered_delivery_number(), status.last_delivery_number())});
    table.Add({"delivering to", OrDash(status.delivering_to())});
    table.Add({"delivery", status.delivery_problem().empty() ? "OK" : status.delivery_problem()});
    table.Add({"audit", status.audit_problem().empty() ? fmt::format("OK up to {} entries", status.audited_size())
                                                       : "BROKEN: " + status.audit_problem()});
    Table sources(
        {"SOURCE", "PATH", "CONNECTED", "SINCE", "LAST BYTES", "BOOT EPOCH", "LAST NUMBER", "FRAMES", "HELD"});
    for (const auto& source : status.sources()) {
      sources.Add({source.source(), source.path(), YesNo(source.connected()), TimeText(source.since()),
                   TimeText(source.last_bytes_at()), fmt::format("{}", source.epoch()),
                   fmt::format("{}", source.last_sequence()), fmt::format("{}", source.frames()),
                   fmt::format("{}", source.held_frames())});
    }
    Print(table.ToString() + "\n" + sources.ToString());
  }
  // What the audit found is about the O-Node: it broke its word.
  if (!status.audit_problem().empty()) return Exit::kNo;
  return status.delivery_problem().empty() ? Exit::kYes : Exit::kCannotSay;
}

absl::StatusOr<Exit> CollectorProducers(const Options& options) {
  ASSIGN_OR_RETURN(const auto all, AskPages(ToCollector(options), &Service::Stub::ListProducers,
                                            pb::ListProducersRequest(), &pb::ListProducersResponse::mutable_producers));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"IDENTITY", "SUBMITTED", "TYPES", "SOURCES"});
  for (const auto& producer : all.producers()) {
    table.Add({producer.identity(), fmt::format("{}", producer.submitted()),
               fmt::format("{}", fmt::join(producer.types(), " ")),
               fmt::format("{}", fmt::join(producer.sources(), " "))});
  }
  Print(table.ToString());
  return Exit::kYes;
}

namespace {

using Router = pb::ListBmpPeersResponse::BmpRouter;
using Peer = pb::ListBmpPeersResponse::BmpPeer;

std::string ViewsText(const Peer& peer) {
  std::string text;
  for (const auto& view : peer.views()) {
    text += fmt::format("{}{}={}{}", text.empty() ? "" : " ", view.rib(), view.paths(), view.complete() ? "" : "?");
  }
  return OrDash(text);
}

// A router whose peers did not fit on a page stands on the next one again: its peers are put together.
void Merge(pb::ListBmpPeersResponse& page, pb::ListBmpPeersResponse& all) {
  for (Router& router : *page.mutable_routers()) {
    if (!all.routers().empty() && all.routers().rbegin()->source() == router.source()) {
      all.mutable_routers(all.routers_size() - 1)->mutable_peers()->MergeFrom(router.peers());
    } else {
      *all.add_routers() = std::move(router);
    }
  }
}

}  // namespace

absl::StatusOr<Exit> BmpPeers(const Options& options, const std::string& source) {
  const Connection to = ToCollector(options);
  ASSIGN_OR_RETURN(const auto channel, Connect(to));
  Service::Stub stub(channel);
  pb::ListBmpPeersRequest request;
  request.set_source(source);
  request.set_page_size(1'000);
  pb::ListBmpPeersResponse all;
  do {
    pb::ListBmpPeersResponse page;
    RETURN_IF_ERROR(Call(to, stub, &Service::Stub::ListBmpPeers, request, page));
    Merge(page, all);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table routers({"SOURCE", "SESSION", "COMPARED", "SINCE", "ADDRESS", "SYSNAME", "PROTECTION", "PATHS", "PEERS"});
  Table peers({"SOURCE", "VRF", "PEER", "AS", "STATE", "SINCE", "MODE", "PATHS (? NOT COMPLETE)"});
  for (const Router& router : all.routers()) {
    routers.Add({router.source(), router.session_up() ? "up" : "down", YesNo(router.connected()),
                 TimeText(router.since()), OrDash(router.address()), OrDash(router.sys_name()),
                 OrDash(router.protection()), fmt::format("{}", router.paths()),
                 fmt::format("{}", router.peers_size())});
    for (const Peer& peer : router.peers()) {
      peers.Add({router.source(), peer.vrf(), peer.address(), fmt::format("{}", peer.as_number()), peer.state(),
                 TimeText(peer.since()), peer.over_limit() ? peer.mode() + " OVER LIMIT" : peer.mode(),
                 ViewsText(peer)});
    }
  }
  Print(routers.ToString() + "\n" + peers.ToString());
  return Exit::kYes;
}

}  // namespace virp::virpctl
