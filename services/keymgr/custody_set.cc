#include "services/keymgr/custody_set.h"

#include <utility>

#include "lib/base/status.h"
#include "services/keymgr/custody/software/kek_ring.h"
#include "services/keymgr/custody/token/token_keks.h"

namespace virp::keymgr {
namespace {

absl::StatusOr<std::shared_ptr<pkcs11::Token>> OpenToken(const Config& config) {
  pkcs11::TokenOptions options;
  options.module_path = config.token_module;
  options.selector = config.token;
  options.pin_file = config.token_pin_file;
  auto token = pkcs11::Token::OpenLater(std::move(options));
  if (!token.ok()) return Annotate(token.status(), "token-module");
  return std::shared_ptr<pkcs11::Token>(*std::move(token));
}

}  // namespace

absl::StatusOr<std::unique_ptr<CustodySet>> MakeCustodies(const Config& config) {
  auto out = std::make_unique<CustodySet>();
  if (config.kek == kKekOnToken || !config.token_module.empty()) {
    ASSIGN_OR_RETURN(out->on_module, OpenToken(config));
  }
  if (config.kek == kKekOnToken) {
    out->keks = std::make_unique<TokenKeks>(*out->on_module, config.name);
  } else {
    out->keks = std::make_unique<KekRing>(config.kek);
  }
  out->software = std::make_unique<SoftwareCustody>(*out->keks);
  out->all.Add(*out->software);
  if (config.token_module.empty()) return out;
  out->token = std::make_unique<TokenCustody>(out->on_module, config.name);
  out->all.Add(*out->token);
  for (const KeyKind kind : config.on_token) out->all.Prefer(kind, *out->token);
  return out;
}

absl::StatusOr<std::uint32_t> MakeKekOnToken(const Config& config) {
  if (config.kek != kKekOnToken || config.token_module.empty() || config.name.empty())
    return InvalidArgument("make-kek: name, kek token, token-module, token and token-pin are needed");
  ASSIGN_OR_RETURN(const auto token, OpenToken(config));
  return TokenKeks(*token, config.name).Make();
}

}  // namespace virp::keymgr
