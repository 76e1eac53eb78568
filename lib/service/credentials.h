// Mutual TLS from files that are read again when they change: server credentials, and channels that know which server
// they expect. What is set here on one end is answered on the other: keepalive, message size, connection age.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/crypto/pki.h"
#include "lib/service/caller.h"
#include "lib/service/deny_list.h"
#include "lib/service/identity.h"

namespace virp::service {

// Paths of PEM files: the certificate with its chain, its private key, and the roots that peers are verified against.
struct TlsFiles {
  std::string certificate;
  std::string private_key;
  std::string roots;
};

// How often files are looked at. gRPC's watcher counts in whole seconds.
inline constexpr std::chrono::seconds kDefaultReload{10};

struct TlsFilesState {
  crypto::CertificateInfo leaf;
  UnixNanos roots_not_after = 0;  // of the root that lives longest
};

// Reads and checks the files: they parse, the key is the certificate's, there is exactly one URI SAN and it is a SPIFFE
// id. The error names the file. Says nothing about times.
absl::StatusOr<TlsFilesState> InspectTlsFiles(const TlsFiles& files);

// InspectTlsFiles, and the certificate and at least one root are valid now. For readiness: gRPC itself starts and
// listens without usable files, and fails every handshake until they come.
absl::Status CheckTlsFiles(const TlsFiles& files, UnixNanos now);

// Limits that both ends agree on.
struct TransportLimits {
  int max_message_bytes = 4 * 1024 * 1024;  // both directions
  int max_streams_per_connection = 128;     // server
  int max_threads = 256;                    // server: calls at work at one time; more are RESOURCE_EXHAUSTED
  std::chrono::milliseconds max_connection_age{30 * 60 * 1000};  // server; the client reconnects unseen
  std::chrono::milliseconds connection_grace{60 * 1000};         // server: then open streams end with UNAVAILABLE
  std::chrono::milliseconds handshake_timeout{10 * 1000};        // server: for slow or silent strangers
  // A peer that hangs while its kernel still answers is noticed after the sum: so long a deliverer stays with such a
  // leader.
  std::chrono::milliseconds keepalive_time{10 * 1000};  // both; the server takes pings twice as often
  std::chrono::milliseconds keepalive_timeout{10 * 1000};
};

// Server credentials that require a client certificate, verify it against the roots, and ask `security.callers` at
// every handshake, resumed sessions included, and `security.table` at every call. `on_verified`, if given, is called
// once for each handshake whose chain is good, before it is asked whose it is; from gRPC's threads.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsFiles& files, const Security& security,
                                                               std::chrono::seconds reload = kDefaultReload,
                                                               std::function<void()> on_verified = nullptr);

// Which server a client means. Its certificate must have exactly one SPIFFE id, and that must fit all that is set here;
// at least one of `role` and `spiffe_id` must be set: any certificate of the CA would do otherwise.
struct ExpectedServer {
  std::optional<Role> role;
  std::string spiffe_id;    // exact
  bool check_host = false;  // also demand that a DNS or IP SAN covers the target
};

struct ChannelOptions {
  std::string target;  // as gRPC takes it: "host:port", "dns:///name:port"
  TlsFiles tls;
  ExpectedServer server;
  std::shared_ptr<const IdentityMap> identities;  // says the role of the server's id
  std::shared_ptr<const DenyList> denied;         // may be null
  TransportLimits limits;
  std::chrono::seconds reload = kDefaultReload;
  grpc::ChannelArguments arguments;  // further ones, e.g. a service config
  bool show_certificate = true;      // false: what a stranger sees, who has none
};

// InvalidArgument when nothing is expected of the server or `identities` is missing. Connects at the first call.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options);

// What MakeChannel asks of a server's leaf certificate, as a function: for tests and for `virpctl doctor`. `host` is
// the target's name, with or without a port.
absl::Status CheckServerCertificate(const ExpectedServer& expected, const IdentityMap& identities,
                                    const DenyList* denied, std::string_view leaf_pem, std::string_view host);

}  // namespace virp::service
