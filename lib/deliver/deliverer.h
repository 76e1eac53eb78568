// Carries a spool's frames to an O-Node, at least once, until its chain provably holds them: finds the leader, keeps within its
// limits, holds back sources whose frames are refused for a passing reason, audits checkpoints, frees the spool.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/chain/note.h"
#include "lib/deliver/spool.h"
#include "lib/frame/reason.h"

namespace virp::deliver {

// One open delivery to one O-Node. The gRPC one is in grpc_connection.h; tests have their own.
struct DeliveredResult {
  enum class Outcome : std::uint8_t { kAppended = 1, kDuplicate = 2, kRefused = 3 };
  std::uint64_t number = 0;
  Outcome outcome = Outcome::kRefused;
  std::uint64_t chain_sequence = 0;
  Hash leaf{};
  frame::Reason reason = frame::Reason::kNone;
};
struct InclusionSample {
  std::uint64_t chain_sequence = 0;
  std::vector<Hash> path;
};
struct CheckpointNotice {
  std::string note;
  std::vector<Hash> consistency;       // from the checkpoint before
  std::vector<InclusionSample> samples;
};
struct DeliveryLimits {
  std::size_t batch_frames = 0, batch_bytes = 0, unanswered_frames = 0;
};

struct DelivererOptions {
  std::string identity;                // own SPIFFE id
  std::string origin;                  // chain to deliver to
  std::vector<std::string> addresses;  // O-Nodes, tried in order; the leader's address is followed
  std::vector<chain::VerifierKey> verifiers;  // pinned checkpoint keys: notes by others are a failed audit
  std::string state_directory;         // largest audited checkpoint, held frames, notes of a mismatch
  std::uint64_t held_frames = 100'000; // held back over all sources; beyond it the spool is not freed and fills
  std::chrono::milliseconds backoff_min{100}, backoff_max{10'000};
};

struct DelivererStatus {
  std::string connected_to;            // empty while not connected
  std::string problem;                 // why delivery stands still; empty when it does not
  std::string audit_problem;           // what the audit found; while it stands nothing is freed
  std::uint64_t answered = 0;          // highest number answered
  std::uint64_t audited_size = 0;      // of the largest checkpoint that was checked
  std::uint64_t appended = 0, duplicates = 0, refused_lasting = 0, refused_passing = 0;
  std::vector<std::pair<std::string, std::uint64_t>> held;  // frames held back, by source
};

// What the owner wants to hear. Called on the deliverer's thread.
class DeliveryObserver {
 public:
  virtual ~DeliveryObserver() = default;
  virtual void OnRefused(std::string_view source, frame::Reason reason, std::uint64_t count) = 0;  // lasting only
  // The O-Node's chain does not hold what it acknowledged, or was rolled back: an alarm to be signed by the owner.
  virtual void OnAuditFailure(std::string_view what, std::string_view note_before, std::string_view note_now) = 0;
};

}  // namespace virp::deliver
