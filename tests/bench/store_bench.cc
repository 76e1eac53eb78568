// Append rate of both stores beside the least that could append the same rows to the same database, in turns, in one
// run.
//
//   store_bench [--seconds 3] [--rounds 5] [--batch 256] [--frame 344] [--rate N] [--store sqlite|postgres] [--dir DIR]
//
// --rate N: rows arrive N a second whatever the store does, and each commit takes those that have come, as the
// sequencer's group commit does, at most 1,024; latency is then from a row's arrival to the end of its commit. Prints
// CPU time per row (ours and the server's) first, then rows/s and commit latency, and the ratios of our medians to the
// peer's. PostgreSQL is a private cluster, as in the tests, with a 1 GB buffer. --dir: where SQLite's files go.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <random>

#include "lib/chain/entry.h"
#include "lib/chain/merkle.h"
#include "services/onode/storage/open.h"
#include "tests/bench/bench_util.h"
#include "tests/bench/store_peers.h"
#include "tests/testutil/must.h"
#include "tests/testutil/postgres.h"
#include "tests/testutil/temp_dir.h"

namespace virp::bench {
namespace {

using onode::AppendBatch;
using onode::EntryRow;
using testutil::Must;

struct Settings {
  double seconds = 3;
  int rounds = 5;
  std::size_t batch = 256;
  double rate = 0;          // rows a second; 0: as fast as it goes, `batch` at a time
  std::size_t frame = 344;  // with the entry's header 472 bytes, and a 32-byte hash beside them
  std::string store;
  std::string dir;
};

using Append = std::function<void(const AppendBatch&)>;

// Rows with real hashes, links, frontier and tiles: 64 sources in turn, 200,000 subjects at random.
class Rows {
 public:
  explicit Rows(std::size_t frame) : head_(chain::GenesisOf(kOrigin)), frames_(256) {
    std::mt19937_64 random(1);
    for (std::string& one : frames_) {
      one.resize(frame);
      for (char& c : one) c = static_cast<char>(random());
    }
    header_.origin_id = chain::OriginIdOf(kOrigin);
  }

  static constexpr const char* kOrigin = "virp.example.net/bench";

  void Next(std::size_t count, AppendBatch& batch) {
    batch.old_size = batch.old_size + batch.rows.size();
    batch.old_head = head_;
    batch.rows.resize(count);
    batch.tiles.clear();
    for (std::size_t i = 0; i < count; ++i) Fill(batch.old_size + i, batch);
    batch.new_head = head_;
    batch.new_frontier = frontier_.ToBytes();
  }

 private:
  void Fill(std::uint64_t sequence, AppendBatch& batch) {
    EntryRow& row = batch.rows[sequence - batch.old_size];
    row.sequence = sequence;
    row.index = {1'000 + sequence % 64,
                 1,
                 sequence / 64,
                 1 + random_() % 200'000,
                 1'750'000'000'000'000 + sequence,
                 static_cast<std::uint8_t>(random_() % 8 == 0 ? 1 : 0),
                 0};
    header_.sequence = sequence;
    header_.previous = head_;
    header_.received_us = row.index.received_us;
    header_.source = row.index.source;
    header_.source_epoch = row.index.source_epoch;
    header_.source_sequence = row.index.source_sequence;
    row.bytes = chain::EncodeEntry(header_, frames_[random_() % frames_.size()]);
    row.leaf = head_ = chain::LeafHash(row.bytes);
    frontier_.Append(head_);
    tile_ += View(head_);
    if (tile_.size() == chain::kTileWidth * sizeof(Hash)) {
      batch.tiles.push_back({0, sequence / chain::kTileWidth, std::move(tile_)});
      tile_.clear();
    }
  }

