// BMP into the outbox: listeners, dialled routers, their sessions, and the thread that serves them all. Plaintext
// protocols: off until routers are configured, and whoever is not one of them is closed at once.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/units.h"
#include "services/collector/domain/bmp_batch.h"
#include "services/collector/domain/bmp_options.h"
#include "services/collector/domain/bmp_router.h"
#include "services/collector/domain/bmp_session.h"
#include "services/collector/domain/bmp_table.h"
#include "services/collector/domain/liveness.h"
#include "services/collector/transport/bmp_dialer.h"

namespace virp::collector {

struct BmpIngestOptions {
  BmpOptions bmp;
  std::vector<HostPort> listen;  // addresses, no names; port 0 is any
  std::size_t max_connections = 1'000;
  std::size_t max_per_address = 16;
  std::chrono::nanoseconds initiation_timeout = std::chrono::seconds(10);  // also of a connect that is under way
};

struct BmpIngestCounters {
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> unknown_senders{0};  // no router has that address, or none its sysName
  std::atomic<std::uint64_t> over_cap{0};
  std::atomic<std::uint64_t> second_sessions{0};
  std::atomic<std::uint64_t> ended_by_error{0};
  std::atomic<std::uint64_t> dials_failed{0};
  std::atomic<std::uint64_t> bytes{0};
};

// Thread-safe. Memory: what the tables' bounds allow, at most 128 KiB a connection, and one batch of observations.
class BmpIngest {
 public:
  // The options must hold (CheckBmpOptions; Start says so).
  BmpIngest(BmpIngestOptions options, const Clock& clock);
  ~BmpIngest();  // Stop

  // To be given to Outbox::Open before Start.
  deliver::OutboxState& state() { return tables_; }

  // InvalidArgument for wrong options, Unavailable where an address cannot be listened on. Both outlive Stop.
  absl::Status Start(deliver::Outbox& outbox, Liveness& liveness);
  // Ends all sessions; says of no peer that it is down. What the spool did not take is kept by the next snapshot.
  void Stop();

  std::vector<int> ports() const { return ports_; }  // of the listeners, in order
  std::vector<BmpRouterStatus> Status() const;
  // Under the tables' lock, in the order of the configuration: must not call back.
  void ForEachRouter(const std::function<void(const BmpRouter&)>& visit) const;
  const BmpIngestCounters& counters() const { return counters_; }
  std::size_t connections() const { return connection_count_; }
  // Peers, and with `tables` all paths, are said again. NotFound for a source without router.
  absl::Status Restate(std::string_view source, bool tables);
  // A frame of that source is lost for good: it restates, at a bounded pace. Nothing for a source without router.
  void LostFrame(std::string_view source);

 private:
  struct Connection;
  struct Router;

  void Run();
  void Accept(int listening);
  void Dial(Router& router);
  void Serve(Connection& connection, std::uint32_t events);
  void Read(Connection& connection);
  void Close(Connection& connection, const absl::Status& why);
  void Tick();
  void TellLiveness();
  void SyncLoop(const std::stop_token& stop);
  void Watch(int socket, std::uint32_t events, std::uint64_t id, bool change = false) const;

  const BmpIngestOptions options_;
  const Clock& clock_;
  BmpTables tables_;
  deliver::Outbox* outbox_ = nullptr;
  Liveness* liveness_ = nullptr;
  std::atomic<bool> stopping_{false};
  std::unique_ptr<BmpBatch> batch_;
  std::vector<std::unique_ptr<Router>> routers_;
  FileDescriptor epoll_;
  std::vector<FileDescriptor> listeners_;
  std::vector<int> ports_;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;  // by id, only used by the thread
  std::vector<std::uint64_t> closed_;
  std::atomic<std::size_t> connection_count_{0};
  std::uint64_t next_id_ = 0;
  std::string buffer_;
  std::atomic<std::uint64_t> to_sync_{0};
  BmpIngestCounters counters_;
  std::jthread thread_, syncer_;
};

}  // namespace virp::collector
