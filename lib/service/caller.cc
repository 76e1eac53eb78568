#include "lib/service/caller.h"

#include <grpc/grpc_security_constants.h>

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/pki.h"

namespace virp::service {
namespace {

constexpr std::size_t kMaxParsed = 4096;
constexpr std::string_view kLocal = "local";  // what gRPC's local credentials report as transport security

std::string_view View(const grpc::string_ref& text) {
  return {text.data(), text.size()};
}

std::string_view OneProperty(const grpc::AuthContext& auth, const char* name) {
  const std::vector<grpc::string_ref> values = auth.FindPropertyValues(name);
  return values.size() == 1 ? View(values[0]) : std::string_view();
}

Identity BreakGlassIdentity() {
  Identity out;
  out.role = Role::kOperator;
  out.name = "break-glass";
  out.break_glass = true;
  return out;
}

// gRPC takes code and message from an AuthMetadataProcessor and drops the details, so the reason leads the message.
grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), fmt::format("{}: {}", GetReason(status), Message(status))};
}

}  // namespace

struct CallerResolver::Streams {
  Mutex mutex;
  absl::flat_hash_set<const StreamGuard*> open ABSL_GUARDED_BY(mutex);
};

CallerResolver::CallerResolver(std::shared_ptr<const IdentityMap> identities, std::shared_ptr<const DenyList> denied,
                               const Clock& clock)
    : identities_(std::move(identities)),
      denied_(std::move(denied)),
      clock_(clock),
      streams_(std::make_unique<Streams>()) {}

CallerResolver::~CallerResolver() = default;

absl::StatusOr<Identity> CallerResolver::Resolve(const grpc::ServerContextBase& context) const {
  return Resolve(*context.auth_context());
}

