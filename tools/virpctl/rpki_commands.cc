// `keys rpki`: the authority that certifies router keys, what it publishes, and when that ends.
#include <cstdio>
#include <iostream>
#include <map>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/rpki_options.h"
#include "virp/keymgr/v1/rpki.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using Service = pb::RpkiService;

constexpr std::size_t kMostExported = std::size_t{256} << 20;  // bytes: 100,000 keys are some 40 MB

absl::StatusOr<Exit> ShowAnchor(const Options& options, const RpkiOptions& rpki, const pb::TrustAnchor& anchor) {
  if (!rpki.save.empty()) RETURN_IF_ERROR(ReplaceFile(rpki.save, anchor.certificate(), 0644));
  if (!rpki.tal.empty()) RETURN_IF_ERROR(ReplaceFile(rpki.tal, anchor.tal(), 0644));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(anchor));
    return Exit::kYes;
  }
  Table table({"ITEM", "VALUE"});
  table.Add({"SHA-256", HexEncode(anchor.sha256())});
  table.Add({"compare it", "over another channel, before the locator is installed"});
  if (!rpki.save.empty()) table.Add({"certificate", rpki.save});
  if (!rpki.tal.empty()) table.Add({"locator", rpki.tal});
  Print(table.ToString());
  return Exit::kYes;
}

std::string RollText(const pb::AuthorityRoll& roll) {
  switch (roll.state()) {
    case pb::AUTHORITY_ROLL_STATE_STAGING:
      return fmt::format("version {}; version {} waits for relying parties to know it, since {}", roll.version(),
                         roll.next(), roll.has_since() ? TimeText(roll.since()) : "its first publication");
    case pb::AUTHORITY_ROLL_STATE_REISSUING:
      return fmt::format("version {} issues; {} certificates are its own, {} are still of version {}", roll.next(),
                         roll.reissued(), roll.left(), roll.version());
    case pb::AUTHORITY_ROLL_STATE_RETIRING:
      return fmt::format("version {}; the one before is revoked, the next publication says so", roll.version());
    default:
      return fmt::format("version {}", roll.version());
  }
}

std::string KeyLine(std::string_view sign, const pb::RouterKeyEntry& key) {
  return fmt::format("{} AS{} {} until {}\n", sign, key.asn(), HexEncode(key.ski()), TimeText(key.expires()));
}

// A relative path of names that go nowhere but down, and that a terminal may show.
absl::Status CheckPath(std::string_view path) {
  bool sound = !path.empty() && path.front() != '/' && Printable(path, path.size()) == path;
  for (std::size_t at = 0; sound && at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view name = path.substr(at, end - at);
    sound = !name.empty() && name != "." && name != "..";
    at = end + 1;
  }
  return sound ? absl::OkStatus() : DataLoss("the key manager sent a file with the path '{}'", Printable(path));
}

absl::StatusOr<std::map<std::string, std::string>> Exported(const Options& options, pb::RouterKeyFormat format) {
  ASSIGN_OR_RETURN(const auto channel, Connect(ToKeymgr(options)));
  const auto stub = Service::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + options.connection.timeout);
  pb::ExportRouterKeysRequest request;
  request.set_format(format);
  const auto reader = stub->ExportRouterKeys(&context, request);
  std::map<std::string, std::string> files;
  std::size_t size = 0;
  pb::ExportRouterKeysResponse part;
  while (reader->Read(&part)) {
    RETURN_IF_ERROR(CheckPath(part.path()));
    size += part.path().size() + part.content().size();
    if (size > kMostExported) return ResourceExhausted("the export is larger than {} bytes", kMostExported);
    files[part.path()] += part.content();
  }
  RETURN_IF_ERROR(service::FromGrpcStatus(reader->Finish()));
  return files;
}

// With the folders on the way.
absl::Status Save(const std::string& folder, const std::string& path, std::string_view content) {
  RETURN_IF_ERROR(MakeDirectory(folder, 0755));
  for (std::size_t at = 0; (at = path.find('/', at)) != std::string::npos; ++at)
    RETURN_IF_ERROR(MakeDirectory(folder + "/" + path.substr(0, at), 0755));
  return ReplaceFile(folder + "/" + path, content, 0644);
}

}  // namespace

