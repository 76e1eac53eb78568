// Ingest by the whole path, beside the least that could append the same rows to the same database, in turns, in one
// run: a client delivers frames of HMAC sources with 300-byte payloads over a mutually authenticated stream; the O-Node
// checks, chains and commits them with fsync and answers. Client, O-Node and database share this machine.
//
//   ingest_bench [--seconds 4] [--rounds 3] [--rate N] [--warm-up 40000] [--store sqlite|postgres] [--dir DIR]
//
// Prints CPU time per row first (client and O-Node together; the database server's), then rows/s and its ratio to the
// peer's (limit: 0.5). --rate N: frames come N a second, and the time from a frame's arrival to its ack is printed
// beside the limit of 10 ms, and the peer's commits at that rate beside it. Frames of the warm-up come first, as fast
// as they go, and do not count: the databases' logs have reached their size then, as they have on a node that runs.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <random>

#include "lib/chain/entry.h"
#include "lib/chain/merkle.h"
#include "tests/bench/bench_delivery.h"
#include "tests/bench/bench_onode.h"
#include "tests/bench/bench_util.h"
#include "tests/bench/store_peers.h"
#include "tests/testutil/postgres.h"

namespace virp::bench {
namespace {

constexpr int kLogSegments = 48;  // of 16 MiB

struct Settings {
  double seconds = 4;
  int rounds = 3;
  double rate = 0;
  std::uint64_t warm_up = 40'000;
  std::string store;
  std::string dir;
};

struct Result {
  std::vector<double> cpu_us, server_us, rate, p50, p99;
};

struct Meter {
  explicit Meter(pid_t pid) : server(pid), other(TreeCpuSeconds(pid)), own(OwnCpuSeconds()), wall(WallSeconds()) {}
  void Note(double rows, std::vector<double>& latency, Result& result) const {
    result.rate.push_back(rows / (WallSeconds() - wall));
    result.cpu_us.push_back((OwnCpuSeconds() - own) / rows * 1e6);
    result.server_us.push_back((TreeCpuSeconds(server) - other) / rows * 1e6);
    result.p50.push_back(Percentile(latency, 0.5));
    result.p99.push_back(Percentile(latency, 0.99));
  }
  pid_t server;
  double other, own;
  double wall;  // taken last: to read the CPU time of a server takes 2 ms, which acks would seem to have waited
};

// Batches of 256, at most 4,096 frames unanswered, while `more` says so.
void DeliverAll(Frames& frames, Delivery& delivery, const std::function<bool()>& more) {
  while (more()) {
    delivery.Write(frames.Next(kBatch));
    if (frames.made() > 4'096) delivery.Await(frames.made() - 4'096);
  }
  delivery.Await(frames.made());
}

void Saturate(const Settings& settings, BenchONode& onode, pid_t server, Result& result) {
  Frames frames(onode);
  Delivery delivery(onode);
  std::vector<double> none;
  const Meter meter(server);
  DeliverAll(frames, delivery, [&] { return WallSeconds() < meter.wall + settings.seconds; });
  meter.Note(static_cast<double>(frames.made()), none, result);
}

constexpr double kSettle = 2;  // seconds

// Frames come evenly; what has come is sent every millisecond, as a deliverer reads its spool.
void AtRate(const Settings& settings, BenchONode& onode, pid_t server, Result& result) {
  Frames frames(onode);
  std::vector<double> latency;
  latency.reserve(static_cast<std::size_t>(settings.rate * (settings.seconds + 1)));
  {
    Delivery delivery(onode);
    DeliverAll(frames, delivery, [&] { return frames.made() < settings.warm_up; });
    // Evenly: what the warm-up left to checkpoints and logs is done in the first seconds, which do not count.
    const auto deliver = [&](double seconds) {
      const std::uint64_t before = frames.made();
      const double start = WallSeconds();
      for (double now = start; now < start + seconds; now = WallSeconds()) {
        const auto come = before + static_cast<std::uint64_t>((now - start) * settings.rate);
        if (come > frames.made()) delivery.Write(frames.Next(std::min<std::size_t>(come - frames.made(), 1'024)));
        ::usleep(500);
      }
      delivery.Await(frames.made());
    };
    deliver(kSettle);
    const std::uint64_t before = frames.made();
    const Meter meter(server);
    delivery.on_ack = [&](std::uint64_t from, std::uint64_t to) {
      const double now = WallSeconds();
      for (std::uint64_t i = std::max(from, before) + 1; i <= to; ++i) {
        latency.push_back((now - meter.wall - static_cast<double>(i - before) / settings.rate) * 1e3);
      }
    };
    deliver(settings.seconds);
    meter.Note(static_cast<double>(frames.made() - before), latency, result);
  }
}

// Rows of the same size with real hashes, 256 a commit, or those that have come.
void MeasurePeer(const Settings& settings, pid_t server, Peer& peer, Result& result) {
  std::mt19937_64 random(1);
  onode::AppendBatch batch;
  chain::EntryHeader header;
  const std::string frame(kPayload + 96, 'f');
  Hash head = chain::GenesisOf(BenchONode::kOrigin);
  std::vector<double> latency;
  std::uint64_t size = 0;
  const Meter meter(server);
  for (double now = meter.wall; now < meter.wall + settings.seconds; now = WallSeconds()) {
    std::size_t count = kBatch;
    if (settings.rate > 0) {
      count = std::min<std::size_t>(static_cast<std::size_t>((now - meter.wall) * settings.rate) - size, 1'024);
      if (count == 0) {
        ::usleep(50);
        continue;
      }
    }
    batch.old_size = size;
    batch.old_head = head;
    batch.rows.resize(count);
    for (onode::EntryRow& row : batch.rows) {
      header.sequence = row.sequence = size;
      header.previous = head;
      row.index = {
          1'000 + size % kSources, 1, size / kSources, 1 + random() % kPrefixes, 1'750'000'000'000'000 + size, 1, 0};
      row.bytes = chain::EncodeEntry(header, frame);
      row.leaf = head = chain::LeafHash(row.bytes);
      ++size;
    }
    batch.new_head = head;
    peer.Append(batch);
    if (settings.rate == 0) continue;
    const double end = WallSeconds();
    for (std::uint64_t i = batch.old_size + 1; i <= size; ++i)
      latency.push_back((end - meter.wall - static_cast<double>(i) / settings.rate) * 1e3);
  }
  meter.Note(static_cast<double>(size), latency, result);
}

void MeasureONode(const Settings& settings, const std::string& url, pid_t server, Result& result) {
  BenchONode onode(url, kSources);
  if (settings.rate > 0) {
    AtRate(settings, onode, server, result);
  } else {
    Saturate(settings, onode, server, result);
  }
}

void Print(const std::string& name, const Result& result) {
  fmt::print("{:<16} {:>8.2f} {:>10.2f} {:>10.2f} {:>11.0f} {:>9.2f} {:>9.2f}\n", name,
             Median(result.cpu_us) + Median(result.server_us), Median(result.cpu_us), Median(result.server_us),
             Median(result.rate), Median(result.p50), Median(result.p99));
}

void Compare(const Settings& settings, const char* database, const Result& peer, const Result& ours) {
  Print(fmt::format("{} peer", database), peer);
  Print(fmt::format("{} O-Node", database), ours);
  if (settings.rate > 0) {
    fmt::print("{:<16} ack p99 {:.2f} of the limit of 10 ms; the peer's commits {:.2f}\n\n", "", Median(ours.p99) / 10,
               Median(peer.p99) / 10);
  } else {
    fmt::print("{:<16} {:.2f} of the peer's rows/s (limit: at least 0.50)\n\n", "",
               Median(ours.rate) / Median(peer.rate));
  }
}

void RunSqlite(const Settings& settings) {
  Result peer;
  Result ours;
  for (int round = 0; round < settings.rounds; ++round) {
    testutil::TempDir dir;
    const std::string folder = settings.dir.empty() ? dir.path() : settings.dir;
    const auto one = NewSqlitePeer(folder + "/peer.db");
    MeasurePeer(settings, 0, *one, peer);
    MeasureONode(settings, "sqlite:" + folder + "/store.db", 0, ours);
    for (const char* file : {"/peer.db", "/store.db"}) std::filesystem::remove(folder + file);
  }
  Compare(settings, "sqlite", peer, ours);
}

void RunPostgres(const Settings& settings) {
  const auto cluster =
      Must(testutil::PostgresCluster::Start({.settings = {"shared_buffers = 1GB", "max_wal_size = 8GB",
                                                          "min_wal_size = 1GB", "checkpoint_timeout = 15min"}}));
  MakeLogSegments(cluster->Url("postgres"), kLogSegments);
  Result peer;
  Result ours;
  for (int round = 0; round < settings.rounds; ++round) {
    {
      const auto one = NewPostgresPeer(Must(cluster->CreateDatabase()));
      MeasurePeer(settings, cluster->pid(), *one, peer);
    }
    MeasureONode(settings, Must(cluster->CreateDatabase()), cluster->pid(), ours);
  }
  Compare(settings, "postgres", peer, ours);
}

}  // namespace
}  // namespace virp::bench

int main(int argc, char** argv) {
  virp::bench::Settings settings;
  CLI::App app("Ingest by the whole path beside minimal peers");
  app.add_option("--seconds", settings.seconds, "of each measurement");
  app.add_option("--rounds", settings.rounds, "measurements of each, in turns; medians are printed");
  app.add_option("--rate", settings.rate, "frames that come a second; 0: as fast as it goes");
  app.add_option("--warm-up", settings.warm_up, "frames before the measurement at a rate");
  app.add_option("--store", settings.store, "one of the two only")->check(CLI::IsMember({"sqlite", "postgres"}));
  app.add_option("--dir", settings.dir, "folder of SQLite's files")->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);
  fmt::print("payloads of {} bytes, {}, {} rounds of {} s\n", virp::bench::kPayload,
             settings.rate > 0 ? fmt::format("{} frames a second", settings.rate) : "as fast as it goes",
             settings.rounds, settings.seconds);
  fmt::print("{:<16} {:>8} {:>10} {:>10} {:>11} {:>9} {:>9}\n", "", "us/row", "of client", "of server", "rows/s",
             "p50 ms", "p99 ms");
  if (settings.store != "postgres") virp::bench::RunSqlite(settings);
  if (settings.store != "sqlite") virp::bench::RunPostgres(settings);
}
