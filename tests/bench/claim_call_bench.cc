// VerifyClaim with proofs over a warm connection under mutual TLS, asked of a short chain and of a long one in turns.
//
//   claim_call_bench [--small 10000] [--large 200000] [--rounds 3000] [--store sqlite|postgres|both] [--ask]
//
// The floors: p50 under 1 ms, and at 10,000,000 entries (--large 10000000; filling takes minutes) at most 1.5 times
// that at 10,000. Both chains are made through Deliver: 64 routers, each path announced again and again. Every answer
// is CONFIRMED and rests on a path and a beat, both with a proof. --ask waits for a line on standard input between
// filling and measuring, so that the machine can be made quiet.
#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <CLI/CLI.hpp>
#include <array>
#include <iostream>
#include <string>

#include "tests/bench/bench_delivery.h"
#include "tests/bench/bench_onode.h"
#include "tests/bench/bench_util.h"
#include "tests/testutil/postgres.h"
#include "virp/verify/v1/verify_service.grpc.pb.h"

namespace virp::bench {
namespace {

constexpr double kLimitMs = 1;
constexpr double kLimitRatio = 1.5;

struct Settings {
  std::array<std::uint64_t, 2> entries{10'000, 200'000};
  int rounds = 3'000;
  std::string store = "both";
  bool ask = false;
};

// An O-Node with a chain of some length, and who asks it.
class Asked {
 public:
  Asked(const std::string& url, std::uint64_t entries)
      : onode_(url, kSources),
        frames_(onode_, frame::Type::kBgpProcess),
        delivery_(onode_),
        reader_(verify::v1::VerifyService::NewStub(onode_.Channel(service::Role::kReader))) {
    while (frames_.made() < entries) {
      delivery_.Write(frames_.Next(kBatch));
      if (frames_.made() > 4'096) delivery_.Await(frames_.made() - 4'096);
    }
    delivery_.Await(frames_.made());
  }

  std::uint64_t size() { return onode_.chain().size(); }

  // Every source beats, and a checkpoint covers it.
  void Freshen() {
    delivery_.Write(frames_.Beats());
    delivery_.Await(frames_.made());
    Must(
        onode_.chain().WaitForCheckpoint(size(), std::chrono::steady_clock::now() + std::chrono::seconds(60)).status());
  }

  // Milliseconds until the answer about some path was there.
  double Ask(std::uint64_t random) {
    const Frames::Path path = frames_.AnyPath(random);
    verify::v1::VerifyClaimRequest request;
    verify::v1::RouteClaim& claim = *request.mutable_claim()->mutable_route();
    claim.set_router(onode_.SourceName(path.source));
    claim.set_prefix(Frames::Prefix(path.prefix));
    claim.set_origin_as(64511);
    verify::v1::VerifyClaimResponse response;
    grpc::ClientContext context;
    const double start = WallSeconds();
    const grpc::Status status = reader_->VerifyClaim(&context, request, &response);
    const double end = WallSeconds();
    const bool proven =
        response.answer().verdict() == verify::v1::VERDICT_CONFIRMED && response.answer().proofs_size() == 2;
    if (!status.ok() || !proven) {
      fmt::print(stderr, "{}\n{}\n", status.error_message(), response.DebugString());
      std::exit(1);
    }
    return (end - start) * 1e3;
  }

 private:
  BenchONode onode_;
  Frames frames_;
  Delivery delivery_;
  std::unique_ptr<verify::v1::VerifyService::Stub> reader_;
};

void Measure(const Settings& settings, const char* name, const std::array<std::string, 2>& urls) {
  std::array<std::unique_ptr<Asked>, 2> asked;
  for (std::size_t i = 0; i < 2; ++i) asked[i] = std::make_unique<Asked>(urls[i], settings.entries[i]);
  if (settings.ask) {
    fmt::print("{}: filled; measuring begins with the next line of input\n", name);
    std::fflush(stdout);
    std::string line;
    std::getline(std::cin, line);
  }
  std::mt19937_64 random(5);
  std::array<std::vector<double>, 2> ms;
  for (int round = 0; round < settings.rounds + 100; ++round) {
    for (std::size_t i = 0; i < 2; ++i) {
      if (round % 1'000 == 0) asked[i]->Freshen();
      const double took = asked[i]->Ask(random());
      if (round >= 100) ms[i].push_back(took);
    }
  }
  std::array<double, 2> p50{};
  for (std::size_t i = 0; i < 2; ++i) {
    p50[i] = Percentile(ms[i], 0.5);
    fmt::print("{:<10} {:>10} entries   p50 {:.3f} ms, {:.2f} of the limit   p99 {:.3f} ms\n", name, asked[i]->size(),
               p50[i], p50[i] / kLimitMs, Percentile(ms[i], 0.99));
  }
  fmt::print("{:<10} long chain to short one, p50: {:.2f} (limit {})\n", name, p50[1] / p50[0], kLimitRatio);
}

}  // namespace
}  // namespace virp::bench

int main(int argc, char** argv) {
  using virp::bench::Must;
  virp::bench::Settings settings;
  CLI::App app("Claims over the API, short chain and long one");
  app.add_option("--small", settings.entries[0], "entries of the short chain");
  app.add_option("--large", settings.entries[1], "entries of the long chain");
  app.add_option("--rounds", settings.rounds, "questions to each");
  app.add_option("--store", settings.store, "which")->check(CLI::IsMember({"sqlite", "postgres", "both"}));
  app.add_flag("--ask", settings.ask, "wait for a line of input before measuring");
  CLI11_PARSE(app, argc, argv);
  if (settings.store != "postgres") {
    const virp::testutil::TempDir dir;
    virp::bench::Measure(settings, "sqlite", {"sqlite:" + dir.File("small.db"), "sqlite:" + dir.File("large.db")});
  }
  if (settings.store == "sqlite") return 0;
  const auto cluster = Must(virp::testutil::PostgresCluster::Start(
      {.settings = {"shared_buffers = 1GB", "max_wal_size = 8GB", "checkpoint_timeout = 15min"}}));
  virp::bench::Measure(settings, "postgres", {Must(cluster->CreateDatabase()), Must(cluster->CreateDatabase())});
}
