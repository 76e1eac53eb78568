// One BMP connection: until its Initiation says whose it is, nothing is believed of it; from then on it is a router's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/bmp/session.h"
#include "services/collector/domain/bmp_router.h"

namespace virp::collector {

// Finds the router that a new connection belongs to.
class BmpBinder {
 public:
  virtual ~BmpBinder() = default;
  // PermissionDenied (unknown sender), AlreadyExists (the router has a session). Otherwise the router is Connected.
  virtual absl::StatusOr<BmpRouter*> Bind(const bmp::Initiation& initiation) = 0;
};

inline constexpr std::size_t kMaxInitiation = 16'384;

// Not thread-safe. Tells the router when it ends.
class BmpSession final : private bmp::SessionVisitor {
 public:
  explicit BmpSession(BmpBinder& binder) : binder_(binder) {}
  ~BmpSession() override;
  BmpSession(const BmpSession&) = delete;
  BmpSession& operator=(const BmpSession&) = delete;

  // The next bytes of the connection. Any error: it must end.
  absl::Status Feed(std::string_view bytes);
  BmpRouter* router() const { return router_; }  // null before the Initiation
  bool terminated() const { return terminated_; }

 private:
  absl::Status FeedInitiation(std::string_view& bytes);

  void OnInitiation(const bmp::Initiation& message) override;
  void OnTermination(const bmp::Termination&) override { terminated_ = true; }
  void OnPeerUp(const bmp::PeerUp& message) override { router_->PeerUp(message); }
  void OnPeerDown(const bmp::PeerDown& message) override { router_->PeerDown(message); }
  void OnRoutes(const bmp::PeerHeader& peer, bmp::Rib rib, const bmp::Update& update) override {
    router_->Routes(peer, rib, update);
  }
  void OnEndOfRib(const bmp::PeerHeader& peer, bmp::Rib rib, bmp::AfiSafi family) override {
    router_->EndOfRib(peer, rib, family);
  }
  void OnStatistics(const bmp::StatisticsReport&) override { router_->Statistics(); }
  void OnMirroring(const bmp::RouteMirroring& message) override { router_->Mirroring(message); }
  void OnSkipped(const bmp::Skipped& skipped) override { router_->Skipped(skipped); }

  BmpBinder& binder_;
  std::string head_;  // the front of the Initiation
  std::string sys_name_;
  BmpRouter* router_ = nullptr;
  std::optional<bmp::SessionDecoder> decoder_;
  absl::Status violation_;
  bool terminated_ = false;
};

}  // namespace virp::collector
