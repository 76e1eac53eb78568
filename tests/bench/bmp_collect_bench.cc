// What BMP costs a collector: Route Monitoring messages decoded, compared with what was last reported, signed (HMAC, or
// Ed25519 with --ed25519) and spooled, as virp-collector does it but for the socket. Prints CPU seconds beside the
// limit; exit 1 above it.
//
// The table is like a transit peer's: one route in each message, five ASes, six communities, two large ones, and eight
// routes to a set of attributes.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/bmp/bmp_testing.h"
#include "lib/frame/key_ring.h"
#include "services/collector/domain/bmp_batch.h"
#include "services/collector/domain/bmp_session.h"
#include "tests/bench/bench_util.h"
#include "tests/testutil/temp_dir.h"

namespace virp::collector {
namespace {

using bmp::testing::AttributeBytes;
using bmp::testing::BasicAttributes;
using bmp::testing::Cat;
using bmp::testing::U32;
using bmp::testing::U8;
using bmp::testing::UpdateBody;

constexpr const char* kSource = "edge-a.bmp";
constexpr std::size_t kRead = std::size_t{64} << 10;  // as the socket is read
constexpr std::uint32_t kPiece = 10'000;              // messages that are made at a time, outside the account
constexpr std::uint64_t kSnapshotBytes = std::uint64_t{64} << 20;  // as virp-collector
constexpr double kLimit = 6.0;  // CPU seconds for a million messages that are all news

std::string Attributes(std::uint32_t set) {
  std::string communities, large;
  for (std::uint32_t c = 0; c < 6; ++c) communities += U32(0xfbf50000 + (set % 5'000) * 10 + c);
  for (std::uint32_t c = 0; c < 2; ++c) large += Cat(U32(64501), U32(set % 7), U32(c));
  return Cat(BasicAttributes("192.0.2.2", {64501, 64502 + set % 5, 65550, 4200000000u, 64510 + set}),
             AttributeBytes(0x80, 4, U32(set % 100)), AttributeBytes(0xc0, 8, communities),
             AttributeBytes(0xc0, 32, large));
}

// One message for route `i`, a /24 of its own; `shift` changes its attributes.
std::string Message(std::uint32_t i, std::uint32_t shift, bool withdraw) {
  const std::string nlri = Cat(U8(24), U32((1u << 30) + (i << 8)).substr(0, 3));
  return bmp::testing::RouteMonitoringBytes(
      {}, withdraw ? UpdateBody(nlri, "", "") : UpdateBody("", Attributes(i / 8 + shift), nlri));
}

class Binder final : public BmpBinder {
 public:
  explicit Binder(BmpRouter& router) : router_(router) {}
  absl::StatusOr<BmpRouter*> Bind(const bmp::Initiation& initiation) override {
    router_.Connected("192.0.2.1", "plain", initiation);
    return &router_;
  }

 private:
  BmpRouter& router_;
};

BmpOptions Options(std::uint32_t messages) {
  BmpOptions options;
  options.collector_source = "collector-1";
  BmpRouterOptions router;
  router.source = kSource;
  router.addresses = {IpAddress::V4(0x7f000001)};
  router.mode = BmpMode::kRoutes;
  router.max_paths = messages;
  options.routers.push_back(std::move(router));
  return options;
}

class Bench {
 public:
  Bench(std::uint32_t messages, const std::shared_ptr<const frame::OKey>& key, const std::string& directory)
      : messages_(messages), options_(Options(messages)), tables_(options_) {
    for (const char* source : {kSource, "collector-1"}) keys_.Put(source, {1, key, 0, std::nullopt});
    auto outbox = deliver::Outbox::Open({.directory = directory, .max_bytes = std::uint64_t{64} << 30}, keys_, clock_,
                                        {&tables_});
    if (!outbox.ok()) throw std::runtime_error(std::string(virp::Message(outbox.status())));
    outbox_ = *std::move(outbox);
    batch_.emplace(tables_, *outbox_, stopping_);
    router_.emplace(options_, options_.routers[0], *tables_.Find(kSource), *batch_, clock_);
    binder_.emplace(*router_);
    session_.emplace(*binder_);
    syncer_ = std::jthread([this](const std::stop_token& stop) { SyncLoop(stop); });
    Feed(Cat(bmp::testing::Bmp(4, Cat(bmp::testing::TlvBytes(1, "bench"), bmp::testing::TlvBytes(2, "edge-a"))),
             bmp::testing::PeerUpBytes({}, bmp::testing::OpenBody(64500, "192.0.2.1"),
                                       bmp::testing::OpenBody(64501, "192.0.2.2"))));
  }

  struct Spent {
    double work = 0, snapshots = 0;
  };
  // CPU seconds of the process for one message for each route, and of the snapshots that housekeeping takes meanwhile.
  Spent Run(std::uint32_t shift, bool withdraw) {
    Spent spent;
    for (std::uint32_t first = 0; first < messages_; first += kPiece) {
      std::string stream;
      for (std::uint32_t i = first; i < std::min(first + kPiece, messages_); ++i)
        stream += collector::Message(i, shift, withdraw);
      const double before = bench::OwnCpuSeconds();
      Feed(stream);
      const double done = bench::OwnCpuSeconds();
      Check(outbox_->SnapshotIfDue(kSnapshotBytes));
      spent.work += done - before;
      spent.snapshots += bench::OwnCpuSeconds() - done;
    }
    return spent;
  }
  const BmpCounters& counters() const { return router_->counters(); }
  deliver::SpoolStats spooled() const { return outbox_->spool().stats(); }

 private:
  static void Check(const absl::Status& status) {
    if (!status.ok()) throw std::runtime_error(std::string(virp::Message(status)));
  }
  void Feed(std::string_view stream) {
    for (std::size_t at = 0; at < stream.size(); at += kRead) {
      const MutexLock lock(tables_.mutex());
      Check(session_->Feed(stream.substr(at, kRead)));
      Check(batch_->Flush());
      to_sync_ = batch_->last_number();
    }
  }
  void SyncLoop(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    while (!stop.stop_requested()) {
      if (const std::uint64_t number = to_sync_; number != 0) Check(outbox_->Sync(number));
      std::unique_lock lock(mutex);
      wake.wait_for(lock, stop, std::chrono::milliseconds(20), [] { return false; });
    }
  }

  const std::uint32_t messages_;
  const SystemClock clock_;
  const BmpOptions options_;
  frame::KeyRing keys_;
  BmpTables tables_;
  std::unique_ptr<deliver::Outbox> outbox_;
  const std::atomic<bool> stopping_{false};
  std::optional<BmpBatch> batch_;
  std::optional<BmpRouter> router_;
  std::optional<Binder> binder_;
  std::optional<BmpSession> session_;
  std::atomic<std::uint64_t> to_sync_{0};
  std::jthread syncer_;
};

int Main(std::uint32_t messages, bool ed25519, const std::string& directory) {
  std::optional<testutil::TempDir> folder;
  if (directory.empty()) folder.emplace();
  const auto key =
      ed25519 ? frame::OKey::Ed25519FromSeed(std::string(32, 'k')) : frame::OKey::Hmac(std::string(32, 'k'));
  Bench bench(messages, key.value(), (directory.empty() ? folder->path() : directory) + "/spool");
  const double scale = messages / 1e6;
  fmt::print("{} messages, one route each, {}\n", messages, ed25519 ? "Ed25519" : "HMAC-SHA256");
  const auto show = [&](const char* what, const Bench::Spent& spent) {
    fmt::print("{:<44} {:6.2f} s CPU   {:5.2f} us a message   snapshots {:5.2f} s\n", what, spent.work,
               spent.work / messages * 1e6, spent.snapshots);
  };
  const Bench::Spent fresh = bench.Run(0, false);
  const std::uint64_t bytes = bench.spooled().bytes;
  const double news = fresh.work + fresh.snapshots;
  show("announced, all new", fresh);
  show("announced again, nothing changed (a re-dump)", bench.Run(0, false));
  show("announced with other attributes", bench.Run(1, false));
  show("withdrawn", bench.Run(0, true));
  const BmpCounters& counters = bench.counters();
  const bool right =
      counters.announced == 2ULL * messages && counters.unchanged == messages && counters.withdrawn == messages;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  fmt::print("{} bytes spooled a new route; peak memory {} MiB\n", bytes / messages, usage.ru_maxrss / 1024);
  if (!right) return fmt::print("the counters are wrong: nothing was measured\n"), 2;
  if (ed25519) return 0;
  fmt::print("limit {:.1f} s for a million that are new: ratio {:.2f}\n", kLimit, news / scale / kLimit);
  return news / scale <= kLimit ? 0 : 1;
}

}  // namespace
}  // namespace virp::collector

int main(int argc, char** argv) {
  CLI::App app("What BMP costs a collector");
  std::uint32_t messages = 1'000'000;
  bool ed25519 = false;
  std::string directory;
  app.add_option("--messages", messages, "Messages of each kind")
      ->check(CLI::Range(1'000, 10'000'000))
      ->capture_default_str();
  app.add_flag("--ed25519", ed25519, "Sign with Ed25519");
  app.add_option("--directory", directory, "Where the spool is made (default: a temporary folder)");
  CLI11_PARSE(app, argc, argv);
  return virp::collector::Main(messages, ed25519, directory);
}
