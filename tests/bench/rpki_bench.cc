// Router certificates made and published. Limits (issue 3): at least 2,000 certificates a second and core, and 10,000
// published in less than 10 s of CPU. `of_limit` is the limit's part that is used: below 1 is good.
#include <benchmark/benchmark.h>

#include <vector>

#include "lib/rpki/check.h"
#include "lib/rpki/publication.h"
#include "tests/bench/bench_util.h"
#include "tests/testutil/rpki_lab.h"
#include "tests/testutil/temp_dir.h"

namespace virp {
namespace {

constexpr double kCertificatesPerSecond = 2000;
constexpr double kPublishSeconds = 10;
constexpr int kFleet = 10'000;

const testutil::RpkiLab& Lab() {
  static const auto& lab = *new testutil::RpkiLab();
  return lab;
}

const std::vector<crypto::P256PublicKey>& Keys() {
  static const auto& keys = *[] {
    auto* out = new std::vector<crypto::P256PublicKey>();
    for (int i = 0; i < 64; ++i) out->push_back(crypto::P256PrivateKey::Generate().public_key());
    return out;
  }();
  return keys;
}

void Report(benchmark::State& state, double cpu, double done) {
  state.counters["us_each"] = cpu / done * 1e6;
  state.counters["per_s_and_core"] = done / cpu;
  state.counters["of_limit"] = kCertificatesPerSecond / (done / cpu);
}

// The certificate alone, and as the key manager makes it: checked against its profile before anybody sees it.
void BM_Issue(benchmark::State& state) {
  const bool checked = state.range(0) != 0;
  Lab();
  std::size_t at = 0;
  const double before = bench::OwnCpuSeconds();
  for (auto _ : state) {
    const crypto::P256PublicKey& key = Keys()[at++ % Keys().size()];
    const std::string der = Lab().Router(64496, key);
    if (checked && !rpki::CheckRouterCertificate(der, {.asn = 64496, .now = Lab().now}).empty())
      state.SkipWithError("refused");
    benchmark::DoNotOptimize(der);
  }
  Report(state, bench::OwnCpuSeconds() - before, static_cast<double>(state.iterations()));
}
BENCHMARK(BM_Issue)->Arg(0)->Arg(1)->ArgName("checked")->Unit(benchmark::kMicrosecond)->MinTime(2);

// 10,000 certificates that exist: CRL, manifest with a key from the stock, all files written and the folder switched.
void BM_Publish(benchmark::State& state) {
  const testutil::TempDir dir;
  auto folder = rpki::PublicationFolder::Open(dir.File("pub"));
  rpki::Files certificates;
  for (int i = 0; i < kFleet; ++i) {
    certificates["R" + std::to_string(i) + ".cer"] =
        Lab().Router(64496, Keys()[static_cast<std::size_t>(i) % Keys().size()]);
  }
  Lab().CaPoint(1, {});  // the keys are made
  double cpu = 0;
  std::uint64_t number = 1;
  for (auto _ : state) {
    // The first time every file is new; later the manifest and the CRL only.
    const double before = bench::OwnCpuSeconds();
    rpki::PublicationFolder::Tree tree;
    for (auto& [name, bytes] : Lab().CaPoint(++number, certificates)) tree["ca/" + name] = std::move(bytes);
    if (const auto status = folder->Publish(tree); !status.ok()) state.SkipWithError(status.ToString().c_str());
    cpu = std::max(cpu, bench::OwnCpuSeconds() - before);
  }
  state.counters["cpu_s_worst"] = cpu;
  state.counters["of_limit"] = cpu / kPublishSeconds;
}
BENCHMARK(BM_Publish)->Unit(benchmark::kMillisecond)->Iterations(3);

}  // namespace
}  // namespace virp
