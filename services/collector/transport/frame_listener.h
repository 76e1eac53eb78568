// Listens for producers of signed frames on a Unix socket or TCP: off until configured, with an allow list and caps,
// and on TCP inside TLS when the configuration says so. One thread for each connection.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "lib/frame/stream.h"
#include "lib/service/caller.h"
#include "lib/service/logging.h"
#include "lib/service/tls_stream.h"
#include "services/collector/domain/frame_intake.h"

namespace virp::collector {

struct ConnectionCaps {
  std::size_t all = 1'000;
  std::size_t per_address = 16;
};

// For listeners with `tls`.
struct ListenerTls {
  service::TlsFiles files;
  std::shared_ptr<const service::CallerResolver>
      callers;  // reads the identities of clients; denied and expired ones stay out
  std::chrono::nanoseconds handshake_timeout = std::chrono::seconds(10);
  std::chrono::nanoseconds recheck = std::chrono::seconds(60);  // of open connections: expired or denied meanwhile?
};

struct ListenerCounters {
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> refused{0};  // at the door: address, user, caps, or a source that has its connection
  std::atomic<std::uint64_t> refused_by_tls{0};  // handshake or identity
  std::atomic<std::uint64_t> frames{0};
  std::atomic<std::uint64_t> duplicates{0};
  std::atomic<std::uint64_t> ended_by_error{0};  // after they were let in
};

// Thread-safe. What it is given outlives it.
class FrameListener {
 public:
  // InvalidArgument for a wrong address or TLS files, or `tls` missing where the options ask for it; Unavailable when
  // it cannot be listened on. A Unix socket is made with mode 0660 in a folder that must be there; a stale one is
  // removed.
  static absl::StatusOr<std::unique_ptr<FrameListener>> Start(FrameIntake& intake, Outbox& outbox, Liveness& liveness,
                                                              const Clock& clock, const ListenerTls* tls = nullptr,
                                                              ConnectionCaps caps = {});
  ~FrameListener();  // Stop

  // Ends every connection; the counters stay. Once.
  void Stop();

  int port() const { return port_; }  // TCP: the port that is really open
  const ListenerCounters& counters() const { return counters_; }
  const FrameListenerOptions& options() const { return intake_.options(); }
  std::size_t connections() const { return open_; }

 private:
  struct Peer;

  FrameListener(FrameIntake& intake, Outbox& outbox, Liveness& liveness, const Clock& clock, ConnectionCaps caps);
  absl::Status Listen();
  absl::Status ListenUnix(const std::string& path);
  absl::Status SetUpTls(const ListenerTls* tls);
  void Accept(const std::stop_token& stop);
  bool AcceptOne();
  absl::StatusOr<std::string> AdmitUser(int socket) const;
  absl::Status AdmitAddress(const std::string& address) const;
  void Reap();
  bool TakeTurn(Peer& peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run(const std::stop_token& stop, Peer& peer);
  absl::Status Secure(Peer& peer);
  absl::Status Serve(const std::stop_token& stop, Peer& peer);
  absl::Status TakeAll(frame::FrameSplitter& splitter, const std::stop_token& stop, std::set<std::string>& told);
  void Tell(const std::string& source, std::set<std::string>& told);
  void Forget(const std::set<std::string>& told);
  void Log(std::string_view what, const absl::Status& why, const Peer& peer);

  FrameIntake& intake_;
  Outbox& outbox_;
  Liveness& liveness_;
  const Clock& clock_;
  const ConnectionCaps caps_;
  std::optional<ListenerTls> tls_;
  std::unique_ptr<service::TlsAcceptor> acceptor_tls_;
  service::LogLimiter log_limit_{std::chrono::seconds(1), 20, clock_};
  FileDescriptor listening_;
  std::string unix_path_;
  int port_ = 0;
  ListenerCounters counters_;
  std::atomic<std::size_t> open_{0};
  Mutex mutex_;
  std::vector<std::unique_ptr<Peer>> peers_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> speakers_ ABSL_GUARDED_BY(mutex_);  // connections that brought frames of a source
  std::jthread acceptor_;
};

}  // namespace virp::collector
