// A router's side of RTR with its connection: asks a cache, over as many connections as that takes.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <stop_token>

#include "absl/status/status.h"
#include "lib/rtr/client_session.h"
#include "tools/virpctl/rtr_link.h"

namespace virp::virpctl {

struct RtrClientOptions {
  RtrPlace place;  // a cache
  RtrAccess access;
  rtr::ClientSessionOptions session;               // its versions are those of `access`
  std::chrono::milliseconds timeout{10'000};       // for a connection, and without a byte
  std::chrono::milliseconds patience{300'000};     // for one answer, whatever comes
  std::size_t max_bytes = std::size_t{512} << 20;  // of one answer: 25 million IPv4 VRPs
};

// For one thread.
class RtrClient {
 public:
  explicit RtrClient(RtrClientOptions options);

  // Asks for what is new, or for everything, and returns when the table is complete. Connects when there is no
  // connection any more, and again in a lower version as the cache wants it. Errors: those of the connection;
  // DeadlineExceeded; Unavailable when the cache has no data, closes, or reports an error; Aborted when it breaks the
  // protocol; ResourceExhausted beyond max_bytes. What was there before stays in session() unless the cache said
  // otherwise.
  absl::Status Refresh(const std::stop_token& stop = {});
  void Close();  // the session's data stay

  const rtr::ClientSession& session() const { return session_; }

 private:
  absl::Status Connect(Deadline deadline);
  absl::Status Answer(Deadline deadline, const std::stop_token& stop);
  absl::Status Step(Deadline deadline, Deadline& heard);
  absl::Status Send();

  const RtrClientOptions options_;
  rtr::ClientSession session_;
  std::unique_ptr<RtrLink> link_;
  std::unique_ptr<std::array<char, 256 << 10>> buffer_;
};

}  // namespace virp::virpctl
