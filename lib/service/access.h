// From the access options of a service's configuration to the Security that its server asks: the one place where the
// files of docs/operations/identity-and-access.md are read.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/service/caller.h"
#include "lib/service/credentials.h"

namespace virp::service {

struct AccessOptions {
  std::string trust_domain;       // needed when there is no identity map; must equal the map's when both are given
  std::string identity_map_file;  // empty: spiffe://<trust domain>/<role>/<name>
  std::string scopes_file;        // empty: no scoped method may be called
  std::string deny_file;          // empty: nobody is denied
};

// Also for clients, which need the map to know a server's role.
absl::StatusOr<std::shared_ptr<const IdentityMap>> LoadIdentities(const AccessOptions& options);

// Errors name the file. InvalidArgument for what a file says, or without both trust domain and map; otherwise why a
// file could not be read. `clock` outlives the result. `on_denied_changed` is DenyList's hook; both hooks may be null.
absl::StatusOr<Security> LoadSecurity(const AccessOptions& options, std::vector<MethodRule> rows, bool reflection,
                                      const Clock& clock, RefusalHook on_refusal = nullptr,
                                      DenyList::Hook on_denied_changed = nullptr);

// Makes channels with a service's own certificate to servers of that role. Read anew for each channel: the map may have
// changed.
using ChannelFactory = std::function<absl::StatusOr<std::shared_ptr<grpc::Channel>>(const std::string& address)>;
ChannelFactory ChannelsTo(Role role, const TlsFiles& tls, const AccessOptions& access, const Security& security);

}  // namespace virp::service
