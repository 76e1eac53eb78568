#include "lib/service/access.h"

#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/service/strict_json.h"

namespace virp::service {

absl::StatusOr<std::shared_ptr<const IdentityMap>> LoadIdentities(const AccessOptions& options) {
  if (options.identity_map_file.empty()) {
    if (options.trust_domain.empty())
      return InvalidArgument("access: neither a trust domain nor an identity map is configured");
    ASSIGN_OR_RETURN(IdentityMap map, IdentityMap::Default(options.trust_domain));
    return std::make_shared<const IdentityMap>(std::move(map));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(options.identity_map_file, kMaxConfigJson));
  absl::StatusOr<IdentityMap> map = IdentityMap::FromJson(text);
  if (!map.ok()) return Annotate(map.status(), options.identity_map_file);
  if (!options.trust_domain.empty() && options.trust_domain != map->trust_domain()) {
    return InvalidArgument("{}: is for the trust domain {}, but {} is configured", options.identity_map_file,
                           map->trust_domain(), options.trust_domain);
  }
  return std::make_shared<const IdentityMap>(*std::move(map));
}

absl::StatusOr<Security> LoadSecurity(const AccessOptions& options, std::vector<MethodRule> rows, bool reflection,
                                      const Clock& clock, RefusalHook on_refusal, DenyList::Hook on_denied_changed) {
  Security out;
  ASSIGN_OR_RETURN(std::shared_ptr<const IdentityMap> identities, LoadIdentities(options));
  ASSIGN_OR_RETURN(AuthorizationTable table, AuthorizationTable::Create(std::move(rows), reflection));
  out.table = std::make_shared<const AuthorizationTable>(std::move(table));
  ScopeRules scopes;
  if (!options.scopes_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(options.scopes_file, kMaxConfigJson));
    absl::StatusOr<ScopeRules> parsed = ScopeRules::FromJson(text);
    if (!parsed.ok()) return Annotate(parsed.status(), options.scopes_file);
    scopes = *std::move(parsed);
  }
  out.scopes = std::make_shared<const ScopeRules>(std::move(scopes));
  ASSIGN_OR_RETURN(out.denied, DenyList::Open(options.deny_file, std::move(on_denied_changed)));
  out.callers = std::make_shared<const CallerResolver>(std::move(identities), out.denied, clock);
  out.on_refusal = std::move(on_refusal);
  return out;
}

ChannelFactory ChannelsTo(Role role, const TlsFiles& tls, const AccessOptions& access, const Security& security) {
  return [role, tls, access,
          denied = security.denied](const std::string& address) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
    ChannelOptions options;
    options.target = address;
    options.tls = tls;
    options.server.role = role;
    ASSIGN_OR_RETURN(options.identities, LoadIdentities(access));
    options.denied = denied;
    return MakeChannel(options);
  };
}

}  // namespace virp::service
