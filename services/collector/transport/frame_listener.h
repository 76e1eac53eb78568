// Listens for producers of signed frames on a Unix socket or TCP: plaintext protocols, off until configured, with an allow
// list and caps. One thread for each connection.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "lib/frame/stream.h"
#include "services/collector/domain/frame_intake.h"

namespace virp::collector {

struct ConnectionCaps {
  std::size_t all = 1'000;
  std::size_t per_address = 16;
};

struct ListenerCounters {
  std::atomic<std::uint64_t> accepted{0}, refused{0}, frames{0}, duplicates{0}, ended_by_error{0};
};

// Thread-safe. What it is given outlives it.
class FrameListener {
 public:
  // InvalidArgument for a wrong address; Unavailable when it cannot be listened on. A Unix socket is made with mode 0660 in a
  // folder that must be there; a stale one is removed.
  static absl::StatusOr<std::unique_ptr<FrameListener>> Start(FrameIntake& intake, Outbox& outbox, Liveness& liveness, const Clock& clock,
                                                              ConnectionCaps caps = {});
  ~FrameListener();  // ends every connection

  int port() const { return port_; }  // TCP: the port that is really open
  const ListenerCounters& counters() const { return counters_; }

 private:
  struct Peer {
    std::string address;               // of TCP; "uid N" of a Unix socket
    FileDescriptor socket;
    std::jthread thread;
    std::atomic<bool> done{false};
  };

  FrameListener(FrameIntake& intake, Outbox& outbox, Liveness& liveness, const Clock& clock, ConnectionCaps caps)
      : intake_(intake), outbox_(outbox), liveness_(liveness), clock_(clock), caps_(caps) {}
  absl::Status Listen();
  absl::Status ListenUnix(const std::string& path);
  absl::Status ListenTcp(const std::string& address);
  void Accept(const std::stop_token& stop);
  absl::StatusOr<std::string> Admit(int socket) const;
  void Reap();
  void Serve(const std::stop_token& stop, Peer& peer);
  absl::Status TakeAll(frame::FrameSplitter& splitter, const std::stop_token& stop, bool& told);

  FrameIntake& intake_;
  Outbox& outbox_;
  Liveness& liveness_;
  const Clock& clock_;
  const ConnectionCaps caps_;
  FileDescriptor listening_;
  std::string unix_path_;
  int port_ = 0;
  ListenerCounters counters_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Peer>> peers_ ABSL_GUARDED_BY(mutex_);
  std::jthread acceptor_;
};

}  // namespace virp::collector
