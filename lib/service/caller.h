// From a gRPC call to the Identity behind it, and the check of every call against the authorization table before its
// handler runs. Thread-safe throughout.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/server_context.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/hash_map.h"
#include "lib/base/mutex.h"
#include "lib/service/authorization.h"
#include "lib/service/deny_list.h"
#include "lib/service/hand_over.h"
#include "lib/service/identity.h"

namespace virp::service {

class StreamGuard;

// Reads identities out of peer certificates. The certificate counts, nothing else: exactly one URI SAN, a strict SPIFFE
// id; the common name is never looked at. The certificate's signature was checked in the TLS handshake.
class CallerResolver {
 public:
  // `denied` may be null. `clock` outlives this object.
  CallerResolver(std::shared_ptr<const IdentityMap> identities, std::shared_ptr<const DenyList> denied,
                 const Clock& clock);
  ~CallerResolver();

  // Unauthenticated with reason NO_CERTIFICATE, BAD_IDENTITY (not exactly one URI SAN, or no SPIFFE id) or
  // CERTIFICATE_EXPIRED; PermissionDenied with reason UNKNOWN_IDENTITY (no role in the map) or IDENTITY_DENIED (on the
  // deny list). A call by the break-glass socket resolves to an operator of the name "break-glass".
  absl::StatusOr<Identity> Resolve(const grpc::ServerContextBase& context) const;
  absl::StatusOr<Identity> Resolve(const grpc::AuthContext& auth) const;
  absl::StatusOr<Identity> FromCertificate(std::string_view leaf_pem) const;

  // For an identity from above, later: still within its lifetime and not denied?
  absl::Status Recheck(const Identity& identity) const;

  // At the handshake, also of resumed sessions: refuses what is denied (any URI SAN, or the serial) or expired. What is
  // only malformed is let through to the first call, which can say why.
  absl::Status CheckHandshake(std::string_view leaf_pem) const;

  // Cancels the open streams whose callers do not pass Recheck any more, so that a handler that waits for its peer ends
  // too. Returns how many. The server's maintenance calls it each second.
  int CancelRevokedStreams() const;

 private:
  friend class StreamGuard;
  struct Streams;
  absl::StatusOr<Identity> Parse(std::string_view leaf_pem) const;

  const std::shared_ptr<const IdentityMap> identities_;
  const std::shared_ptr<const DenyList> denied_;
  const Clock& clock_;
  const std::unique_ptr<Streams> streams_;
  // A connection shows the same certificate with every call. Bounded; emptied when full.
  mutable Mutex mutex_;
  mutable StringMap<std::shared_ptr<const Identity>> parsed_ ABSL_GUARDED_BY(mutex_);
};

// Held by the handler of a stream for as long as the stream is open: the caller's certificate may expire or be denied
// meanwhile. Check() between messages; while the handler waits in Read or Write, CancelRevokedStreams ends the wait.
class StreamGuard {
 public:
  static constexpr std::chrono::seconds kInterval{60};

  // `resolver` and `context` outlive the guard; `context` may be null (then only Check ends the stream).
  StreamGuard(const CallerResolver& resolver, Identity identity, const grpc::ServerContextBase* context,
              std::chrono::nanoseconds interval = kInterval);
  ~StreamGuard();
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;

  // Unauthenticated or PermissionDenied when the stream must end. Cheap: looks at the deny list and the clock once an
  // interval, and remembers a refusal. For the handler's thread only.
  absl::Status Check();

  const Identity& identity() const { return identity_; }

 private:
  friend class CallerResolver;
  const CallerResolver& resolver_;
  const Identity identity_;
  const grpc::ServerContextBase* const context_;
  const std::chrono::nanoseconds interval_;
  std::chrono::steady_clock::time_point next_;
  absl::Status refused_;
};

// A call that was refused before its handler, for the log and a counter by reason. Strangers cause these at will: count
// each, log few. The method is "(connection)" when a cap closed it and "(handshake)" when its certificate did.
struct Refusal {
  std::string method;
  std::string caller;  // "role/name" or empty when not known
  absl::Status status;
};
using RefusalHook = std::function<void(const Refusal&)>;

// What a server needs to know to let callers in. `scopes` may be null when no method is scoped, `denied` when there is
// no deny list (it is the one that `callers` was made with), `on_refusal` when nobody wants to know.
struct Security {
  std::shared_ptr<const CallerResolver> callers;
  std::shared_ptr<const AuthorizationTable> table;
  std::shared_ptr<const ScopeRules> scopes;
  std::shared_ptr<DenyList> denied;
  RefusalHook on_refusal;
};

// Runs before every handler, those of unknown methods included. A refused call gets the status of CallerResolver or
// PermissionDenied with METHOD_DENIED or SCOPE_DENIED. gRPC carries no details from here, so unlike a handler's error
// it has no ErrorInfo: the message begins with the reason and a colon.
class CallAuthorizer final : public grpc::AuthMetadataProcessor {
 public:
  explicit CallAuthorizer(Security security) : security_(std::move(security)) { hand_over_.Made(); }
  ~CallAuthorizer() override { hand_over_.Gone(); }

  bool IsBlocking() const override { return false; }  // a map look-up; a certificate is parsed once per connection
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* auth, OutputMetadata* consumed,
                       OutputMetadata* response) override;

 private:
  const Security security_;
  HandOver hand_over_;
};

// The method of a call ("/package.Service/Method") from the metadata that AuthMetadataProcessor::Process gets.
std::string_view MethodOf(const grpc::AuthMetadataProcessor::InputMetadata& metadata);

}  // namespace virp::service
