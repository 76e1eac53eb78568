// `keys router`: the keys of routers from their making to their end (RFC 8634, RFC 8635 section 10).
#include <algorithm>
#include <map>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/keymgr_session.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/package_file.h"
#include "tools/virpctl/router_account.h"
#include "tools/virpctl/router_files.h"
#include "tools/virpctl/router_options.h"
#include "tools/virpctl/router_tables.h"
#include "virp/keymgr/v1/router_key.grpc.pb.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::keymgr::v1;
using Service = pb::RouterKeyService;

absl::StatusOr<pb::RouterKeySlot> SlotOf(const Options& options, const std::string& id) {
  pb::GetRouterKeyRequest ask;
  ask.set_slot(id);
  ASSIGN_OR_RETURN(const auto found, Ask(ToKeymgr(options), &Service::Stub::GetRouterKey, ask));
  return found.slot();
}

// "version 4, READY": as it stands in front of people who are about to change it.
std::string Describe(const pb::RouterKeySlot& slot, std::uint32_t version) {
  const auto found = std::ranges::find(slot.versions(), version, &pb::RouterKeyVersion::version);
  return fmt::format("{}: version {}, {}; all: {}", slot.slot(), version,
                     found == slot.versions().end() ? "which is not there" : StateText(found->state()),
                     VersionsText(slot));
}

pb::RouterContinuity ContinuityOf(const RouterKeyOptions& keys) {
  static const std::map<std::string, pb::RouterContinuity> kNames{
      {"", pb::ROUTER_CONTINUITY_UNSPECIFIED},
      {"keep-signing", pb::ROUTER_CONTINUITY_KEEP_SIGNING},
      {"disable-bgpsec", pb::ROUTER_CONTINUITY_DISABLE_BGPSEC},
      {"offline", pb::ROUTER_CONTINUITY_OFFLINE}};
  return kNames.at(keys.continuity);
}

std::string ContinuityText(const RouterKeyOptions& keys) {
  if (keys.continuity == "keep-signing") return "until its successor signs the router goes on with the compromised key";
  if (keys.continuity == "disable-bgpsec") return "until its successor signs the router announces unsigned";
  if (keys.continuity == "offline") return "until its successor signs the router is off the net";
  return "another key signs, or will: nothing is said of how the router goes on without one";
}

absl::StatusOr<std::string> RecipientOf(const RouterKeyOptions& keys) {
  if (keys.recipient.empty()) return std::string();
  return LoadCertificate(keys.recipient);
}

// Places for so many packages, before they are asked for.
absl::StatusOr<std::vector<PackageFile>> PlacesIn(const std::string& folder, int count) {
  RETURN_IF_ERROR(MakeDirectory(folder));
  std::vector<PackageFile> out;
  for (int i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(PackageFile place, PackageFile::In(folder));
    out.push_back(std::move(place));
  }
  return out;
}

// What of a router was made goes into files. One that fails keeps none of the others from being written.
class Saving {
 public:
  Saving(std::string folder, std::vector<PackageFile> places)
      : folder_(std::move(folder)), places_(std::move(places)) {}

  // Packages come first: some exist in this answer only.
  void Packages(const pb::ProvisionRouterResponse& made) {
    std::size_t used = 0;
    for (const pb::ProvisionedKey& key : made.keys()) {
      if (key.package().empty()) continue;
      if (used == places_.size()) {  // more than the account has AS numbers
        auto place = PackageFile::In(folder_);
        Note(place.status());
        if (!place.ok()) continue;
        places_.push_back(*std::move(place));
      }
      Note(Package(places_[used++], key));
    }
  }
  void File(const std::string& name, std::string_view content) {
    Note(ReplaceFile(folder_ + "/" + name, content, 0644));
  }
  // All that failed.
  absl::Status status() const {
    return failed_.empty() ? absl::OkStatus() : Unavailable("not all was saved: {}", fmt::join(failed_, "; "));
  }

  static std::string NameOf(const pb::ProvisionedKey& key) {
    std::string name = Printable(key.slot().slot());
    std::ranges::replace(name, '/', '_');
    return fmt::format("{}.{}", name, key.version());
  }

 private:
  absl::Status Package(PackageFile& place, const pb::ProvisionedKey& key) const {
    RETURN_IF_ERROR(Annotate(place.Write(key.package()), key.slot().slot()));
    return Annotate(place.Rename(fmt::format("{}/{}.package", folder_, NameOf(key))),
                    fmt::format("the package of {} is {}", key.slot().slot(), place.path()));
  }
  void Note(const absl::Status& status) {
    if (!status.ok()) failed_.emplace_back(Message(status));
  }

