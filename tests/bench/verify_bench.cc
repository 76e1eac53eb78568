// VerifyChain and offline verification of one chain of HMAC sources with 300-byte payloads, on either store.
//
//   verify_bench [--entries 300000] [--rounds 5] [--store sqlite|postgres] [--mode tags|subjects|offline]
//
// Prints entries a second of the verifier's own CPU (the database server's beside it), hashes, links, sequences and
// tags included, and the ratio to the limit of 500,000; then the deeper mode that derives subjects from payloads; and
// the same chain verified offline, from the file that `virpctl chain export` writes.
#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <functional>

#include "lib/chain/byte_stream.h"
#include "lib/chain/export.h"
#include "tests/bench/bench_delivery.h"
#include "tests/bench/bench_onode.h"
#include "tests/bench/bench_util.h"
#include "tests/testutil/postgres.h"
#include "tools/virpctl/offline.h"

namespace virp::bench {
namespace {

constexpr double kLimit = 500'000;

struct Settings {
  std::uint64_t entries = 300'000;
  int rounds = 5;
  std::string store, mode;  // empty: all
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

// The chain up to its newest checkpoint, as virpctl exports it.
std::string Export(BenchONode& onode) {
  onode::Chain& chain = onode.chain();
  const auto size = chain.size();
  const auto checkpoint =
      Must(chain.WaitForCheckpoint(size, std::chrono::steady_clock::now() + std::chrono::minutes(1)));
  std::string file;
  auto writer = Must(chain::ExportWriter::Start(checkpoint.note, {}, [&file](std::string_view bytes) {
    file += bytes;
    return absl::OkStatus();
  }));
  std::vector<onode::EntryRow> rows;
  for (std::uint64_t at = 0; at < checkpoint.size; at += rows.size()) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(1'024, checkpoint.size - at));
    Must(chain.store().ReadEntriesInto(chain.info().id, at, count, rows));
    for (const onode::EntryRow& row : rows) Must(writer.Add(row.bytes));
  }
  Must(writer.Finish());
  return file;
}

// Returns the number of entries that were verified.
std::uint64_t VerifyOffline(BenchONode& onode, std::string_view file) {
  const auto report = Must(virpctl::CheckExport(chain::SourceFrom(file), [&](const std::string&) {
    virpctl::ExportCheck check;
    check.keys = onode.chain().vault().Verifiers();
    check.walk.keys = &onode.chain().keys().provider();
    return absl::StatusOr<virpctl::ExportCheck>(std::move(check));
  }));
  if (report.result == "VERIFIED") return report.checked;
  fmt::print(stderr, "{} {}\n", report.result, report.detail);
  std::exit(1);
}

// Measures one kind of verification and prints it.
void Print(const Settings& settings, std::string_view store, std::string_view what, pid_t server,
           const std::function<std::uint64_t()>& verify) {
  std::vector<double> rate;
  std::vector<double> server_us;
  for (int round = 0; round < settings.rounds; ++round) {
    const double own = OwnCpuSeconds();
    const double other = TreeCpuSeconds(server);
    const auto entries = static_cast<double>(verify());
    rate.push_back(entries / (OwnCpuSeconds() - own));
    server_us.push_back((TreeCpuSeconds(server) - other) / entries * 1e6);
  }
  fmt::print("{:<10} {:<22} {:>9.0f}/s of CPU, {:>5.2f} of the limit; server {:.2f} us/entry\n", store, what,
             Median(rate), Median(rate) / kLimit, Median(server_us));
}

void Measure(const Settings& settings, const char* name, const std::string& url, pid_t server) {
  BenchONode onode(url, kSources);
  Fill(onode, settings.entries);
  const auto wanted = [&](const char* mode) { return settings.mode.empty() || settings.mode == mode; };
  if (wanted("tags")) Print(settings, name, "hashes, links and tags", server, [&] { return Verify(onode, false); });
  if (wanted("subjects")) Print(settings, name, "with subjects", server, [&] { return Verify(onode, true); });
  if (!wanted("offline")) return;
  const std::string file = Export(onode);
  Print(settings, "offline", "hashes, links and tags", 0, [&] { return VerifyOffline(onode, file); });
}

}  // namespace
}  // namespace virp::bench

int main(int argc, char** argv) {
  virp::bench::Settings settings;
  CLI::App app("Verification of whole chains");
  app.add_option("--entries", settings.entries, "in the chain");
  app.add_option("--rounds", settings.rounds, "of each; medians are printed");
  app.add_option("--store", settings.store, "one of the two only")->check(CLI::IsMember({"sqlite", "postgres"}));
  app.add_option("--mode", settings.mode, "one of them only")->check(CLI::IsMember({"tags", "subjects", "offline"}));
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
