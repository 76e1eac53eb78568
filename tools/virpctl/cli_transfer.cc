// Certificates of outside authorities, keys in escrow, and the roll of many routers' keys.
#include "tools/virpctl/cli_transfer.h"

#include <memory>

#include "tools/virpctl/fleet_options.h"
#include "tools/virpctl/transfer_options.h"

namespace virp::virpctl {

void AddTransfers(CLI::App& router, State& s) {
  using Run = absl::StatusOr<Exit> (*)(const Options&, const TransferOptions&);
  const auto options = std::make_shared<TransferOptions>();  // lives as long as a command may run
  TransferOptions& to = *options;
  const auto add = [&](const char* name, const char* help, Run run) {
    CLI::App* const command = Command(router, s, name, help, [&s, options, run] { return run(s.options, *options); });
    command->add_option("slot", to.id, "Router, AS and usage: edge-a/64496")->required();
    command->add_option("--key-version", to.version, "Version of the key")
        ->required()
        ->check(CLI::Range(1U, 4'294'967'295U));
    return command;
  };
  CLI::App* const csr = add("csr", "A key's request, for an outside authority", &RouterKeysCsr);
  CLI::App* const import = add("import", "Takes the certificate of an outside authority", &RouterKeysImport);
  CLI::App* const deposit = add("deposit", "Puts a router's own private key into escrow", &RouterKeysDeposit);
  CLI::App* const ask = add("request-release", "Asks for a key out of escrow", &RouterKeysRequestRelease);
  CLI::App* const approve = add("approve-release", "Lets a key out of escrow", &RouterKeysApproveRelease);
  CLI::App* const release = add("release", "Takes a key out of escrow", &RouterKeysRelease);

  csr->add_option("--form", to.form, "der, pem or krill (the body of Krill's bgpsec add)")
      ->default_val("pem")
      ->check(CLI::IsMember({"der", "pem", "krill"}));
  csr->add_option("--save", to.save, "File for it");
  import->add_option("--file", to.file, "Certificates: .cer, PEM or PKCS #7")->required();
  import->add_option("--trust-anchor", to.trust_anchor, "File of the trust anchor's certificate")->required();
  deposit->add_option("--key", to.file, "File of the private key, PKCS #8 in PEM")->required();
  ask->add_option("--agent", to.agent, "SPIFFE id of the replacement router");
  ask->add_option("--recipient", to.recipient,
                  "Certificate of whom to encrypt for: P-256, or RSA of 3,072 bits or more");
  release->add_option("--save", to.save, "File for the package")->required();
  AddChange({import, deposit, ask, approve, release}, to.reason, to.request_id);
  AddYes({deposit, approve, release}, to.yes);
}

void AddFleets(CLI::App& router, State& s) {
  using Run = absl::StatusOr<Exit> (*)(const Options&, const FleetOptions&);
  const auto options = std::make_shared<FleetOptions>();
  FleetOptions& to = *options;
  const auto add = [&](const char* name, const char* help, Run run) {
    return Command(router, s, name, help, [&s, options, run] { return run(s.options, *options); });
  };
  CLI::App* const roll = add("roll", "Rolls the keys of many routers", &FleetRoll);
  CLI::App* const set = add("set-fleet", "Holds such a roll, lets it go on, or gives it up", &FleetSet);
  CLI::App* const watch = add("watch-fleet", "Watches it to its end", &FleetWatch);
  add("fleets", "All of them", &FleetList);
  for (CLI::App* const command : {roll, set, watch}) command->add_option("id", to.id, "Its name")->required();
  roll->add_option("--prefix", to.prefix, "Routers whose id begins so; all when left out");
  roll->add_option("--as", to.asn, "AS; all when left out")->check(CLI::Range(1U, 4'294'967'295U));
  roll->add_option("--concurrency", to.concurrency, "Routers that may be changing over at once")
      ->check(CLI::Range(1, 10'000));
  AddYes({roll}, to.yes);
  set->add_option("--to", to.state, "running, paused or stopped")
      ->required()
      ->check(CLI::IsMember({"running", "paused", "stopped"}));
  AddChange({roll, set}, to.reason, to.request_id);
}

}  // namespace virp::virpctl
