// Carries a spool's frames to an O-Node, at least once, until its chain provably holds them: finds the leader, keeps
// within its limits, holds back sources whose frames are refused for a passing reason, audits checkpoints, frees the
// spool.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/chain/note.h"
#include "lib/deliver/connection.h"
#include "lib/deliver/frame_log.h"
#include "lib/frame/reason.h"

namespace virp::deliver {

struct DelivererOptions {
  std::string identity;                       // own SPIFFE id
  std::string origin;                         // chain to deliver to
  std::vector<std::string> addresses;         // O-Nodes, tried in order; the leader's address is followed
  std::vector<chain::VerifierKey> verifiers;  // pinned checkpoint keys: notes by others are a failed audit
  std::string state_directory;                // largest audited checkpoint, held frames, notes of a mismatch
  std::uint64_t held_frames =
      100'000;  // held back over all sources; beyond it nothing more is read and the spool fills
  std::chrono::milliseconds open_timeout{10'000};
  std::chrono::milliseconds backoff_min{100}, backoff_max{10'000};
  std::chrono::milliseconds retry_held{5'000};  // how soon frames that were held back are offered again
};

struct DelivererStatus {
  std::string connected_to;        // empty while not connected
  std::string problem;             // why delivery stands still; empty when it does not
  std::string audit_problem;       // what the audit found; while it stands nothing is freed
  std::uint64_t answered = 0;      // highest number answered
  std::uint64_t audited_size = 0;  // of the largest checkpoint that was checked
  std::uint64_t appended = 0, duplicates = 0, refused_lasting = 0, refused_passing = 0;
  std::vector<std::pair<std::string, std::uint64_t>> held;  // frames held back, by source
};

// What the owner wants to hear. Called on the deliverer's threads, one call at a time; must not call the deliverer.
class DeliveryObserver {
 public:
  virtual ~DeliveryObserver() = default;
  // Frames that were refused for good; their numbers will show as a gap.
  virtual void OnRefused(std::string_view source, frame::Reason reason) = 0;
  // A frame was refused for now, as over its source's limit; it is held and offered again.
  virtual void OnOverLimit(std::string_view /*source*/) {}
  // The chain does not hold what was acknowledged, or was rolled back: to be signed as an alarm. Once until it passes.
  virtual void OnAuditFailure(std::string_view what) = 0;
};

// Thread-safe. What it is given outlives it.
class Deliverer {
 public:
  static absl::StatusOr<std::unique_ptr<Deliverer>> Make(DelivererOptions options, FrameLog& spool,
                                                         Connector& connector, DeliveryObserver& observer,
                                                         const Clock& clock);
  ~Deliverer();  // Stop()

  void Start();
  // Ends the delivery at once; what was not freed is delivered again next time.
  void Stop();
  // Waits until all that is durable now is answered for good, or the deadline: for draining. True when it is.
  bool Flush(std::chrono::steady_clock::time_point deadline);
  DelivererStatus status() const;
  // Unavailable names the thread that stands still (lib/base/pulse.h); waiting for the O-Node, or for something to
  // deliver, is no standstill. Takes no lock.
  absl::Status CheckAlive() const;

 private:
  struct Impl;
  explicit Deliverer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace virp::deliver
