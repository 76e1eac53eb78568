// A PKI for one test: a temporary directory with an authority and certificates for whom the test wants to be, and the
// way to a running mTLS server and to channels in a role. Times are the system's: TLS libraries ask no fake clock.
//
//   TestPki pki;
//   service::Security security = pki.MakeSecurity(kRows);
//   MyService handlers(security.callers, ...);
//   auto server = pki.StartServer(Role::kOnode, security, {{&handlers, MyService::service_full_name()}});
//   auto stub = MyService::NewStub(pki.Channel(*server, Role::kReader));
//
// What goes wrong in here ends the test program with a message.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"
#include "lib/crypto/pki.h"
#include "lib/service/caller.h"
#include "lib/service/credentials.h"
#include "lib/service/identity.h"
#include "lib/service/server.h"

namespace virp::testutil {

// What a service's command line says of them and of the trust domain.
std::vector<std::string> TlsFlags(const service::TlsFiles& files);

class TestPki {
 public:
  explicit TestPki(std::string_view trust_domain = "test.virp.example");
  ~TestPki();
  TestPki(const TestPki&) = delete;
  TestPki& operator=(const TestPki&) = delete;

  const std::string& dir() const { return dir_; }
  const crypto::CertificateAuthority& ca() const { return ca_; }
  const std::shared_ptr<const service::IdentityMap>& identities() const { return identities_; }

  // spiffe://<trust domain>/<role>/<name>
  std::string Id(service::Role role, std::string_view name = "test") const;

  // A certificate for that id, localhost, 127.0.0.1 and ::1, valid from an hour ago for a day; issued at the first
  // call.
  service::TlsFiles Files(service::Role role, std::string_view name = "test");

  // Writes what `spec` says, checked or not, as <label>.crt and <label>.key. A second call replaces the files.
  service::TlsFiles Issue(const crypto::LeafSpec& spec, std::string_view label);
  crypto::LeafSpec Spec(service::Role role, std::string_view name = "test") const;  // to change and issue

  // Security by the default identity map. `deny_file` and `scopes_json` may be empty.
  service::Security MakeSecurity(std::vector<service::MethodRule> rows, const std::string& deny_file = "",
                                 std::string_view scopes_json = "", service::RefusalHook on_refusal = nullptr);

  // On 127.0.0.1, free port, serving. Files are read again every second.
  std::unique_ptr<service::ServerRunner> StartServer(service::Role role, service::Security security,
                                                     const std::vector<service::ServedService>& services,
                                                     std::string_view name = "test");
  service::ServerOptions Options(const service::TlsFiles& files) const;

  // A new connection as `role`/`name` to a server of the role `server_role`.
  std::shared_ptr<grpc::Channel> Channel(const service::ServerRunner& server, service::Role role,
                                         std::string_view name = "test",
                                         service::Role server_role = service::Role::kOnode);
  std::shared_ptr<grpc::Channel> Channel(const std::string& target, const service::TlsFiles& files,
                                         const service::ExpectedServer& expected);

 private:
  std::string dir_;
  SystemClock clock_;
  crypto::CertificateAuthority ca_;
  std::string trust_domain_;
  std::shared_ptr<const service::IdentityMap> identities_;
};

}  // namespace virp::testutil
