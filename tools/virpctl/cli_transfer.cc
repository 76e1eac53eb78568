// Certificates of outside authorities, and keys in escrow.
#include "tools/virpctl/cli_transfer.h"

#include <memory>

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
  ask->add_option("--recipient", to.recipient, "Certificate of whom to encrypt for, P-256 or RSA");
  release->add_option("--save", to.save, "File for the package")->required();
  for (CLI::App* const command : {import, deposit, ask, approve, release}) {
    command->add_option("--reason", to.reason, "Why; goes into the audit record")->required();
    command->add_option("--request-id", to.request_id, "Of a request whose answer was lost, to repeat it");
  }
  for (CLI::App* const command : {deposit, approve, release})
    command->add_flag("--yes", to.yes, "Do not ask whether to go on");
}

}  // namespace virp::virpctl