absl::StatusOr<Identity> CallerResolver::Resolve(const grpc::AuthContext& auth) const {
  if (OneProperty(auth, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME) == kLocal) return BreakGlassIdentity();
  const std::string_view pem = OneProperty(auth, GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (pem.empty()) return WithReason(Unauthenticated("no client certificate"), "NO_CERTIFICATE");
  return FromCertificate(pem);
}

absl::StatusOr<Identity> CallerResolver::FromCertificate(std::string_view leaf_pem) const {
  std::shared_ptr<const Identity> identity;
  {
    const MutexLock lock(mutex_);
    if (const auto found = parsed_.find(leaf_pem); found != parsed_.end()) identity = found->second;
  }
  if (identity == nullptr) {
    absl::StatusOr<Identity> parsed = Parse(leaf_pem);
    if (!parsed.ok()) return parsed.status();
    identity = std::make_shared<const Identity>(*std::move(parsed));
    const MutexLock lock(mutex_);
    if (parsed_.size() >= kMaxParsed) parsed_.clear();
    parsed_.insert_or_assign(std::string(leaf_pem), identity);
  }
  RETURN_IF_ERROR(Recheck(*identity));
  return *identity;
}

absl::StatusOr<Identity> CallerResolver::Parse(std::string_view leaf_pem) const {
  const absl::StatusOr<crypto::CertificateInfo> info = crypto::ParseCertificate(leaf_pem);
  if (!info.ok()) return WithReason(Unauthenticated("client {}", Message(info.status())), "BAD_IDENTITY");
  if (info->uri_sans.size() != 1) {
    return WithReason(Unauthenticated("client certificate {}: {} URI names; exactly one, a SPIFFE id, is needed",
                                      info->serial, info->uri_sans.size()),
                      "BAD_IDENTITY");
  }
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(info->uri_sans[0]);
  if (!id.ok()) {
    return WithReason(Unauthenticated("client certificate {}: {}", info->serial, Message(id.status())), "BAD_IDENTITY");
  }
  absl::StatusOr<IdentityMap::Entry> entry = identities_->Find(*id);
  if (!entry.ok()) return WithReason(entry.status(), "UNKNOWN_IDENTITY");
  return Identity{.spiffe_id = id->text(),
                  .role = entry->role,
                  .name = std::move(entry->name),
                  .serial = info->serial,
                  .not_after = info->not_after,
                  .break_glass = false};
}

absl::Status CallerResolver::Recheck(const Identity& identity) const {
  if (identity.break_glass) return absl::OkStatus();
  if (clock_.NowNanos() > identity.not_after) {
    return WithReason(Unauthenticated("the certificate {} of {} has expired; renew it and reconnect", identity.serial,
                                      Describe(identity)),
                      "CERTIFICATE_EXPIRED");
  }
  if (denied_ == nullptr) return absl::OkStatus();
  return WithReason(denied_->Check(identity.spiffe_id, identity.serial), "IDENTITY_DENIED");
}

absl::Status CallerResolver::CheckHandshake(std::string_view leaf_pem) const {
  ASSIGN_OR_RETURN(const crypto::CertificateInfo info, crypto::ParseCertificate(leaf_pem));
  if (clock_.NowNanos() > info.not_after) {
    return WithReason(Unauthenticated("client certificate {} has expired", info.serial), "CERTIFICATE_EXPIRED");
  }
  if (denied_ == nullptr) return absl::OkStatus();
  absl::Status status = denied_->Check("", info.serial);
  for (const std::string& uri : info.uri_sans) status.Update(denied_->Check(uri, info.serial));
  return WithReason(status, "IDENTITY_DENIED");
}

int CallerResolver::CancelRevokedStreams() const {
  int cancelled = 0;
  const MutexLock lock(streams_->mutex);
  for (const StreamGuard* guard : streams_->open) {
    if (guard->context_ == nullptr || Recheck(guard->identity_).ok()) continue;
    guard->context_->TryCancel();  // the guard is in the set, so its handler still runs and the context lives
    ++cancelled;
  }
  return cancelled;
}

StreamGuard::StreamGuard(const CallerResolver& resolver, Identity identity, const grpc::ServerContextBase* context,
                         std::chrono::nanoseconds interval)
    : resolver_(resolver),
      identity_(std::move(identity)),
      context_(context),
      interval_(interval),
      next_(resolver.clock_.Steady() + interval) {
  const MutexLock lock(resolver_.streams_->mutex);
  resolver_.streams_->open.insert(this);
}

StreamGuard::~StreamGuard() {
  const MutexLock lock(resolver_.streams_->mutex);
  resolver_.streams_->open.erase(this);
}

absl::Status StreamGuard::Check() {
  if (!refused_.ok()) return refused_;
  const std::chrono::steady_clock::time_point now = resolver_.clock_.Steady();
  if (now < next_) return absl::OkStatus();
  next_ = now + interval_;
  refused_ = resolver_.Recheck(identity_);
  return refused_;
}

grpc::Status CallAuthorizer::Process(const InputMetadata& metadata, grpc::AuthContext* auth, OutputMetadata*,
                                     OutputMetadata*) {
  const HandOver::Call call(hand_over_);
  const std::string_view method = MethodOf(metadata);
  const absl::StatusOr<Identity> caller = security_.callers->Resolve(*auth);
  absl::Status status =
      caller.ok() ? WithReason(security_.table->Check(*caller, method), "METHOD_DENIED") : caller.status();
  if (status.ok()) {
    const MethodRule* row = security_.table->Find(method);
    if (row->scoped && (security_.scopes == nullptr || !security_.scopes->HasAny(*caller))) {
      status = WithReason(PermissionDenied("{} is bound to no chain or source", Describe(*caller)), "SCOPE_DENIED");
    }
  }
  if (status.ok()) return grpc::Status::OK;
  if (security_.on_refusal) security_.on_refusal({std::string(method), caller.ok() ? Describe(*caller) : "", status});
  return ToGrpc(status);
}

std::string_view MethodOf(const grpc::AuthMetadataProcessor::InputMetadata& metadata) {
  const auto found = metadata.find(":path");
  return found == metadata.end() ? std::string_view() : View(found->second);
}

}  // namespace virp::service