  const std::string folder_;
  std::vector<PackageFile> places_;
  std::vector<std::string> failed_;
};

void PrintProvisioned(const pb::ProvisionRouterResponse& made) {
  Table table({"KEY", "VERSION", "STATE", "PACKAGE"});
  for (const pb::ProvisionedKey& key : made.keys()) {
    table.Add({key.slot().slot(), fmt::format("{}", key.version()), VersionsText(key.slot()),
               key.package().empty() ? "none: it does not leave, or left before" : "yes"});
  }
  Print(table.ToString());
}

}  // namespace

absl::StatusOr<Exit> RouterKeysCreate(const Options& options, const RouterKeyOptions& keys) {
  auto request = Change<pb::CreateRouterKeyRequest>(keys);
  request.set_router(keys.id);
  request.set_asn(keys.asn);
  request.set_usage(keys.usage);
  ASSIGN_OR_RETURN(const auto made, Ask(ToKeymgr(options), &Service::Stub::CreateRouterKey, request));
  if (!keys.save.empty()) RETURN_IF_ERROR(ReplaceFile(keys.save, made.csr(), 0644));
  return ShowSlot<pb::CreateRouterKeyResponse>(options, made);
}

absl::StatusOr<Exit> RouterKeysIssue(const Options& options, const RouterKeyOptions& keys) {
  return ShowSlot(options, Ask(ToKeymgr(options), &Service::Stub::IssueRouterCertificate,
                               ChangeOf<pb::IssueRouterCertificateRequest>(keys)));
}

