// Keeps the cache's sources current: one thread for each, that reads when it is time, when it is told to, and when the
// file has changed.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/file_watch.h"
#include "lib/base/mutex.h"
#include "lib/service/access.h"
#include "services/rtr-bridge/domain/cache.h"
#include "services/rtr-bridge/transport/source_options.h"
#include "services/rtr-bridge/transport/source_reader.h"

namespace virp::rtr_bridge {

struct SlurmFiles {
  std::vector<std::string> paths;
  std::chrono::milliseconds retry{30'000};  // of files that could not be read: permissions are no change of a file
};

// How sources that are services are reached; null where none is configured.
struct FeedChannels {
  service::ChannelFactory key_manager, bridge;
};

// Why a reading failed: the whole list, for metrics.
inline constexpr std::array<std::string_view, 11> kFailures{"UNREACHABLE",  // no connection, or it broke off
                                                            "TOO_SLOW",     // stalled, or not done in time
                                                            "TLS",          // the server's certificate
                                                            "HTTP_STATUS",  // neither 200 nor 304
                                                            "REDIRECT",     // too many, or from https to http
                                                            "FILE",         // not there, not readable
                                                            "TOO_LARGE",   "BAD_DATA", "BAD_SIGNATURE",
                                                            "TOO_OLD",  // or without a time at all
                                                            "OTHER"};
std::size_t FailureIndexOf(const absl::Status& status);

struct SourceCounters {
  std::atomic<std::uint64_t> good{0}, unchanged{0}, failed{0};
  std::array<std::atomic<std::uint64_t>, kFailures.size()> failures{};
  std::atomic<UnixNanos> changed{0};  // when its data were last other ones; 0: never yet
};

// Thread-safe but for Start and Stop.
class SourceRunner {
 public:
  // `cache`, `clock` outlive it. Errors of MakeReader, with the source's name.
  static absl::StatusOr<std::unique_ptr<SourceRunner>> Make(std::vector<SourceOptions> sources, SlurmFiles slurm,
                                                            FeedChannels channels, Cache& cache, const Clock& clock);
  ~SourceRunner();  // Stop
  void Start();
  void Stop();

  // Has every source and the SLURM files read at once, and waits until that is done, or the time is over. False then.
  bool RefreshAll(std::chrono::milliseconds patience);
  const SourceCounters& counters(std::size_t source) const { return *counters_[source]; }

 private:
  struct Source;
  struct Freed {
    void operator()(Source* source) const;
  };
  SourceRunner(Cache& cache, const Clock& clock) : cache_(cache), clock_(clock) {}
  void Keep(Source& source);
  void KeepFeed(Source& source);
  void KeepSlurm(FileWatch& watch, bool good);
  void ReadOnce(Source& source);
  void Fail(Source& source, const absl::Status& why, std::string_view what);
  void TakeGood(Source& source, Reading reading);
  bool ReadSlurm();  // whether they are good
  // Waits for the time, a wish or the end; what was wished for by then.
  std::uint64_t Wait(std::chrono::steady_clock::time_point until, std::uint64_t done);
  void Done(std::size_t task, std::uint64_t wish);

  Cache& cache_;
  const Clock& clock_;
  SlurmFiles slurm_;
  FeedChannels channels_;
  std::vector<std::unique_ptr<Source, Freed>> sources_;
  std::vector<std::unique_ptr<SourceCounters>> counters_;
  std::atomic<bool> stop_{false};
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::uint64_t wish_ ABSL_GUARDED_BY(mutex_) = 0;           // number of the newest RefreshAll
  std::vector<std::uint64_t> done_ ABSL_GUARDED_BY(mutex_);  // of each task
  std::vector<std::thread> threads_;
};

}  // namespace virp::rtr_bridge
