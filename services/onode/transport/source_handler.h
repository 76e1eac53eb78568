// SourceService of the O-Node: every change is an entry that the O-Node signs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/service/caller.h"
#include "services/onode/domain/node.h"
#include "virp/source/v1/source_service.grpc.pb.h"

namespace virp::onode {

// Thread-safe; what it is given outlives it.
class SourceHandler final : public source::v1::SourceService::Service {
 public:
  SourceHandler(Node& node, std::shared_ptr<const service::CallerResolver> callers,
                std::shared_ptr<const service::ScopeRules> scopes, const Clock& clock)
      : node_(node), callers_(std::move(callers)), scopes_(std::move(scopes)), clock_(clock) {}

  grpc::Status RegisterSource(grpc::ServerContext*, const source::v1::RegisterSourceRequest*,
                              source::v1::RegisterSourceResponse*) override;
  grpc::Status UpdateSource(grpc::ServerContext*, const source::v1::UpdateSourceRequest*,
                            source::v1::UpdateSourceResponse*) override;
  grpc::Status GetSource(grpc::ServerContext*, const source::v1::GetSourceRequest*,
                         source::v1::GetSourceResponse*) override;
  grpc::Status ListSources(grpc::ServerContext*, const source::v1::ListSourcesRequest*,
                           source::v1::ListSourcesResponse*) override;
  grpc::Status SuspendSource(grpc::ServerContext*, const source::v1::SuspendSourceRequest*,
                             source::v1::SuspendSourceResponse*) override;
  grpc::Status ResumeSource(grpc::ServerContext*, const source::v1::ResumeSourceRequest*,
                            source::v1::ResumeSourceResponse*) override;
  grpc::Status MarkBlack(grpc::ServerContext*, const source::v1::MarkBlackRequest*,
                         source::v1::MarkBlackResponse*) override;
  grpc::Status ClearAlarm(grpc::ServerContext*, const source::v1::ClearAlarmRequest*,
                          source::v1::ClearAlarmResponse*) override;
  grpc::Status ResetSourceEpoch(grpc::ServerContext*, const source::v1::ResetSourceEpochRequest*,
                                source::v1::ResetSourceEpochResponse*) override;
  grpc::Status AdmitLate(grpc::ServerContext*, const source::v1::AdmitLateRequest*,
                         source::v1::AdmitLateResponse*) override;
  grpc::Status ListQuarantine(grpc::ServerContext*, const source::v1::ListQuarantineRequest*,
                              source::v1::ListQuarantineResponse*) override;

 private:
  // Who asks for a change, of what, and whether it is allowed.
  struct Change {
    Chain* chain = nullptr;
    std::string by;
    std::chrono::nanoseconds timeout{};
  };
  absl::StatusOr<Change> Begin(const grpc::ServerContext& context, const std::string& origin, const std::string& source,
                               const std::string& request_id, const std::string& reason, bool reason_required) const;
  // A source event of one source: suspension, resumption, epoch reset, late admission.
  template <typename Request>
  absl::StatusOr<std::uint64_t> EnterEvent(const grpc::ServerContext& context, const Request& request,
                                           chain::SourceEvent event) const;
  absl::StatusOr<std::uint64_t> EnterRegistration(const grpc::ServerContext& context,
                                                  const source::v1::RegisterSourceRequest& request) const;
  absl::StatusOr<std::uint64_t> EnterUpdate(const grpc::ServerContext& context,
                                            const source::v1::UpdateSourceRequest& request) const;
  absl::StatusOr<std::uint64_t> EnterBlack(const grpc::ServerContext& context,
                                           const source::v1::MarkBlackRequest& request) const;
  absl::Status Clear(const grpc::ServerContext& context, const source::v1::ClearAlarmRequest& request,
                     source::v1::ClearAlarmResponse& response) const;
  absl::StatusOr<source::v1::Source> Describe(const std::string& origin, const std::string& name) const;

  Node& node_;
  const std::shared_ptr<const service::CallerResolver> callers_;
  const std::shared_ptr<const service::ScopeRules> scopes_;
  const Clock& clock_;
};

}  // namespace virp::onode