absl::StatusOr<Exit> RpkiSetUp(const Options& options, const RpkiOptions& rpki) {
  RETURN_IF_ERROR(Announce(rpki.yes, "A trust anchor and an issuing authority for router certificates",
                           {"both get keys, in the custody that the key manager's options name",
                            "base URI, AS numbers and addresses of its options go into their certificates, for ever",
                            "it is a private trust anchor: nobody believes it before they install its locator"}));
  ASSIGN_OR_RETURN(const auto made,
                   Ask(ToKeymgr(options), &Service::Stub::SetUpAuthority, Change<pb::SetUpAuthorityRequest>(rpki)));
  return ShowAnchor(options, rpki, made.trust_anchor());
}

absl::StatusOr<Exit> RpkiTrustAnchor(const Options& options, const RpkiOptions& rpki) {
  ASSIGN_OR_RETURN(const auto found,
                   Ask(ToKeymgr(options), &Service::Stub::GetTrustAnchor, pb::GetTrustAnchorRequest()));
  return ShowAnchor(options, rpki, found.trust_anchor());
}

absl::StatusOr<Exit> RpkiPublication(const Options& options, const RpkiOptions& /*rpki*/) {
  ASSIGN_OR_RETURN(const auto out, Ask(ToKeymgr(options), &Service::Stub::GetPublication, pb::GetPublicationRequest()));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(out));
  } else {
    Table table({"ITEM", "VALUE"});
    table.Add({"authority", out.set_up() ? "there" : "none; see keys rpki set-up"});
    table.Add({"number", fmt::format("{}", out.number())});
    table.Add({"published", TimeText(out.published())});
    table.Add({"good until", TimeText(out.until())});
    table.Add({"certificates", fmt::format("{}", out.certificates())});
    table.Add({"revoked", fmt::format("{}", out.revoked())});
    table.Add({"waiting", fmt::format("{}", out.waiting())});
    if (out.set_up()) table.Add({"issuing key", RollText(out.roll())});
    table.Add({"problem", out.problem().empty() ? "-" : out.problem()});
    Print(table.ToString());
  }
  return out.problem().empty() ? Exit::kYes : Exit::kNo;
}

absl::StatusOr<Exit> RpkiRollAuthority(const Options& options, const RpkiOptions& rpki) {
  RETURN_IF_ERROR(
      Announce(rpki.yes, "A new key for the issuing authority",
               {"relying parties get a day or more to know it; the option rpki-roll-staging says how long",
                "then every router certificate is issued again by it, and the old key is revoked and destroyed",
                "it goes on by itself: `keys rpki publication` says where it stands"}));
  ASSIGN_OR_RETURN(const auto out,
                   Ask(ToKeymgr(options), &Service::Stub::RollAuthority, Change<pb::RollAuthorityRequest>(rpki)));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(out));
  } else {
    Print(RollText(out.roll()) + "\n");
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> RpkiPublish(const Options& options, const RpkiOptions& rpki) {
  ASSIGN_OR_RETURN(const auto out,
                   Ask(ToKeymgr(options), &Service::Stub::PublishNow, Change<pb::PublishNowRequest>(rpki)));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(out));
  } else {
    Print(fmt::format("published, number {}\n", out.number()));
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> RpkiExpiring(const Options& options, const RpkiOptions& rpki) {
  pb::ListExpiringCertificatesRequest request;
  request.set_days(rpki.days);
  request.set_page_size(static_cast<std::int32_t>(rpki.limit));
  ASSIGN_OR_RETURN(const auto found, Ask(ToKeymgr(options), &Service::Stub::ListExpiringCertificates, request));
  if (std::cmp_greater_equal(found.certificates_size(), rpki.limit))
    std::cerr << "these are the " << rpki.limit << " that end first; --limit shows more, keys rpki calendar has all\n";
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(found));
  } else {
    Table table({"ENDS", "KIND", "ID", "ROUTER", "AS", "ANOTHER", "IN HAND", "ADVICE"});
    for (const pb::ExpiringCertificate& one : found.certificates()) {
      table.Add({TimeText(one.not_after()), one.kind(), one.id(), one.router().empty() ? "-" : one.router(),
                 one.asn() == 0 ? "-" : fmt::format("{}", one.asn()), one.has_other() ? "yes" : "no",
                 one.acknowledged_by().empty() ? "-" : one.acknowledged_by(), one.advice()});
    }
    Print(table.ToString());
    Print(fmt::format("{} routers, by AS, have a valid, published certificate; {} should have one and have none\n",
                      found.covered(), found.uncovered()));
    for (const std::string& what : found.missing()) Print("  " + Printable(what) + "\n");
  }
  return found.uncovered() == 0 ? Exit::kYes : Exit::kNo;
}

