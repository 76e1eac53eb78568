#include "tests/testutil/test_pki.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "lib/base/status.h"
#include "tests/testutil/must.h"

namespace virp::testutil {
namespace {

constexpr UnixNanos kHour = 3600ULL * 1'000'000'000ULL;

std::string MakeDirectory() {
  std::string path = (std::filesystem::temp_directory_path() / "virp-pki-XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) Must(Internal("mkdtemp"));
  return path;
}

}  // namespace

TestPki::TestPki(std::string_view trust_domain)
    : dir_(MakeDirectory()),
      ca_(Must(crypto::CertificateAuthority::Create("test CA", clock_.NowNanos() - 48 * kHour,
                                                    clock_.NowNanos() + 48 * kHour))),
      trust_domain_(trust_domain),
      identities_(std::make_shared<const service::IdentityMap>(Must(service::IdentityMap::Default(trust_domain)))) {
  std::ofstream(dir_ + "/ca.crt") << ca_.certificate_pem();
}

TestPki::~TestPki() {
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

std::string TestPki::Id(service::Role role, std::string_view name) const {
  return fmt::format("spiffe://{}/{}/{}", trust_domain_, service::RoleName(role), name);
}

crypto::LeafSpec TestPki::Spec(service::Role role, std::string_view name) const {
  return {.common_name = std::string(name),
          .uri_sans = {Id(role, name)},
          .dns_sans = {"localhost"},
          .ip_sans = {"127.0.0.1", "::1"},
          .not_before = clock_.NowNanos() - kHour,
          .not_after = clock_.NowNanos() + 24 * kHour};
}

service::TlsFiles TestPki::Issue(const crypto::LeafSpec& spec, std::string_view label) {
  Must(crypto::WriteCertifiedKey(dir_, label, Must(ca_.IssueUnchecked(spec))));
  return {.certificate = fmt::format("{}/{}.crt", dir_, label),
          .private_key = fmt::format("{}/{}.key", dir_, label),
          .roots = dir_ + "/ca.crt"};
}

service::TlsFiles TestPki::Files(service::Role role, std::string_view name) {
  const std::string label = fmt::format("{}-{}", service::RoleName(role), name);
  const service::TlsFiles files{.certificate = fmt::format("{}/{}.crt", dir_, label),
                                .private_key = fmt::format("{}/{}.key", dir_, label),
                                .roots = dir_ + "/ca.crt"};
  return std::filesystem::exists(files.certificate) ? files : Issue(Spec(role, name), label);
}

service::Security TestPki::MakeSecurity(std::vector<service::MethodRule> rows, const std::string& deny_file,
                                        std::string_view scopes_json, service::RefusalHook on_refusal) {
  service::Security out;
  out.denied = Must(service::DenyList::Open(deny_file));
  out.callers = std::make_shared<service::CallerResolver>(identities_, out.denied, clock_);
  out.table =
      std::make_shared<const service::AuthorizationTable>(Must(service::AuthorizationTable::Create(std::move(rows))));
  if (!scopes_json.empty())
    out.scopes = std::make_shared<const service::ScopeRules>(Must(service::ScopeRules::FromJson(scopes_json)));
  out.on_refusal = std::move(on_refusal);
  return out;
}

service::ServerOptions TestPki::Options(const service::TlsFiles& files) const {
  service::ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.tls = files;
  options.reload = std::chrono::seconds(1);
  options.maintenance = std::chrono::milliseconds(50);
  return options;
}

std::unique_ptr<service::ServerRunner> TestPki::StartServer(service::Role role, service::Security security,
                                                            const std::vector<service::ServedService>& services,
                                                            std::string_view name) {
  auto server = Must(service::ServerRunner::Start(Options(Files(role, name)), std::move(security), clock_, services));
  server->SetServing(true);
  return server;
}

std::shared_ptr<grpc::Channel> TestPki::Channel(const service::ServerRunner& server, service::Role role,
                                                std::string_view name, service::Role server_role) {
  return Channel(server.address(), Files(role, name), {.role = server_role, .spiffe_id = "", .check_host = true});
}

std::shared_ptr<grpc::Channel> TestPki::Channel(const std::string& target, const service::TlsFiles& files,
                                                const service::ExpectedServer& expected) {
  service::ChannelOptions options;
  options.target = target;
  options.tls = files;
  options.server = expected;
  options.identities = identities_;
  options.reload = std::chrono::seconds(1);
  // Not gRPC's global pool: a test that opens a second channel means a second connection.
  options.arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return Must(service::MakeChannel(options));
}

std::vector<std::string> TlsFlags(const service::TlsFiles& files) {
  return {"--tls-certificate", files.certificate, "--tls-key",      files.private_key,
          "--tls-roots",       files.roots,       "--trust-domain", "test.virp.example"};
}

}  // namespace virp::testutil
