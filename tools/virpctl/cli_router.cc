// The router of RFC 8635: what it does by itself, and the peer of the key manager in tests.
#include <cstdlib>

#include "tools/virpctl/cli.h"

namespace virp::virpctl {
namespace {

void AddReport(CLI::App& plan, CLI::App& report, RouterReportOptions& to) {
  plan.add_option("id", to.id, "The router; may be left out by the router itself");
  report.add_option("slot", to.id, "Router, AS and usage: edge-a/64496")->required();
  report.add_option("--key-version", to.version, "Version of the key")
      ->required()
      ->check(CLI::Range(1U, 4'294'967'295U));
  report.add_option("--event", to.event, "installed, signing or replaced")
      ->check(CLI::IsMember({"installed", "signing", "replaced"}))
      ->capture_default_str();
  report.add_option("--key", to.key, "File of the private key; of replaced: of the one that replaced it")->required();
  CLI::Option* const certificate = report.add_option("--certificate", to.file, "Of installed: what was installed");
  certificate->needs(report.add_option("--trust-anchor", to.trust_anchor, "File of the installed trust anchor"));
  report.add_flag("--package-valid", to.package_valid, "Of installed: the package was good, or the key is our own");
  report.add_option("--detail", to.detail, "Words for the operator");
  report.add_option("--reason", to.reason, "Why; goes into the audit record")->capture_default_str();
  report.add_option("--request-id", to.request_id, "Of a request whose answer was lost, to repeat it");
}

}  // namespace

void AddRouter(CLI::App& app, State& s) {
  using Run = absl::StatusOr<Exit> (*)(const Options&, const RouterOptions&);
  RouterOptions& to = s.router;
  CLI::App* const router = Group(app, "router", "What a BGPsec router does with its keys (RFC 8635)");
  const auto add = [&](const char* name, const char* help, Run run) {
    return Command(*router, s, name, help, [&s, run] { return run(s.options, s.router); });
  };
  CLI::App* const keygen = add("keygen", "Makes a key and its certificate request", &RouterKeygen);
  CLI::App* const open = add("open", "Takes a key out of a signed package", &RouterOpen);
  CLI::App* const check = add("check", "Checks a certificate against key and trust anchor", &RouterCheck);
  CLI::App* const anchors = add("cacerts", "Asks an EST server for its authorities", &RouterCaCerts);
  CLI::App* const enrol = add("enrol", "Enrols by EST", &RouterEnrol);
  CLI::App* const renew = add("renew", "Renews by EST what ends soon", &RouterRenew);

  CLI::App* const plan = Command(*router, s, "plan", "What the key manager wants of it",
                                 [&s] { return RouterPlan(s.options, s.router_report); });
  CLI::App* const report = Command(*router, s, "report", "Tells the key manager, signed by the key",
                                   [&s] { return RouterReport(s.options, s.router_report); });
  AddReport(*plan, *report, s.router_report);

  open->add_option("file", to.file, "The package, DER or PEM")->required();
  check->add_option("file", to.file, "Certificates: .cer, PEM or PKCS #7")->required();
  anchors->add_option("--save", to.file, "File for them, PEM");
  for (CLI::App* const command : {enrol, renew})
    command->add_option("--certificate", to.file, "File of the certificate and the authorities above it, PEM")
        ->required();
  for (CLI::App* const command : {keygen, open, check, enrol, renew})
    command->add_option("--key", to.key, "File of the private key, PKCS #8 in PEM")->required();
  for (CLI::App* const command : {keygen, enrol})
    command->add_option("--request", to.request, "File of the request, PEM")->required();
  for (CLI::App* const command : {open, check, enrol, renew})
    command->add_option("--trust-anchor", to.trust_anchor, "File of the installed trust anchor's certificate")
        ->required();
  for (CLI::App* const command : {check, enrol, renew})
    command->add_option("--as", to.asn, "AS that it must be for")->check(CLI::Range(1U, 4'294'967'295U));
  for (CLI::App* const command : {anchors, enrol, renew})
    command->add_option("--est", to.est, "host:port of the EST server (Env:VIRPCTL_EST)");
  // Not envname(): CLI11 would read it for each of the three, after what was said to the one that was called.
  if (const char* const est = std::getenv("VIRPCTL_EST"); est != nullptr) to.est = est;
  for (CLI::App* const command : {enrol, renew})
    command->add_option("--wait", to.wait, "Seconds to go on asking while it is pending")->check(CLI::Range(0, 86'400));
  AddYes({keygen, open, enrol}, to.yes);
  CLI::Option* const decrypt = open->add_option("--decrypt-key", to.decrypt_key, "Key that it is encrypted for, PEM");
  decrypt->needs(open->add_option("--decrypt-certificate", to.decrypt_certificate, "Certificate of that key"));
  renew->add_option("--before", to.before, "Only when it ends within this time")->capture_default_str();
}

}  // namespace virp::virpctl
