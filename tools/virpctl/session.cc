#include "tools/virpctl/session.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/service/access.h"
#include "lib/service/credentials.h"

namespace virp::virpctl {

absl::Status CheckTls(const Connection& connection) {
  const auto need = [](const std::string& value, std::string_view option, std::string_view variable) {
    return value.empty() ? InvalidArgument("--{} (or {}) is needed to reach a service", option, variable)
                         : absl::OkStatus();
  };
  RETURN_IF_ERROR(need(connection.certificate, "tls-certificate", "VIRPCTL_TLS_CERTIFICATE"));
  RETURN_IF_ERROR(need(connection.key, "tls-key", "VIRPCTL_TLS_KEY"));
  RETURN_IF_ERROR(need(connection.roots, "tls-roots", "VIRPCTL_TLS_ROOTS"));
  if (connection.identity_map.empty())
    RETURN_IF_ERROR(need(connection.trust_domain, "trust-domain", "VIRPCTL_TRUST_DOMAIN"));
  // gRPC says nothing about files that it cannot use: it fails the handshake without a cause.
  return service::CheckTlsFiles({connection.certificate, connection.key, connection.roots}, SystemClock().NowNanos());
}

absl::StatusOr<std::shared_ptr<const service::IdentityMap>> IdentitiesOf(const Connection& connection) {
  service::AccessOptions options;
  options.trust_domain = connection.trust_domain;
  options.identity_map_file = connection.identity_map;
  return service::LoadIdentities(options);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const Connection& connection) {
  // A break-glass socket: the kernel says who we are, and its folder's mode whom we talk to.
  if (connection.onode.starts_with("unix:")) {
    return grpc::CreateChannel(connection.onode, grpc::InsecureChannelCredentials());
  }
  RETURN_IF_ERROR(CheckTls(connection));
  service::ChannelOptions options;
  options.target = connection.onode;
  options.tls = {connection.certificate, connection.key, connection.roots};
  options.show_certificate = !connection.as_stranger;
  options.server.role = connection.to_keymgr       ? service::Role::kKeymgr
                        : connection.to_collector  ? service::Role::kCollector
                        : connection.to_rtr_bridge ? service::Role::kRtrBridge
                                                   : service::Role::kOnode;
  ASSIGN_OR_RETURN(options.identities, IdentitiesOf(connection));
  return service::MakeChannel(options);
}

}  // namespace virp::virpctl
