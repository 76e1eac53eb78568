// One open delivery, as the deliverer sees it; gRPC is behind it (grpc_connection.h), and fakes in tests.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/deliver/spool.h"
#include "lib/frame/reason.h"

namespace virp::deliver {

struct Hello {
  std::string identity;
  std::string origin;
  std::string checkpoint;  // largest audited note; empty for none
};

struct Welcome {
  std::size_t max_batch_frames = 0, max_batch_bytes = 0, max_unanswered_frames = 0;
  std::string checkpoint;         // empty when the chain has none yet
  std::vector<Hash> consistency;  // from Hello.checkpoint
  std::vector<Hash> frontier;     // at `checkpoint`
};

struct FrameResult {
  enum class Outcome : std::uint8_t { kAppended = 1, kDuplicate = 2, kRefused = 3 };
  std::uint64_t number = 0;
  Outcome outcome = Outcome::kRefused;
  std::uint64_t chain_sequence = 0;
  Hash leaf{};
  frame::Reason reason = frame::Reason::kNone;
  std::string entry_header{};  // of the entry that holds the frame
};
using Ack = std::vector<FrameResult>;

struct Inclusion {
  std::uint64_t chain_sequence = 0;
  std::vector<Hash> path;
};

struct CheckpointNotice {
  std::string note;
  std::uint64_t first = 0;
  std::vector<Hash> leaf_hashes;  // of entries first .. size; empty when there are too many
  std::vector<Hash> consistency;
  std::vector<Hash> frontier;
  std::vector<Inclusion> inclusions;
};

using ServerMessage = std::variant<Ack, CheckpointNotice>;

// Send and Receive are called from one thread each; Cancel from any.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual absl::StatusOr<Welcome> Open(const Hello& hello, std::chrono::milliseconds timeout) = 0;
  virtual absl::Status Send(const std::vector<Spool::SpooledFrame>& batch) = 0;
  // Blocks for the next message. The stream's final status when it ended; OK streams end with Unavailable.
  virtual absl::StatusOr<ServerMessage> Receive() = 0;
  virtual void Cancel() = 0;
};

class Connector {
 public:
  virtual ~Connector() = default;
  virtual absl::StatusOr<std::unique_ptr<Connection>> Connect(const std::string& address) = 0;
};

}  // namespace virp::deliver
