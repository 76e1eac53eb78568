#include "lib/service/credentials.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/service/hand_over.h"

namespace virp::service {
namespace {

using grpc::experimental::ExternalCertificateVerifier;
using grpc::experimental::TlsCustomVerificationCheckRequest;

std::string_view View(const grpc::string_ref& text) {
  return {text.data(), text.size()};
}

// Asks a function of ours about the peer's leaf, once per handshake, after gRPC has verified the chain.
class LeafVerifier final : public ExternalCertificateVerifier {
 public:
  using Check = std::function<absl::Status(std::string_view leaf_pem, std::string_view target)>;
  explicit LeafVerifier(Check check) : check_(std::move(check)) { hand_over_.Made(); }
  ~LeafVerifier() override { hand_over_.Gone(); }

  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    const HandOver::Call call(hand_over_);
    const absl::Status status = check_(View(request->peer_cert()), View(request->target_name()));
    if (!status.ok()) *sync_status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(Message(status)));
    return true;  // answered at once
  }
  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  const Check check_;
  HandOver hand_over_;
};

std::shared_ptr<grpc::experimental::CertificateProviderInterface> Watch(const TlsFiles& files,
                                                                        std::chrono::seconds reload) {
  const auto seconds = static_cast<unsigned>(std::max<std::chrono::seconds::rep>(reload.count(), 1));
  return std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(files.private_key, files.certificate,
                                                                              files.roots, seconds);
}

// "[::1]:443" -> "::1", "host:443" -> "host", "::1" stays.
std::string_view HostOf(std::string_view target) {
  if (target.starts_with('['))
    return target.substr(1, target.find(']') == std::string_view::npos ? 0 : target.find(']') - 1);
  const std::size_t colon = target.find(':');
  const bool one_colon = colon != std::string_view::npos && target.find(':', colon + 1) == std::string_view::npos;
  return one_colon ? target.substr(0, colon) : target;
}

absl::StatusOr<std::string> Read(const std::string& path, std::string_view what) {
  absl::StatusOr<std::string> bytes = ReadFile(path, crypto::kMaxBundlePem);
  if (!bytes.ok()) return Annotate(bytes.status(), what);
  return bytes;
}

}  // namespace

absl::StatusOr<TlsFilesState> InspectTlsFiles(const TlsFiles& files) {
  ASSIGN_OR_RETURN(const std::string certificate, Read(files.certificate, "TLS certificate"));
  ASSIGN_OR_RETURN(const std::string key, Read(files.private_key, "TLS private key"));
  ASSIGN_OR_RETURN(const std::string roots, Read(files.roots, "TLS roots"));
  TlsFilesState out;
  absl::StatusOr<crypto::CertificateInfo> leaf = crypto::ParseCertificate(certificate);
  if (!leaf.ok()) return Annotate(leaf.status(), files.certificate);
  out.leaf = *std::move(leaf);
  RETURN_IF_ERROR(Annotate(crypto::CheckKeyMatches(certificate, key), files.private_key));
  if (out.leaf.uri_sans.size() != 1) {
    return InvalidArgument("{}: {} URI names; exactly one, a SPIFFE id, is needed", files.certificate,
                           out.leaf.uri_sans.size());
  }
  RETURN_IF_ERROR(Annotate(SpiffeId::Parse(out.leaf.uri_sans[0]).status(), files.certificate));
  const absl::StatusOr<std::vector<crypto::CertificateInfo>> bundle = crypto::ParseCertificates(roots);
  if (!bundle.ok()) return Annotate(bundle.status(), files.roots);
  for (const crypto::CertificateInfo& root : *bundle)
    out.roots_not_after = std::max(out.roots_not_after, root.not_after);
  return out;
}

