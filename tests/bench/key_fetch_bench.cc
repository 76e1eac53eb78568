// O-Keys out of the key manager: HMAC secrets under envelope encryption, fetched over mutual TLS streams by collectors
// that sign for their sources. Limit: 10,000 fetches a second.
//
//   key_fetch_bench [--sources 1000] [--streams 4] [--seconds 5] [--window 64]
//
// The first fetch of each source opens its envelope and commits an audit record; it is measured by itself. From then on
// secrets come from the manager's cache. Server and clients share the machine: CPU time is of both.
#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <filesystem>
#include <thread>
#include <vector>

#include "lib/base/file.h"
#include "services/keymgr/custody/software/kek_ring.h"
#include "services/keymgr/custody/software/software_custody.h"
#include "services/keymgr/domain/kek_keeper.h"
#include "services/keymgr/domain/test_ledger.h"
#include "services/keymgr/storage/sqlite/sqlite_ledger.h"
#include "services/keymgr/transport/observation_handler.h"
#include "tests/bench/bench_util.h"
#include "tests/testutil/must.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/test_pki.h"

namespace virp::bench {
namespace {

using service::Role;
using testutil::Must;

constexpr double kLimit = 10'000;  // fetches a second

struct Settings {
  int sources = 1'000, streams = 4, seconds = 5, window = 64;
};

// A manager on SQLite with software custody, as main makes it, behind mutual TLS.
class Manager {
 public:
  explicit Manager(const Settings& settings) {
    Must(MakeDirectory(dir_.File("kek")));
    Must(ReplaceFile(dir_.File("kek/1.kek"), std::string(32, 'K'), 0400));
    custodies_.Add(custody_);
    keymgr::LedgerStoreOptions options;
    options.clock = &clock_;
    store_ = Must(keymgr::SqliteLedgerStore::Open(dir_.File("keymgr.db"), options));
    std::vector<keymgr::RecordType> types = keymgr::KekKeeper::Types();
    types.push_back(keymgr::ObservationKeys::Type());
    ledger_ = Must(keymgr::LedgerEngine::Make(*store_, std::move(types), keymgr::TestLedgerOptions(), clock_));
    keeper_ = std::make_unique<keymgr::KekKeeper>(*ledger_, ring_, custody_, custodies_, "spiffe://bench/keymgr/one");
    keys_ = std::make_unique<keymgr::ObservationKeys>(*ledger_, custodies_, [this] { return custody_.Ready(); });
    ledger_->Start();
    if (!ledger_->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(30))) std::abort();
    ledger_->Unseal(keymgr::SealReason::kStarting);
    Must(keeper_->Open());
    for (int i = 0; i < settings.sources; ++i) Add(fmt::format("edge-{}.bgpd", i));
    const service::Security security = pki_.MakeSecurity(keymgr::ObservationAccess());
    handler_ = std::make_unique<keymgr::ObservationHandler>(*keys_, *ledger_, security.callers);
    server_ = pki_.StartServer(Role::kKeymgr, security,
                               {{handler_.get(), keymgr::v1::ObservationKeyService::service_full_name()}});
  }
  ~Manager() {
    handler_->Drain();
    server_.reset();
    ledger_->Stop();
  }
  std::shared_ptr<grpc::Channel> Channel(int stream) {
    return pki_.Channel(*server_, Role::kCollector, fmt::format("collector-{}", stream), Role::kKeymgr);
  }

 private:
  keymgr::Call By(std::string_view who) {
    return keymgr::TestCall(fmt::format("bench-{}", ++calls_), fmt::format("spiffe://bench/operator/{}", who));
  }
  void Add(const std::string& source) {
    keymgr::ObservationKey key;
    key.source = source;
    for (int i = 0; i < 16; ++i) key.signers.push_back(pki_.Id(Role::kCollector, fmt::format("collector-{}", i)));
    Must(keys_->Create(By("one"), key).status());
    Must(keys_->Prepare(By("one"), source, 0, keymgr::Algorithm::kHmacSha256).status());
    Must(keys_->Approve(By("two"), source, 1, "").status());
  }

