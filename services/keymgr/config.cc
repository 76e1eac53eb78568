#include "services/keymgr/config.h"

#include <algorithm>

#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/service/access_options.h"

#ifndef VIRP_VERSION
#define VIRP_VERSION "unknown"
#endif

namespace virp::keymgr {
namespace {

void AddStore(service::Options& options, Config& config) {
  options.AddCustom(
      "store", "URL",
      "Where the ledger is kept: sqlite:PATH, postgresql://... (a password only by file or environment), or file:PATH "
      "with one of these as its first line.",
      "",
      [&config](const std::string& text, service::ValueOrigin origin) -> absl::Status {
        const bool visible = origin == service::ValueOrigin::kCommandLine;
        ASSIGN_OR_RETURN(config.store, store::ParseStorageUrl(text, visible ? store::UrlOrigin::kCommandLine
                                                                            : store::UrlOrigin::kPrivate));
        return absl::OkStatus();
      },
      /*private_value=*/true);
  options.Require("store");
  options.AddCustom(
      "migrate-store", "URL",
      "PostgreSQL: credentials that own the schema, used for migrating only; a URL or file:PATH.", "",
      [&config](const std::string& text, service::ValueOrigin) -> absl::Status {
        ASSIGN_OR_RETURN(config.migrate_url, store::ReadStorageUrl(text));
        return absl::OkStatus();
      },
      /*private_value=*/true);
  options.Add(&config.migrate, "migrate", "Apply missing schema files at the start.");
}

void AddChain(service::Options& options, Config& config) {
  options.Add(&config.onodes, "onode",
              "host:port of an O-Node that takes the audit records; several for replicas. Without one nothing is "
              "delivered, and a database that was restored from a backup is not noticed.",
              "ADDRESS");
  options.Add(&config.origin, "origin", "Chain to deliver to.", "ORIGIN");
  options.Add(&config.checkpoint_keys, "checkpoint-key",
              "Verifier key (C2SP) of the chain's checkpoints, pinned; several during a roll.", "KEY");
  options.Add(&config.state, "state",
              "Directory for the largest audited checkpoint; must not be restored with the database.", "DIR");
}

absl::Status ReadToken(const std::string& text, Config& config, pkcs11::TokenUri& uri) {
  if (text.starts_with("pkcs11:")) {
    ASSIGN_OR_RETURN(uri, pkcs11::ParseTokenUri(text));
    config.token = uri.token;
  } else {
    config.token = {.label = text};
  }
  return absl::OkStatus();
}

// What the URI of the token brings may not stand in an option of its own as well: which one counts would be a guess.
absl::Status TakeFromUri(std::string& option, const std::string& in_uri, std::string_view name) {
  if (in_uri.empty()) return absl::OkStatus();
  if (!option.empty()) return InvalidArgument("{} is given, and in the URI of token too; take one of them out", name);
  option = in_uri;
  return absl::OkStatus();
}

void AddCustody(service::Options& options, Config& config, pkcs11::TokenUri& uri) {
  options.Add(
      &config.kek, "kek",
      "Key-encryption keys: a folder of <version>.kek, one such file, or `token`. Without them it starts sealed.",
      "PATH");
  options.Add(&config.token_module, "token-module", "PKCS #11 module of a token (docs/operations/hsm.md).", "FILE");
  options.AddCustom(
      "token", "LABEL|URI",
      "The token: its label, or a URI of RFC 7512 (pkcs11:token=...;serial=...), which may bring "
      "module-path and pin-source instead of the options beside this one.",
      "", [&config, &uri](const std::string& text, service::ValueOrigin) { return ReadToken(text, config, uri); });
  options.AddSecretFile(&config.token_pin_file, "token-pin", "File with the token's user PIN.");
  options.AddCustom("on-token", "KIND,...",
                    "Kinds of keys that are made on the token: observation, router, tcp_ao, issuer, transfer. All "
                    "others are made in software.",
                    "", [&config](const std::string& text, service::ValueOrigin) -> absl::Status {
                      config.on_token.clear();
                      for (std::size_t at = 0; at < text.size();) {
                        const std::size_t end = std::min(text.find(',', at), text.size());
                        const auto kind = KeyKindFromName(text.substr(at, end - at));
                        if (!kind) return InvalidArgument("{} is no kind of key", text.substr(at, end - at));
                        if (*kind == KeyKind::kPublication)
                          return InvalidArgument("publication keys are used once and never kept: no token has them");
                        config.on_token.push_back(*kind);
                        at = end + 1;
                      }
                      return absl::OkStatus();
                    });
}

absl::Status CheckTogether(Config& config) {
  if (config.tls.certificate.empty() || config.tls.private_key.empty() || config.tls.roots.empty())
    return InvalidArgument("tls-certificate, tls-key and tls-roots are needed: there is no service without mutual TLS");
  if (config.access.trust_domain.empty() && config.access.identity_map_file.empty())
    return InvalidArgument("trust-domain or identity-map is needed");
  if (config.name.empty()) return InvalidArgument("name is needed");
  RETURN_IF_ERROR(Annotate(CheckSourceName(config.name), "name"));
  if (config.own_key.empty()) return InvalidArgument("own-key is needed");
  if (config.kek.empty()) return InvalidArgument("kek is needed");
  if (!config.est_listen.empty()) RETURN_IF_ERROR(Annotate(ParseHostPort(config.est_listen).status(), "est-listen"));
  const bool token = !config.token_module.empty();
  if (token && (config.token.empty() || config.token_pin_file.empty()))
    return InvalidArgument("token and token-pin are needed beside token-module");
  if (!token && (!config.on_token.empty() || config.kek == kKekOnToken))
    return InvalidArgument("token-module is needed for on-token and for kek token");
  RETURN_IF_ERROR(FinishRpkiOptions(config.rpki));
  if (config.onodes.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(Annotate(CheckOrigin(config.origin), "origin"));
  if (config.checkpoint_keys.empty()) return InvalidArgument("checkpoint-key is needed beside onode");
  if (config.state.empty()) return InvalidArgument("state is needed beside onode");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<service::Options::Next> ReadConfig(int argc, const char* const* argv, std::ostream& out,
                                                  Config& config) {
  service::Options options("virp-keymgr", "Issues, keeps, hands out, rolls and destroys the platform's keys.",
                           VIRP_VERSION);
  config.common.admin_listen = {"127.0.0.1", 9445};
  service::AddCommonOptions(options, &config.common);
  options.Add(&config.listen, "listen", "Where gRPC is served, with mutual TLS.");
  options.Add(&config.advertise, "advertise", "host:port under which clients reach this manager; `listen` when empty.",
              "ADDRESS");
  AddStore(options, config);
  service::AddAccessOptions(options, &config.tls, &config.access, &config.break_glass_socket);
  options.Add(&config.reflection, "reflection", "Serve gRPC reflection.");
  options.Add(&config.est_listen, "est-listen",
              "host:port where routers enrol by themselves (EST, RFC 7030), with the same certificate, identities and "
              "deny list. Without it nobody can.",
              "ADDRESS");
  options.Add(&config.name, "name", "The manager's own source name; its audit records are signed as it.", "SOURCE");
  options.Add(&config.own_key, "own-key", "Key directory with its own O-Key, <name>/<version>.seed.", "DIR");
  pkcs11::TokenUri token_uri;
  AddCustody(options, config, token_uri);
  AddChain(options, config);
  options.Add(&config.lease, "lease", "How long this manager stays the active one without renewal.",
              std::chrono::milliseconds(500));
  AddRpkiOptions(options, config.rpki);
  AddRouterOptions(options, config.router);
  options.AddCommand("migrate", "Brings the store's schema up to date and ends.");
  options.AddCommand("make-kek", "Makes the next key-encryption key on the token and ends.");
  options.Check([&config, &options, &token_uri]() -> absl::Status {
    RETURN_IF_ERROR(TakeFromUri(config.token_module, token_uri.module_path, "token-module"));
    RETURN_IF_ERROR(TakeFromUri(config.token_pin_file, token_uri.pin_file, "token-pin"));
    if (!token_uri.pin_file.empty()) RETURN_IF_ERROR(Annotate(service::CheckSecretFile(token_uri.pin_file), "token"));
    return options.command().empty() ? CheckTogether(config) : absl::OkStatus();
  });
  ASSIGN_OR_RETURN(const auto next, options.Read(argc, argv, out));
  config.command = options.command();
  return next;
}

}  // namespace virp::keymgr