absl::StatusOr<Exit> RouterKeysPackage(const Options& options, const RouterKeyOptions& keys) {
  ASSIGN_OR_RETURN(const pb::RouterKeySlot slot, SlotOf(options, keys.id));
  RETURN_IF_ERROR(Announce(
      keys.yes, "A private key leaves the key manager (RFC 8635 section 6.2.1)",
      {Describe(slot, keys.version),
       keys.recipient.empty()
           ? "the package is signed and NOT encrypted: who reads the file has the key"
           : fmt::format("the package is signed, and encrypted for the holder of {}", keys.recipient),
       fmt::format("it is written to {}, which only its owner may read", keys.save),
       "that it left is recorded first; a key that may leave once never leaves again, also if the file is lost"}));
  auto request = ChangeOf<pb::GetKeyPackageRequest>(keys);
  ASSIGN_OR_RETURN(*request.mutable_recipient(), RecipientOf(keys));
  ASSIGN_OR_RETURN(PackageFile file, PackageFile::At(keys.save));
  ASSIGN_OR_RETURN(const auto made, Ask(ToKeymgr(options), &Service::Stub::GetKeyPackage, request));
  RETURN_IF_ERROR(file.Write(made.package()));
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("package", std::string_view(keys.save));
    PrintJson(json.Field("bytes", made.package().size()).EndObject());
  } else {
    Print(fmt::format("{}\n", keys.save));
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysProvision(const Options& options, const RouterKeyOptions& keys) {
  auto request = Change<pb::ProvisionRouterRequest>(keys);
  ASSIGN_OR_RETURN(*request.mutable_router(), ReadAccount(keys.file));
  RETURN_IF_ERROR(
      Announce(keys.yes, fmt::format("Provisioning of router {} (RFC 8635 appendix B)", request.router().id()),
               {fmt::format("opens its account unless it is there; AS {}", AsnsText(request.router())),
                "makes a key for each AS that has none, its request, and its certificate, which is published",
                fmt::format("packs each private key, signed{}; a key that may leave once has left then",
                            keys.recipient.empty() ? " and NOT encrypted" : ", encrypted for " + keys.recipient),
                fmt::format("writes packages, requests, certificates and the trust anchor below {}", keys.save)}));
  ASSIGN_OR_RETURN(*request.mutable_recipient(), RecipientOf(keys));
  ASSIGN_OR_RETURN(std::vector<PackageFile> places, PlacesIn(keys.save, request.router().asns_size()));
  ASSIGN_OR_RETURN(const auto made, Ask(ToKeymgr(options), &Service::Stub::ProvisionRouter, request));
  Saving saving(keys.save, std::move(places));
  saving.Packages(made);
  for (const pb::ProvisionedKey& key : made.keys()) {
    saving.File(Saving::NameOf(key) + ".csr", key.csr());
    saving.File(Saving::NameOf(key) + ".p7", key.certs_only());
  }
  saving.File("ta.cer", made.trust_anchor());
  saving.File("ta.tal", made.tal());
  if (options.json) {
    pb::ProvisionRouterResponse shown = made;
    for (pb::ProvisionedKey& key : *shown.mutable_keys()) key.clear_package();  // they are in files now
    RETURN_IF_ERROR(PrintJson(shown));
  } else {
    PrintProvisioned(made);
  }
  RETURN_IF_ERROR(saving.status());
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysCertificates(const Options& options, const RouterKeyOptions& keys) {
  pb::GetCertsOnlyRequest request;
  request.set_slot(keys.id);
  request.set_version(keys.version);
  ASSIGN_OR_RETURN(const auto found, Ask(ToKeymgr(options), &Service::Stub::GetCertsOnly, request));
  if (!keys.save.empty()) RETURN_IF_ERROR(ReplaceFile(keys.save, found.certs_only(), 0644));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(found));
  } else if (keys.save.empty()) {
    Print(x509::PemBlock("PKCS7", found.certs_only()));
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysList(const Options& options, const RouterKeyOptions& keys) {
  pb::ListRouterKeysRequest request;
  request.set_router(keys.router);
  ASSIGN_OR_RETURN(const auto all, AskPages(ToKeymgr(options), &Service::Stub::ListRouterKeys, request,
                                            &pb::ListRouterKeysResponse::mutable_slots));
  if (options.json) {
    RETURN_IF_ERROR(PrintJson(all));
    return Exit::kYes;
  }
  Table table({"KEYS OF", "VERSIONS", "TO DO"});
  for (const pb::RouterKeySlot& slot : all.slots())
    table.Add({slot.slot(), VersionsText(slot), fmt::format("{}", fmt::join(slot.missing(), "; "))});
  Print(table.ToString());
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterKeysShow(const Options& options, const RouterKeyOptions& keys) {
  pb::GetRouterKeyRequest request;
  request.set_slot(keys.id);
  return ShowSlot(options, Ask(ToKeymgr(options), &Service::Stub::GetRouterKey, request));
}

absl::StatusOr<Exit> RouterKeysActivate(const Options& options, const RouterKeyOptions& keys) {
  ASSIGN_OR_RETURN(const pb::RouterKeySlot slot, SlotOf(options, keys.id));
  std::vector<std::string> steps{Describe(slot, keys.version),
                                 "the router is ordered to sign with it, and says when it does",
                                 "the key before it goes into twilight: what it signed is signed again"};
  if (keys.emergency) steps.emplace_back("EMERGENCY: at once; relying parties that do not know it yet drop its routes");
  if (keys.unconfirmed) steps.emplace_back("UNCONFIRMED: the router has not shown that it holds the key");
  RETURN_IF_ERROR(Announce(keys.yes, "Activation of a router key (RFC 8634 section 3.1)", steps));
  auto request = ChangeOf<pb::ActivateRouterKeyRequest>(keys);
  request.set_emergency(keys.emergency);
  request.set_unconfirmed(keys.unconfirmed);
  return ShowSlot(options, Ask(ToKeymgr(options), &Service::Stub::ActivateRouterKey, request));
}

absl::StatusOr<Exit> RouterKeysTaint(const Options& options, const RouterKeyOptions& keys) {
  ASSIGN_OR_RETURN(const pb::RouterKeySlot slot, SlotOf(options, keys.id));
  RETURN_IF_ERROR(Announce(keys.yes, "A router key is compromised (RFC 8635 section 10.3)",
                           {Describe(slot, keys.version), "it is never certified again; this cannot be taken back",
                            ContinuityText(keys), "it is still on no CRL: revoking it is a step of its own"}));
  auto request = ChangeOf<pb::TaintRouterKeyRequest>(keys);
  request.set_continuity(ContinuityOf(keys));
  return ShowSlot(options, Ask(ToKeymgr(options), &Service::Stub::TaintRouterKey, request));
}

absl::StatusOr<Exit> RouterKeysRevoke(const Options& options, const RouterKeyOptions& keys) {
  ASSIGN_OR_RETURN(const pb::RouterKeySlot slot, SlotOf(options, keys.id));
  RETURN_IF_ERROR(Announce(keys.yes, "Revocation of a router key (RFC 8635 section 10.3)",
                           {Describe(slot, keys.version),
                            "its certificates go on the CRL with the next publication; this cannot be taken back",
                            "relying parties drop what it signed as soon as they see the CRL", ContinuityText(keys)}));
  auto request = ChangeOf<pb::RevokeRouterKeyRequest>(keys);
  request.set_continuity(ContinuityOf(keys));
  return ShowSlot(options, Ask(ToKeymgr(options), &Service::Stub::RevokeRouterKey, request));
}

}  // namespace virp::virpctl
