// The operator's side of BGPsec router keys.
#include "tools/virpctl/cli_transfer.h"

namespace virp::virpctl {
namespace {

constexpr std::uint32_t kLast = 4'294'967'295;

void AddVersion(const Commands& commands, RouterKeyOptions& to) {
  for (CLI::App* const command : commands)
    command->add_option("--key-version", to.version, "Version of the key")->required()->check(CLI::Range(1U, kLast));
}

void AddAccounts(CLI::App& keys, State& s) {
  RouterKeyOptions& to = s.router_keys;
  using Run = absl::StatusOr<Exit> (*)(const Options&, const RouterKeyOptions&);
  const auto add = [&](const char* name, const char* help, Run run) {
    return Command(keys, s, name, help, [&s, run] { return run(s.options, s.router_keys); });
  };
  CLI::App* const enter = add("register", "Opens a router's account", &RouterKeysRegister);
  CLI::App* const update = add("update", "Replaces what is said of a router", &RouterKeysUpdate);
  add("routers", "All routers", &RouterKeysRouters);
  CLI::App* const router = add("router", "One router's account", &RouterKeysRouter);
  CLI::App* const end = add("decommission", "Ends a router", &RouterKeysDecommission);
  CLI::App* const log = add("custody-log", "Attaches who had access to preinstalled keys", &RouterKeysCustodyLog);
  CLI::App* const submit = add("submit", "Brings a router's certificate request", &RouterKeysSubmit);
  add("pending", "Requests that wait for approval", &RouterKeysPending);
  CLI::App* const approve = add("approve", "Lets a request be certified", &RouterKeysApprove);
  CLI::App* const reject = add("reject", "Refuses a request", &RouterKeysReject);

  for (CLI::App* const command : {enter, update})
    command->add_option("--file", to.file, "The account in JSON; - is standard input")->required();
  for (CLI::App* const command : {router, end, log}) command->add_option("id", to.id, "The router")->required();
  for (CLI::App* const command : {approve, reject}) command->add_option("id", to.id, "The request")->required();
  log->add_option("--file", to.file, "The log, CMS SignedData; - is standard input")->required();
  submit->add_option("--file", to.file, "The request, DER or PEM; - is standard input")->required();
  submit->add_option("--router", to.router, "Whose it is; may be left out by the router itself");
  submit->add_option("--as", to.asn, "AS that it is for; may be left out for a router with one")
      ->check(CLI::Range(1U, kLast));
  submit->add_option("--bgp-id", to.bgp_id, "BGP identifier as a number, to be compared with the account's");
  submit->add_option("--usage", to.usage, "Which of several keys");
  AddChange({enter, update, end, log, submit, approve, reject}, to.reason, to.request_id);
  AddYes({end, approve, reject}, to.yes);
}

void AddLife(CLI::App& keys, State& s) {
  RouterKeyOptions& to = s.router_keys;
  using Run = absl::StatusOr<Exit> (*)(const Options&, const RouterKeyOptions&);
  const auto add = [&](const char* name, const char* help, Run run) {
    return Command(keys, s, name, help, [&s, run] { return run(s.options, s.router_keys); });
  };
  CLI::App* const list = add("list", "Keys of routers", &RouterKeysList);
  CLI::App* const show = add("show", "The keys of one router in one AS", &RouterKeysShow);
  CLI::App* const create = add("create", "Makes a router's next key here", &RouterKeysCreate);
  CLI::App* const issue = add("issue", "Certifies a key, or renews its certificate", &RouterKeysIssue);
  CLI::App* const package = add("package", "Takes a private key out, in a signed package", &RouterKeysPackage);
  CLI::App* const provision = add("provision", "Everything that a router needs, in one step", &RouterKeysProvision);
  CLI::App* const certs = add("certs", "A key's certificate and those above it", &RouterKeysCertificates);
  CLI::App* const activate = add("activate", "Orders a router to sign with its next key", &RouterKeysActivate);
  CLI::App* const taint = add("taint", "Marks a key compromised", &RouterKeysTaint);
  CLI::App* const revoke = add("revoke", "Puts a key's certificates on the CRL", &RouterKeysRevoke);

  list->add_option("--router", to.router, "Of this router only");
  create->add_option("id", to.id, "The router")->required();
  create->add_option("--as", to.asn, "AS")->required()->check(CLI::Range(1U, kLast));
  create->add_option("--usage", to.usage, "Which of several keys");
  create->add_option("--save", to.save, "File for the request, DER");
  for (CLI::App* const command : {show, issue, package, certs, activate, taint, revoke})
    command->add_option("slot", to.id, "Router, AS and usage: edge-a/64496")->required();
  AddVersion({issue, package, activate, taint, revoke}, to);
  certs->add_option("--key-version", to.version, "The active one, else the next, when left out");
  certs->add_option("--save", to.save, "File for them, PKCS #7 in DER");
  package->add_option("--save", to.save, "File for the package")->required();
  provision->add_option("--file", to.file, "The account in JSON; - is standard input")->required();
  provision->add_option("--save", to.save, "Folder for what it needs")->required();
  for (CLI::App* const command : {package, provision})
    command->add_option("--recipient", to.recipient,
                        "Certificate of whom to encrypt for: P-256, or RSA of 3,072 bits or more");
  activate->add_flag("--emergency", to.emergency, "Before relying parties have it");
  activate->add_flag("--unconfirmed", to.unconfirmed, "Although the router has not reported that it holds it");
  for (CLI::App* const command : {taint, revoke})
    command->add_option("--continuity", to.continuity, "keep-signing, disable-bgpsec or offline")
        ->check(CLI::IsMember({"keep-signing", "disable-bgpsec", "offline"}));
  AddChange({create, issue, package, provision, activate, taint, revoke}, to.reason, to.request_id);
  AddYes({package, provision, activate, taint, revoke}, to.yes);
}

}  // namespace

void AddRouterKeys(CLI::App& keys, State& s) {
  CLI::App* const router = Group(keys, "router", "BGPsec router keys of a key manager");
  AddAccounts(*router, s);
  AddLife(*router, s);
  AddTransfers(*router, s);
  AddFleets(*router, s);
}

}  // namespace virp::virpctl
