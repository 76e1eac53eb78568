#include "tools/virpctl/router_tables.h"

#include <fmt/format.h>

#include <iterator>

#include "lib/base/bytes.h"
#include "lib/base/ip.h"
#include "tools/virpctl/output.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;

std::string MethodText(pb::RouterKeyMethod method) {
  return Short(pb::RouterKeyMethod_Name(method), "ROUTER_KEY_METHOD_");
}

std::string ReportText(const pb::RouterKeyVersion& version) {
  if (!version.has_report()) return "nothing";
  const pb::InstallReport& report = version.report();
  const auto said = [](bool yes, std::string_view what) { return fmt::format("{} {}", what, yes ? "good" : "BAD"); };
  return fmt::format("{}, {}, {}; {}{}", said(report.package_valid(), "package"), said(report.chain_valid(), "chain"),
                     said(report.key_match(), "key"), report.proved() ? "signed by the key" : "by word of ",
                     report.proved() ? "" : report.by());
}

}  // namespace

std::string StateText(pb::RouterKeyState state) {
  return Short(pb::RouterKeyState_Name(state), "ROUTER_KEY_STATE_");
}

std::string AsnsText(const pb::Router& router) {
  return fmt::format("{}", fmt::join(router.asns(), ", "));
}

std::string VersionsText(const pb::RouterKeySlot& slot) {
  std::string out;
  for (const pb::RouterKeyVersion& version : slot.versions()) {
    if (version.state() >= pb::ROUTER_KEY_STATE_WITHDRAWN) continue;
    fmt::format_to(std::back_inserter(out), "{}{} {}{}", out.empty() ? "" : ", ", version.version(),
                   StateText(version.state()), version.compromised() ? " COMPROMISED" : "");
  }
  return out.empty() ? "-" : out;
}

std::string RouterTable(const pb::Router& router) {
  Table table({"ITEM", "VALUE"});
  table.Add({"router", router.id() + (router.decommissioned() ? " (decommissioned)" : "")});
  table.Add(
      {"BGP identifier", IpAddress::V4(router.bgp_id()).ToString() + (router.shared_key() ? ", shared key" : "")});
  table.Add({"AS", AsnsText(router)});
  table.Add({"keys are made", MethodText(router.method())});
  table.Add({"export", Short(pb::RouterExportPolicy_Name(router.policy()), "ROUTER_EXPORT_POLICY_")});
  table.Add({"agent", router.agent().empty() ? "operators" : router.agent()});
  table.Add({"trusted by", Short(pb::RouterBootstrap_Name(router.bootstrap()), "ROUTER_BOOTSTRAP_")});
  table.Add({"vouched for by", router.registered_by()});
  for (const pb::RouterMaterial& material : router.material())
    table.Add(
        {Short(pb::RouterMaterialKind_Name(material.kind()), "ROUTER_MATERIAL_KIND_"), HexEncode(material.sha256())});
  if (router.needs_custody_log()) table.Add({"custody log", router.custody_logs().empty() ? "MISSING" : "needed"});
  for (const pb::CustodyLogEntry& log : router.custody_logs())
    table.Add({"custody log of", fmt::format("{}, {}", TimeText(log.at()), HexEncode(log.sha256()))});
  if (router.no_next_key()) table.Add({"next key", "not made ahead of time"});
  if (router.outside_authority()) table.Add({"certificates", "from an outside authority"});
  for (const pb::PeerContact& contact : router.contacts())
    table.Add(
        {fmt::format("contact at AS{}", contact.asn()), fmt::format("{} <{}>", contact.name(), contact.address())});
  return table.ToString();
}

std::string SlotTable(const pb::RouterKeySlot& slot) {
  std::string out = fmt::format("{} (AS{}{}{})\n", Printable(slot.slot()), slot.asn(), slot.usage().empty() ? "" : ", ",
                                Printable(slot.usage()));
  Table table({"VERSION", "STATE", "SINCE", "VALID UNTIL", "KEY", "MADE BY", "ROUTER SAID"});
  for (const pb::RouterKeyVersion& version : slot.versions()) {
    table.Add({fmt::format("{}", version.version()),
               StateText(version.state()) + (version.compromised() ? " COMPROMISED" : ""), TimeText(version.since()),
               TimeText(version.not_after()), HexEncode(version.key_identifier()), version.made_by(),
               ReportText(version)});
  }
  out += table.ToString();
  if (slot.ordered() != 0) out += fmt::format("ordered to sign with {}, not confirmed yet\n", slot.ordered());
  if (slot.continuity() != pb::ROUTER_CONTINUITY_UNSPECIFIED)
    out += fmt::format("meanwhile: {}\n", Short(pb::RouterContinuity_Name(slot.continuity()), "ROUTER_CONTINUITY_"));
  for (const std::string& what : slot.missing()) out += fmt::format("to do: {}\n", Printable(what));
  return out;
}

std::string RequestTable(const pb::RouterCsr& request) {
  Table table({"ITEM", "VALUE"});
  table.Add({"request", request.id()});
  table.Add({"router", request.router()});
  table.Add({"AS", fmt::format("{}{}{}", request.asn(), request.usage().empty() ? "" : ", ", request.usage())});
  table.Add({"key identifier", HexEncode(request.key_identifier())});
  table.Add({"state", Short(pb::RouterCsrState_Name(request.state()), "ROUTER_CSR_STATE_")});
  table.Add({"submitted", fmt::format("{} by {}", TimeText(request.submitted()), request.submitted_by())});
  if (!request.decided_by().empty())
    table.Add({"decided by", fmt::format("{}: {}", request.decided_by(), request.decision())});
  if (request.version() != 0) table.Add({"became", fmt::format("version {} of {}", request.version(), request.slot())});
  return table.ToString();
}

}  // namespace virp::virpctl
