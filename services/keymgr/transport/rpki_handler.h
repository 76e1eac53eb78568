// RpkiService of the key manager.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/service/authorization.h"
#include "lib/service/caller.h"
#include "services/keymgr/domain/expiry_watch.h"
#include "services/keymgr/domain/publication_keeper.h"
#include "services/keymgr/domain/router_key_feed.h"
#include "services/keymgr/domain/rpki_authority.h"
#include "services/keymgr/transport/stream_places.h"
#include "virp/keymgr/v1/rpki.grpc.pb.h"

namespace virp::keymgr {

// Its rows of the access table.
std::vector<service::MethodRule> RpkiAccess();

// What the handler shows. All outlive it.
struct RpkiParts {
  RpkiAuthority& authority;
  const RouterKeyFeed& feed;
  const ExpiryWatch& expiry;
  const PublicationKeeper& keeper;
  // Whether what is here may be told: this manager leads, and its state is what the chain says.
  std::function<absl::Status()> readable;
};

// Thread-safe.
class RpkiHandler final : public v1::RpkiService::Service {
 public:
  static constexpr int kMostWatchers = 32;  // a thread each, of the server's 256
  static constexpr int kMostOfOne = 8;      // by one caller

  RpkiHandler(RpkiParts parts, std::shared_ptr<const service::CallerResolver> callers, const Clock& clock)
      : parts_(std::move(parts)), callers_(std::move(callers)), clock_(clock) {}

  // Ends watch streams, so that the server can end; none is begun any more.
  void Drain();
  std::size_t watchers() const { return places_.taken(); }

  grpc::Status SetUpAuthority(grpc::ServerContext*, const v1::SetUpAuthorityRequest*,
                              v1::SetUpAuthorityResponse*) override;
  grpc::Status GetTrustAnchor(grpc::ServerContext*, const v1::GetTrustAnchorRequest*,
                              v1::GetTrustAnchorResponse*) override;
  grpc::Status GetPublication(grpc::ServerContext*, const v1::GetPublicationRequest*,
                              v1::GetPublicationResponse*) override;
  grpc::Status PublishNow(grpc::ServerContext*, const v1::PublishNowRequest*, v1::PublishNowResponse*) override;
  grpc::Status RollAuthority(grpc::ServerContext*, const v1::RollAuthorityRequest*,
                             v1::RollAuthorityResponse*) override;
  grpc::Status WatchRouterKeys(grpc::ServerContext*, const v1::WatchRouterKeysRequest*,
                               grpc::ServerWriter<v1::WatchRouterKeysResponse>*) override;
  grpc::Status ExportRouterKeys(grpc::ServerContext*, const v1::ExportRouterKeysRequest*,
                                grpc::ServerWriter<v1::ExportRouterKeysResponse>*) override;
  grpc::Status ListExpiringCertificates(grpc::ServerContext*, const v1::ListExpiringCertificatesRequest*,
                                        v1::ListExpiringCertificatesResponse*) override;
  grpc::Status AcknowledgeExpiry(grpc::ServerContext*, const v1::AcknowledgeExpiryRequest*,
                                 v1::AcknowledgeExpiryResponse*) override;
  grpc::Status ExportExpiryCalendar(grpc::ServerContext*, const v1::ExportExpiryCalendarRequest*,
                                    v1::ExportExpiryCalendarResponse*) override;

 private:
  absl::Status Fill(v1::TrustAnchor& to) const;
  absl::Status SetUp(const grpc::ServerContext& context, const v1::SetUpAuthorityRequest& request,
                     v1::SetUpAuthorityResponse& response);
  absl::Status Watch(grpc::ServerContext& context, const v1::WatchRouterKeysRequest& request,
                     grpc::ServerWriter<v1::WatchRouterKeysResponse>& writer);
  absl::Status Export(const v1::ExportRouterKeysRequest& request,
                      grpc::ServerWriter<v1::ExportRouterKeysResponse>& writer) const;
  absl::Status List(const v1::ListExpiringCertificatesRequest& request,
                    v1::ListExpiringCertificatesResponse& response) const;

  const RpkiParts parts_;
  const std::shared_ptr<const service::CallerResolver> callers_;
  const Clock& clock_;
  StreamPlaces places_{kMostWatchers, kMostOfOne};
  std::atomic<bool> draining_{false};
};

}  // namespace virp::keymgr