absl::StatusOr<Exit> RpkiAcknowledge(const Options& options, const RpkiOptions& rpki) {
  auto request = Change<pb::AcknowledgeExpiryRequest>(rpki);
  request.set_kind(rpki.kind);
  request.set_id(rpki.id);
  return Show(options, Ask(ToKeymgr(options), &Service::Stub::AcknowledgeExpiry, request), [](const auto& out) {
    const pb::ExpiringCertificate& certificate = out.certificate();
    return fmt::format("{} is in the hands of {}\n", Printable(certificate.id()),
                       Printable(certificate.acknowledged_by()));
  });
}

absl::StatusOr<Exit> RpkiCalendar(const Options& options, const RpkiOptions& rpki) {
  ASSIGN_OR_RETURN(const auto out,
                   Ask(ToKeymgr(options), &Service::Stub::ExportExpiryCalendar, pb::ExportExpiryCalendarRequest()));
  if (!rpki.save.empty()) {
    RETURN_IF_ERROR(ReplaceFile(rpki.save, out.calendar(), 0644));
  } else if (options.json) {
    RETURN_IF_ERROR(PrintJson(out));
  } else {
    Print(out.calendar());
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> RpkiExport(const Options& options, const RpkiOptions& rpki) {
  static const std::map<std::string, pb::RouterKeyFormat> kFormats{
      {"rpki-client", pb::ROUTER_KEY_FORMAT_RPKI_CLIENT_JSON},
      {"slurm", pb::ROUTER_KEY_FORMAT_SLURM},
      {"bgp-srx", pb::ROUTER_KEY_FORMAT_BGP_SRX}};
  ASSIGN_OR_RETURN(const auto files, Exported(options, kFormats.at(rpki.format)));
  for (const auto& [path, content] : files) {
    RETURN_IF_ERROR(Save(rpki.save, path, content));
    if (!options.json) Print(rpki.save + "/" + path + "\n");
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> RpkiWatch(const Options& options, const RpkiOptions& /*rpki*/) {
  ASSIGN_OR_RETURN(const auto channel, Connect(ToKeymgr(options)));
  const auto stub = Service::NewStub(channel);
  grpc::ClientContext context;
  const auto reader = stub->WatchRouterKeys(&context, pb::WatchRouterKeysRequest());
  pb::WatchRouterKeysResponse news;
  while (reader->Read(&news)) {
    if (options.json) {
      RETURN_IF_ERROR(PrintJsonLine(news));
      continue;
    }
    if (news.restart()) Print(fmt::format("= all keys, session {}\n", Printable(news.session())));
    for (const pb::RouterKeyEntry& key : news.withdrawn()) Print(KeyLine("-", key));
    for (const pb::RouterKeyEntry& key : news.announced()) Print(KeyLine("+", key));
    if (news.complete()) Print(fmt::format("= serial {}\n", news.serial()));
    std::fflush(stdout);
  }
  RETURN_IF_ERROR(service::FromGrpcStatus(reader->Finish()));
  return Exit::kYes;
}

}  // namespace virp::virpctl