  const SystemClock clock_;
  const testutil::TempDir dir_;
  testutil::TestPki pki_;
  keymgr::KekRing ring_{dir_.File("kek")};
  keymgr::SoftwareCustody custody_{ring_};
  keymgr::Custodies custodies_;
  std::unique_ptr<keymgr::SqliteLedgerStore> store_;
  std::unique_ptr<keymgr::LedgerEngine> ledger_;
  std::unique_ptr<keymgr::KekKeeper> keeper_;
  std::unique_ptr<keymgr::ObservationKeys> keys_;
  std::unique_ptr<keymgr::ObservationHandler> handler_;
  std::unique_ptr<service::ServerRunner> server_;
  std::uint64_t calls_ = 0;
};

// Fetches source after source over one stream with `window` requests ahead, until `enough` says so. How many.
std::uint64_t FetchOver(const std::shared_ptr<grpc::Channel>& channel, const Settings& settings,
                        const std::function<bool(std::uint64_t)>& enough) {
  const auto stub = keymgr::v1::ObservationKeyService::NewStub(channel);
  grpc::ClientContext context;
  const auto stream = stub->FetchObservationKeys(&context);
  std::uint64_t asked = 0, answered = 0;
  keymgr::v1::FetchObservationKeysRequest request;
  keymgr::v1::FetchObservationKeysResponse response;
  const auto ask = [&] {
    request.set_source(fmt::format("edge-{}.bgpd", asked++ % static_cast<std::uint64_t>(settings.sources)));
    return stream->Write(request);
  };
  const auto take = [&] {
    if (!stream->Read(&response) || response.keys().versions_size() != 1 ||
        response.keys().versions(0).secret().size() != 32) {
      fmt::print(stderr, "no key: {}\n", stream->Finish().error_message());
      std::exit(1);
    }
    ++answered;
  };
  while (!enough(asked)) {
    if (!ask()) break;
    if (asked - answered >= static_cast<std::uint64_t>(settings.window)) take();
  }
  stream->WritesDone();
  while (answered < asked) take();
  return answered;
}

void Measure(const Settings& settings) {
  Manager manager(settings);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < settings.streams; ++i) channels.push_back(manager.Channel(i));

  const auto run = [&](const std::function<bool(std::uint64_t)>& enough) {
    std::atomic<std::uint64_t> all{0};
    std::vector<std::jthread> threads;
    for (const auto& channel : channels) {
      threads.emplace_back([&] { all += FetchOver(channel, settings, enough); });
    }
    threads.clear();
    return all.load();
  };
  double wall = WallSeconds(), cpu = OwnCpuSeconds();
  const std::uint64_t first =
      run([&](std::uint64_t asked) { return asked == static_cast<std::uint64_t>(settings.sources); });
  fmt::print("first fetch, recorded     {:>9.0f}/s   {:.1f} us of CPU each\n",
             static_cast<double>(first) / (WallSeconds() - wall),
             (OwnCpuSeconds() - cpu) * 1e6 / static_cast<double>(first));
  wall = WallSeconds();
  cpu = OwnCpuSeconds();
  const double until = wall + settings.seconds;
  const auto fetched = static_cast<double>(run([&](std::uint64_t) { return WallSeconds() >= until; }));
  const double rate = fetched / (WallSeconds() - wall);
  fmt::print("fetch, from the cache     {:>9.0f}/s   {:.1f} us of CPU each   {} streams, {} sources\n", rate,
             (OwnCpuSeconds() - cpu) * 1e6 / fetched, settings.streams, settings.sources);
  fmt::print("limit                     {:>9.0f}/s   {:.2f} of it: {}\n", kLimit, rate / kLimit,
             rate >= kLimit ? "kept" : "MISSED");
}

}  // namespace
}  // namespace virp::bench

int main(int argc, char** argv) {
  virp::bench::Settings settings;
  CLI::App app("Fetching HMAC O-Keys over mutual TLS streams");
  app.add_option("--sources", settings.sources, "sources with a key")->check(CLI::Range(1, 100'000));
  app.add_option("--streams", settings.streams, "connections with a stream each")->check(CLI::Range(1, 16));
  app.add_option("--seconds", settings.seconds, "how long")->check(CLI::Range(1, 3'600));
  app.add_option("--window", settings.window, "requests ahead on a stream")->check(CLI::Range(1, 10'000));
  CLI11_PARSE(app, argc, argv);
  virp::bench::Measure(settings);
}
