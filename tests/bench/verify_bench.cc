// VerifyChain and offline verification of one chain of HMAC sources with 300-byte payloads, on either store.
//
//   verify_bench [--entries 300000] [--rounds 5] [--store sqlite|postgres] [--mode tags|subjects]
//
// Prints entries a second of the verifier's own CPU (the database server's beside it), hashes, links, sequences and
// tags included, and the ratio to the limit of 500,000; then the deeper mode that derives subjects from payloads.
#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "tests/bench/bench_delivery.h"
#include "tests/bench/bench_onode.h"
#include "tests/bench/bench_util.h"
#include "tests/testutil/postgres.h"

namespace virp::bench {
namespace {

constexpr double kLimit = 500'000;

struct Settings {
  std::uint64_t entries = 300'000;
  int rounds = 5;
  std::string store, mode;  // empty: both
};

void Fill(BenchONode& onode, std::uint64_t entries) {
  Frames frames(onode);
  Delivery delivery(onode);
  while (frames.made() < entries) {
    delivery.Write(frames.Next(kBatch));
    if (frames.made() > 4'096) delivery.Await(frames.made() - 4'096);
  }
  delivery.Await(frames.made());
}

// Returns the number of entries that were verified.
std::uint64_t Verify(BenchONode& onode, bool subjects) {
  const auto stub = chain::v1::ChainService::NewStub(onode.Channel(service::Role::kReader));
  chain::v1::VerifyChainRequest request;
  request.set_check_subjects(subjects);
  grpc::ClientContext context;
  const auto stream = stub->VerifyChain(&context, request);
  chain::v1::VerifyChainResponse response;
  chain::v1::VerifyReport report;
  while (stream->Read(&response)) {
    if (response.has_report()) report = response.report();
  }
  const grpc::Status status = stream->Finish();
  if (status.ok() && report.result() == chain::v1::VerifyReport::RESULT_VERIFIED) return onode.chain().size();
  fmt::print(stderr, "{}\n{}\n", status.error_message(), report.DebugString());
  std::exit(1);
}

void Measure(const Settings& settings, const char* name, const std::string& url, pid_t server) {
  BenchONode onode(url, kSources);
  Fill(onode, settings.entries);
  for (const bool subjects : {false, true}) {
    if (settings.mode == (subjects ? "tags" : "subjects")) continue;
    std::vector<double> rate;
    std::vector<double> server_us;
    for (int round = 0; round < settings.rounds; ++round) {
      const double own = OwnCpuSeconds();
      const double other = TreeCpuSeconds(server);
      const auto entries = static_cast<double>(Verify(onode, subjects));
      rate.push_back(entries / (OwnCpuSeconds() - own));
      server_us.push_back((TreeCpuSeconds(server) - other) / entries * 1e6);
    }
    fmt::print("{:<10} {:<22} {:>9.0f}/s of CPU, {:>5.2f} of the limit; server {:.2f} us/entry\n", name,
               subjects ? "with subjects" : "hashes, links and tags", Median(rate), Median(rate) / kLimit,
               Median(server_us));
  }
}

}  // namespace
}  // namespace virp::bench

int main(int argc, char** argv) {
  virp::bench::Settings settings;
  CLI::App app("Verification of whole chains");
  app.add_option("--entries", settings.entries, "in the chain");
  app.add_option("--rounds", settings.rounds, "of each; medians are printed");
  app.add_option("--store", settings.store, "one of the two only")->check(CLI::IsMember({"sqlite", "postgres"}));
  app.add_option("--mode", settings.mode, "one of the two only")->check(CLI::IsMember({"tags", "subjects"}));
  CLI11_PARSE(app, argc, argv);
  if (settings.store != "postgres") {
    virp::testutil::TempDir dir;
    virp::bench::Measure(settings, "sqlite", "sqlite:" + dir.path() + "/chain.db", 0);
  }
  if (settings.store == "sqlite") return 0;
  const auto cluster = virp::bench::Must(virp::testutil::PostgresCluster::Start(
      {.settings = {"shared_buffers = 1GB", "max_wal_size = 8GB", "checkpoint_timeout = 15min"}}));
  virp::bench::Measure(settings, "postgres", virp::bench::Must(cluster->CreateDatabase()), cluster->pid());
}
