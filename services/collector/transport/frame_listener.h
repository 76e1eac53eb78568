// Listens for producers of signed frames on a Unix socket or TCP: off until configured, with an allow list and caps,
// and on TCP inside TLS when the configuration says so. One thread for each connection.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
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

// How often, by reason; whatever is not in the list counts under its last, OTHER.
template <std::size_t N>
class ReasonCounts {
 public:
  explicit constexpr ReasonCounts(const std::array<std::string_view, N>& reasons) : reasons_(reasons) {}
  void Count(std::string_view reason) {
    const auto at = std::find(reasons_.begin(), reasons_.end() - 1, reason);
    ++counts_[static_cast<std::size_t>(at - reasons_.begin())];
  }
  const std::array<std::string_view, N>& reasons() const { return reasons_; }
  std::uint64_t count(std::size_t i) const { return counts_.at(i); }
  std::uint64_t count(std::string_view reason) const {
    const auto at = std::find(reasons_.begin(), reasons_.end(), reason);
    return at == reasons_.end() ? 0 : count(static_cast<std::size_t>(at - reasons_.begin()));
  }

 private:
  const std::array<std::string_view, N>& reasons_;
  std::array<std::atomic<std::uint64_t>, N> counts_{};
};

// Why connections are closed at the door, and why they are ended after they were let in.
inline constexpr std::array<std::string_view, 6> kDoorReasons{"ADDRESS_NOT_ALLOWED",  "USER_NOT_ALLOWED",
                                                              "TOO_MANY_CONNECTIONS", "TOO_MANY_FROM_ADDRESS",
                                                              "SECOND_CONNECTION",    "OTHER"};
inline constexpr std::array<std::string_view, 11> kEndReasons{
    "MALFORMED",   "TOO_LARGE",         "TOO_SLOW", "BAD_TAG", "KEY_VERSION_UNKNOWN", "SOURCE_UNKNOWN", "REPLAYED",
    "EPOCH_AHEAD", "SECOND_CONNECTION", "DENIED",   "OTHER"};

struct ListenerCounters {
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> refused{0};         // at the door
  std::atomic<std::uint64_t> refused_by_tls{0};  // handshake or identity
  std::atomic<std::uint64_t> frames{0};
  std::atomic<std::uint64_t> duplicates{0};
  std::atomic<std::uint64_t> ended_by_error{0};  // after they were let in
  ReasonCounts<kDoorReasons.size()> refused_by{kDoorReasons};
  ReasonCounts<kEndReasons.size()> ended_by{kEndReasons};
};

// Thread-safe. What it is given outlives it.
class FrameListener {
 public:
  // InvalidArgument for a wrong address or TLS files, or `tls` missing where the options ask for it; Unavailable when
  // it cannot be listened on. A Unix socket is made with mode 0660 in a folder that must be there; a stale one is
  // removed.
  static absl::StatusOr<std::unique_ptr<FrameListener>> Start(FrameIntake& intake, deliver::Outbox& outbox,
                                                              Liveness& liveness, const Clock& clock,
                                                              const ListenerTls* tls = nullptr,
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

  FrameListener(FrameIntake& intake, deliver::Outbox& outbox, Liveness& liveness, const Clock& clock,
                ConnectionCaps caps);
  absl::Status Listen();
  absl::Status ListenUnix(const std::string& path);
  absl::Status SetUpTls(const ListenerTls* tls);
  void Accept(const std::stop_token& stop);
  bool AcceptOne();
  absl::StatusOr<std::string> AdmitUser(int socket) const;
  absl::Status AdmitAddress(const std::string& address) const;
  void Reap() ABSL_LOCKS_EXCLUDED(mutex_);
  bool one_speaker() const { return options().spelling != frame::Spelling::kV2; }
  Peer* SpeakerBeside(const Peer& peer) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckRoom(const Peer& peer) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status AwaitTurn(const Peer& peer, const std::stop_token& stop);
  void Run(const std::stop_token& stop, Peer& peer);
  absl::Status Secure(Peer& peer);
  absl::Status Serve(const std::stop_token& stop, Peer& peer);
  absl::Status TakeAll(Peer& peer, frame::FrameSplitter& splitter, const std::stop_token& stop);
  void Tell(Peer& peer, const std::string& source);
  void Forget(const std::set<std::string>& told);
  absl::Status Unreadable(const Peer& peer, absl::Status why) const;
  void Log(std::string_view what, const absl::Status& why, const Peer& peer);

  FrameIntake& intake_;
  deliver::Outbox& outbox_;
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