absl::Status CheckTlsFiles(const TlsFiles& files, UnixNanos now) {
  ASSIGN_OR_RETURN(const TlsFilesState state, InspectTlsFiles(files));
  if (now > state.leaf.not_after)
    return FailedPrecondition("{}: the certificate has expired; renew it", files.certificate);
  if (now < state.leaf.not_before)
    return FailedPrecondition("{}: the certificate is not valid yet; check the clock", files.certificate);
  if (now > state.roots_not_after) return FailedPrecondition("{}: every root has expired", files.roots);
  return absl::OkStatus();
}

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsFiles& files, const Security& security,
                                                               std::chrono::seconds reload,
                                                               std::function<void()> on_verified) {
  grpc::experimental::TlsServerCredentialsOptions options(Watch(files, reload));
  options.watch_root_certs();  // without this every client is refused
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  // The default verifier compares host names, and a server has no target name to compare.
  options.set_certificate_verifier(ExternalCertificateVerifier::Create<LeafVerifier>(
      [security, on_verified = std::move(on_verified)](std::string_view leaf, std::string_view) {
        if (on_verified) on_verified();
        absl::Status status = security.callers->CheckHandshake(leaf);
        if (!status.ok() && security.on_refusal) security.on_refusal({"(handshake)", "", status});
        return status;
      }));
  options.set_check_call_host(false);
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::experimental::TlsServerCredentials(options);
  credentials->SetAuthMetadataProcessor(std::make_shared<CallAuthorizer>(security));
  return credentials;
}

absl::Status CheckServerCertificate(const ExpectedServer& expected, const IdentityMap& identities,
                                    const DenyList* denied, std::string_view leaf_pem, std::string_view host) {
  ASSIGN_OR_RETURN(const crypto::CertificateInfo info, crypto::ParseCertificate(leaf_pem));
  if (info.uri_sans.size() != 1)
    return Unauthenticated("server certificate: {} URI names; exactly one is needed", info.uri_sans.size());
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse(info.uri_sans[0]));
  if (!expected.spiffe_id.empty() && id.text() != expected.spiffe_id) {
    return Unauthenticated("the server is {}; {} is expected", id.text(), expected.spiffe_id);
  }
  if (expected.role) {
    ASSIGN_OR_RETURN(const IdentityMap::Entry entry, identities.Find(id));
    if (entry.role != *expected.role) {
      return Unauthenticated("the server {} is a {}; a {} is expected", id.text(), RoleName(entry.role),
                             RoleName(*expected.role));
    }
  }
  if (denied != nullptr) RETURN_IF_ERROR(denied->Check(id.text(), info.serial));
  if (expected.check_host && !crypto::CertificateCoversHost(leaf_pem, HostOf(host))) {
    return Unauthenticated("the server's certificate does not name {}", HostOf(host));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options) {
  if (!options.server.role && options.server.spiffe_id.empty()) {
    return InvalidArgument("channel to {}: say which role or SPIFFE id the server must have", options.target);
  }
  if (options.identities == nullptr) return InvalidArgument("channel to {}: no identity map", options.target);
  grpc::experimental::TlsChannelCredentialsOptions tls;
  tls.set_certificate_provider(Watch(options.tls, options.reload));
  tls.watch_root_certs();
  if (options.show_certificate) tls.watch_identity_key_cert_pairs();
  tls.set_certificate_verifier(ExternalCertificateVerifier::Create<LeafVerifier>(
      [server = options.server, identities = options.identities, denied = options.denied](std::string_view leaf,
                                                                                          std::string_view target) {
        return CheckServerCertificate(server, *identities, denied.get(), leaf, target);
      }));
  tls.set_check_call_host(false);  // the verifier above does it, against alternative names only
  const auto milliseconds = [](std::chrono::milliseconds value) { return static_cast<int>(value.count()); };
  grpc::ChannelArguments arguments = options.arguments;
  arguments.SetMaxReceiveMessageSize(options.limits.max_message_bytes);
  arguments.SetMaxSendMessageSize(options.limits.max_message_bytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(options.limits.keepalive_time));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(options.limits.keepalive_timeout));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);  // also how long one attempt may take
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 10'000);
  return grpc::CreateCustomChannel(options.target, grpc::experimental::TlsCredentials(tls), arguments);
}

}  // namespace virp::service
