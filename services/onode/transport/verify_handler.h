// VerifyService of the O-Node.
#pragma once

#include <map>
#include <memory>

#include "lib/base/mutex.h"
#include "lib/base/token_bucket.h"
#include "lib/service/caller.h"
#include "services/onode/domain/node.h"
#include "services/onode/domain/replay.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::onode {

// Thread-safe; what it is given outlives it.
class VerifyHandler final : public verify::v1::VerifyService::Service {
 public:
  VerifyHandler(Node& node, std::shared_ptr<const service::CallerResolver> callers, const Clock& clock)
      : node_(node), callers_(std::move(callers)), clock_(clock) {}

  grpc::Status VerifyClaim(grpc::ServerContext*, const verify::v1::VerifyClaimRequest*,
                           verify::v1::VerifyClaimResponse*) override;
  grpc::Status VerifyClaims(grpc::ServerContext*, const verify::v1::VerifyClaimsRequest*,
                            verify::v1::VerifyClaimsResponse*) override;
  grpc::Status WatchClaim(grpc::ServerContext*, const verify::v1::WatchClaimRequest*,
                          grpc::ServerWriter<verify::v1::WatchClaimResponse>*) override;
  grpc::Status VerifyFrame(grpc::ServerContext*, const verify::v1::VerifyFrameRequest*,
                           verify::v1::VerifyFrameResponse*) override;
  grpc::Status GetSubject(grpc::ServerContext*, const verify::v1::GetSubjectRequest*,
                          verify::v1::GetSubjectResponse*) override;
  grpc::Status ListSubjects(grpc::ServerContext*, const verify::v1::ListSubjectsRequest*,
                            verify::v1::ListSubjectsResponse*) override;
  grpc::Status ListObservations(grpc::ServerContext*, const verify::v1::ListObservationsRequest*,
                                verify::v1::ListObservationsResponse*) override;
  grpc::Status WatchObservations(grpc::ServerContext*, const verify::v1::WatchObservationsRequest*,
                                 grpc::ServerWriter<verify::v1::WatchObservationsResponse>*) override;

 private:
  // What a claim is asked at: which chain, at which size and time.
  struct Setting {
    Chain* chain = nullptr;
    std::uint64_t at_size = 0;  // 0: now
    UnixNanos now = 0;
    bool proofs = true;
    std::chrono::steady_clock::time_point deadline;
  };
  template <typename Request>
  absl::StatusOr<Setting> SettingOf(const grpc::ServerContext& context, const Request& request) const;
  absl::StatusOr<verify::v1::ClaimAnswer> Ask(const Setting& setting, const verify::v1::Claim& claim,
                                              const std::string& field, const verify::v1::Acceptance& acceptance);
  absl::StatusOr<Answer> EvaluateAt(const Setting& setting, const Claim& claim, const Acceptance& acceptance);
  absl::Status Watch(grpc::ServerContext& context, const verify::v1::WatchClaimRequest& request,
                     grpc::ServerWriter<verify::v1::WatchClaimResponse>& writer);
  absl::Status CheckFrame(grpc::ServerContext& context, const verify::v1::VerifyFrameRequest& request,
                          verify::v1::VerifyFrameResponse& response);
  ReplayCache& ReplaysOf(const std::string& origin);
  absl::Status TakeToken(const std::string& caller);

  Node& node_;
  const std::shared_ptr<const service::CallerResolver> callers_;
  const Clock& clock_;
  Mutex mutex_;
  std::map<std::string, std::unique_ptr<ReplayCache>> replays_ ABSL_GUARDED_BY(mutex_);  // by origin
  std::map<std::string, TokenBucket> frame_checks_ ABSL_GUARDED_BY(mutex_);  // by identity; identities are few
};

}  // namespace virp::onode
