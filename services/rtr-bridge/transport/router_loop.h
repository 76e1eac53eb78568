// One thread that serves many routers: reads queries, writes answers, notifies, without ever waiting for one of them.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mutex.h"
#include "lib/base/pulse.h"
#include "lib/rtr/server_session.h"
#include "lib/service/logging.h"
#include "services/rtr-bridge/domain/session_log.h"
#include "services/rtr-bridge/transport/router_stream.h"

namespace virp::rtr_bridge {

// A connection that was let in.
struct NewRouter {
  std::unique_ptr<RouterStream> stream;
  SessionName name;
  std::string listener;
  rtr::ServerSessionOptions options;
  std::chrono::milliseconds handshake_timeout{10'000};
  std::shared_ptr<void> seat;  // let go when the connection has ended
};

// Of all routers of a process, over its life.
struct RouterCounters {
  std::atomic<std::uint64_t> opened{0}, closed{0};
  std::atomic<std::uint64_t> handshakes_failed{0};
  std::atomic<std::uint64_t> given_up{0};  // because they read too slowly
  std::atomic<std::uint64_t> bytes_in{0}, bytes_out{0};
  std::atomic<std::uint64_t> full_answers{0}, incremental_answers{0}, cache_resets{0}, unknown_session_resets{0};
  std::array<std::atomic<std::uint64_t>, rtr::kPduTypes> pdus_in{}, pdus_out{};
  std::array<std::atomic<std::uint64_t>, 16> errors_sent{}, errors_received{};  // by code; the last: any other
};

// Thread-safe but for Stop. What it is given outlives it.
class RouterLoop {
 public:
  // `most_pinned`: octets of sets served before that slow routers may keep in memory; beyond, those that have read for
  // longest are given up.
  static absl::StatusOr<std::unique_ptr<RouterLoop>> Start(SessionLog& log, RouterCounters& counters,
                                                           std::size_t most_pinned, const Clock& clock);
  ~RouterLoop();  // Stop: closes what is left at once

  void Add(NewRouter router);
  // Routers that are due hear of it at once.
  void Publish(std::shared_ptr<const rtr::Snapshot> snapshot);
  // Ends every session, with the report where a version has one, once what is queued has left or `patience` is over.
  void Shutdown(rtr::ErrorCode report);
  void Stop();

  std::size_t routers() const { return routers_.load(); }
  // How routers are: asks the loop's thread, which answers between two turns. Views(question) waits until `until`, then
  // gives what it knew last: nobody stands still with the thread. Several may ask at once.
  std::uint64_t AskForViews() const;
  std::vector<RouterView> Views(std::uint64_t question, std::chrono::steady_clock::time_point until) const;
  // Unavailable while the thread stands still.
  absl::Status CheckAlive() const { return CheckPulses({&pulse_}); }

 private:
  struct Connection;
  using Clocked = std::chrono::steady_clock::time_point;

  RouterLoop(SessionLog& log, RouterCounters& counters, std::size_t most_pinned, const Clock& clock);
  void Run(const std::stop_token& stop);
  void Wake() const;
  void TakeMail();
  void TakeSnapshot(std::shared_ptr<const rtr::Snapshot> snapshot);
  void GiveUpSlowest(Clocked now);
  void AnswerViews(std::uint64_t question);
  void Admit(NewRouter router);
  void OnReady(Connection& connection, std::uint32_t events);
  bool FinishOpening(Connection& connection);
  void Pump(Connection& connection);
  void ReadAll(Connection& connection);
  void Flush(Connection& connection);
  void EndWell(Connection& connection);
  void Tell(Connection& connection);
  void SetInterest(Connection& connection);
  void TickAll(Clocked now);
  void TickSession(Connection& connection, Clocked now);
  void Close(Connection& connection, std::string why);
  void Bury();
  RouterView ViewOf(const Connection& connection) const;

  SessionLog& log_;
  RouterCounters& counters_;
  const std::size_t most_pinned_;
  const Clock& clock_;
  service::LogLimiter handshakes_, errors_;  // of lines about them
  Pulse pulse_;
  FileDescriptor epoll_, wake_;
  std::atomic<std::size_t> routers_{0};

  struct Mail {
    std::vector<NewRouter> routers;
    std::shared_ptr<const rtr::Snapshot> snapshot;
    bool published = false;
    std::optional<rtr::ErrorCode> shutdown;
    std::uint64_t views_asked = 0;  // the newest question; 0: none
  };
  mutable Mutex mutex_;
  mutable Mail mail_ ABSL_GUARDED_BY(mutex_);
  mutable std::uint64_t asked_ ABSL_GUARDED_BY(mutex_) = 0;  // questions
  std::uint64_t answered_ ABSL_GUARDED_BY(mutex_) = 0;       // the newest that `views_` answers
  std::vector<RouterView> views_ ABSL_GUARDED_BY(mutex_);
  mutable std::condition_variable_any answer_;

  // The thread's own.
  std::shared_ptr<const rtr::Snapshot> snapshot_;
  bool shutting_down_ = false;
  int opens_left_ = 0;  // in this turn, of streams that open slowly
  rtr::ErrorCode report_{};
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;  // by socket
  std::vector<int> dead_;
  std::vector<char> buffer_;
  std::jthread thread_;
};

}  // namespace virp::rtr_bridge