  Hash head_;
  chain::Frontier frontier_;
  chain::EntryHeader header_;
  std::vector<std::string> frames_;
  std::string tile_;
  std::mt19937_64 random_{2};
};

struct Result {
  std::vector<double> cpu_us, server_us, rate, p50, p99;
  double TotalCpu() const { return Median(cpu_us) + Median(server_us); }
};

constexpr std::size_t kGroup = 1'024;  // rows that one commit takes at most when they come by themselves

// Appends for the time given and notes latencies in ms. Returns the number of rows.
double AsFastAsItGoes(const Settings& settings, Rows& rows, const Append& append, std::vector<double>& latency) {
  AppendBatch batch;
  batch.term = 1;
  double count = 0;
  const double end = WallSeconds() + settings.seconds;
  for (double now = 0; now < end; count += static_cast<double>(settings.batch)) {
    rows.Next(settings.batch, batch);
    const double before = WallSeconds();
    append(batch);
    now = WallSeconds();
    latency.push_back((now - before) * 1e3);
  }
  return count;
}

double AsTheyCome(const Settings& settings, Rows& rows, const Append& append, std::vector<double>& latency) {
  AppendBatch batch;
  batch.term = 1;
  const double start = WallSeconds();
  std::size_t taken = 0;
  for (double now = start; now < start + settings.seconds;) {
    now = WallSeconds();
    const auto come = static_cast<std::size_t>((now - start) * settings.rate);
    if (come == taken) {
      ::usleep(50);
      continue;
    }
    const std::size_t count = std::min(come - taken, kGroup);
    rows.Next(count, batch);
    append(batch);
    now = WallSeconds();
    for (std::size_t i = taken + 1; i <= taken + count; ++i) {
      latency.push_back((now - start - static_cast<double>(i) / settings.rate) * 1e3);
    }
    taken += count;
  }
  return static_cast<double>(taken);
}

void Measure(const Settings& settings, pid_t server, const Append& append, Result& result) {
  Rows rows(settings.frame);
  std::vector<double> latency;
  const double wall = WallSeconds();
  const double cpu = OwnCpuSeconds();
  const double server_cpu = TreeCpuSeconds(server);
  const double count =
      settings.rate > 0 ? AsTheyCome(settings, rows, append, latency) : AsFastAsItGoes(settings, rows, append, latency);
  result.rate.push_back(count / (WallSeconds() - wall));
  result.cpu_us.push_back((OwnCpuSeconds() - cpu) / count * 1e6);
  result.server_us.push_back((TreeCpuSeconds(server) - server_cpu) / count * 1e6);
  result.p50.push_back(Percentile(latency, 0.5));
  result.p99.push_back(Percentile(latency, 0.99));
}

void MeasureStore(const Settings& settings, pid_t server, const std::string& url, Result& result) {
  const auto store = Must(onode::OpenStore(Must(store::ParseStorageUrl(url, store::UrlOrigin::kPrivate)), {}));
  const onode::ChainId chain = Must(store->CreateChain(Rows::kOrigin, ""));
  Must(store->TakeLease(chain, "bench", "", std::chrono::hours(1)).status());
  Measure(settings, server, [&](const AppendBatch& batch) { Must(store->Append(chain, batch)); }, result);
}

void Print(const char* name, const Result& result) {
  fmt::print("{:<16} {:>8.2f} {:>10.2f} {:>10.2f} {:>11.0f} {:>9.3f} {:>9.3f}\n", name, result.TotalCpu(),
             Median(result.cpu_us), Median(result.server_us), Median(result.rate), Median(result.p50),
             Median(result.p99));
}

void Compare(const char* database, const Result& peer, const Result& ours) {
  Print(fmt::format("{} peer", database).c_str(), peer);
  Print(fmt::format("{} store", database).c_str(), ours);
  fmt::print("{:<16} {:>8.2f} of the peer's CPU per row, {:.2f} of its rows/s\n\n", "",
             ours.TotalCpu() / peer.TotalCpu(), Median(ours.rate) / Median(peer.rate));
}

void RunSqlite(const Settings& settings) {
  Result peer;
  Result ours;
  for (int round = 0; round < settings.rounds; ++round) {
    {
      testutil::TempDir dir;
      const auto one = NewSqlitePeer((settings.dir.empty() ? dir.path() : settings.dir) + "/peer.db");
      Measure(settings, 0, [&](const AppendBatch& batch) { one->Append(batch); }, peer);
    }
    testutil::TempDir dir;
    MeasureStore(settings, 0, "sqlite:" + (settings.dir.empty() ? dir.path() : settings.dir) + "/store.db", ours);
    if (!settings.dir.empty()) {
      for (const char* file : {"/peer.db", "/store.db"}) std::filesystem::remove(settings.dir + file);
    }
  }
  Compare("sqlite", peer, ours);
}

void RunPostgres(const Settings& settings) {
  const auto cluster = Must(testutil::PostgresCluster::Start(
      {.settings = {"shared_buffers = 1GB", "max_wal_size = 8GB", "checkpoint_timeout = 15min"}}));
  Result peer;
  Result ours;
  for (int round = 0; round < settings.rounds; ++round) {
    {
      const auto one = NewPostgresPeer(Must(cluster->CreateDatabase()));
      Measure(settings, cluster->pid(), [&](const AppendBatch& batch) { one->Append(batch); }, peer);
    }
    MeasureStore(settings, cluster->pid(), Must(cluster->CreateDatabase()), ours);
  }
  Compare("postgres", peer, ours);
}

}  // namespace
}  // namespace virp::bench

int main(int argc, char** argv) {
  virp::bench::Settings settings;
  CLI::App app("Append rate of the O-Node's stores beside minimal peers");
  app.add_option("--seconds", settings.seconds, "of each measurement");
  app.add_option("--rounds", settings.rounds, "measurements of each, in turns; medians are printed");
  app.add_option("--batch", settings.batch, "rows a commit")->check(CLI::Range(1, 4'096));
  app.add_option("--rate", settings.rate, "rows that arrive a second; 0: as fast as it goes");
  app.add_option("--frame", settings.frame, "bytes of a frame")->check(CLI::Range(1, 65'000));
  app.add_option("--store", settings.store, "one of the two only")->check(CLI::IsMember({"sqlite", "postgres"}));
  app.add_option("--dir", settings.dir, "folder of SQLite's files")->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);
  fmt::print("rows of {} bytes, {}, {} rounds of {} s\n", settings.frame + virp::chain::kEntryHeaderSize,
             settings.rate > 0 ? fmt::format("{} arriving a second", settings.rate)
                               : fmt::format("{} a commit", settings.batch),
             settings.rounds, settings.seconds);
  fmt::print("{:<16} {:>8} {:>10} {:>10} {:>11} {:>9} {:>9}\n", "", "us/row", "of client", "of server", "rows/s",
             "p50 ms", "p99 ms");
  if (settings.store != "postgres") virp::bench::RunSqlite(settings);
  if (settings.store != "sqlite") virp::bench::RunPostgres(settings);
}
