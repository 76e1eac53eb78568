// Router certificates made and published. Limits (issue 3): at least 2,000 certificates a second and core, and 10,000
// published in less than 10 s of CPU. `of_limit` is the limit's part that is used: below 1 is good.
#include <benchmark/benchmark.h>

#include <vector>

#include "lib/base/file.h"
#include "lib/rpki/check.h"
#include "lib/rpki/publication.h"
#include "services/keymgr/custody/software/kek_ring.h"
#include "services/keymgr/custody/software/software_custody.h"
#include "services/keymgr/domain/rpki_fixture.h"
#include "services/keymgr/outlets/folder_target.h"
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

// The key manager itself, with software custody: requests checked, certificates issued and checked up to the trust
// anchor, each recorded with a signed audit record, and published. The ledger's store is in memory: what a database
// takes is in other benchmarks.
struct Manager {
  Manager() : ring(dir.File("kek")), custody(ring), target(dir.File("pub")) {
    bench::Check(MakeDirectory(dir.File("kek")));
    bench::Check(ReplaceFile(dir.File("kek/1.kek"), std::string(32, 'k'), 0400));
    bench::Check(ring.Load());
    bench::Check(ring.Use(1));
    custodies.Add(custody);
    ledger.Start();
    keymgr::RpkiOptions options;
    options.base_uri = "rsync://rpki.example.net/repo/";
    options.as_numbers = rpki::AsResources::Of({{64496, 64511}});
    options.addresses = rpki::IpResources::Of({*Prefix::Parse("192.0.2.0/24")});
    authority = std::make_unique<keymgr::RpkiAuthority>(*ledger, custodies, target, one_time_keys, ledger.clock,
                                                        options, "keymgr");
    bench::Check(authority->SetUp(keymgr::TestCall("setup")));
  }
  static std::string Request(const crypto::P256PrivateKey& key) {
    return *rpki::MakeRouterRequest(key.public_key().spki(), 64496, testutil::SignerOf(key));
  }
  absl::Status Issue(std::string_view request, bool renew) {
    return authority
        ->Issue(keymgr::TestCall(), {.router = "edge-a", .asn = 64496, .bgp_id = 1, .request = request}, renew)
        .status();
  }

  testutil::TempDir dir;
  keymgr::KekRing ring;
  keymgr::SoftwareCustody custody;
  keymgr::Custodies custodies;
  keymgr::FolderTarget target;
  rpki::OneTimeKeys one_time_keys{4};
  keymgr::TestLedger ledger{
      {keymgr::TypeOf<keymgr::AuthorityRecord>(), keymgr::TypeOf<keymgr::RouterCertificateRecord>()}};
  std::unique_ptr<keymgr::RpkiAuthority> authority;
};

// One at a time, and as many at once as the manager renews in one go.
void BM_ManagerIssues(benchmark::State& state) {
  const auto at_once = static_cast<std::size_t>(state.range(0));
  Manager manager;
  std::vector<std::string> requests;
  for (int i = 0; i < 64; ++i) requests.push_back(Manager::Request(crypto::P256PrivateKey::Generate()));
  std::size_t at = 0;
  const double before = bench::OwnCpuSeconds();
  for (auto _ : state) {
    if (at_once == 1) {
      if (const auto status = manager.Issue(requests[at++ % requests.size()], true); !status.ok())
        state.SkipWithError(status.ToString().c_str());
      continue;
    }
    std::vector<keymgr::RpkiAuthority::Item> items(at_once);
    for (keymgr::RpkiAuthority::Item& item : items) {
      item.call = keymgr::TestCall();
      item.order.router = "edge-a";
      item.order.asn = 64496;
      item.order.bgp_id = 1;
      item.order.request = requests[at++ % requests.size()];
      item.renew = true;
    }
    for (const auto& issued : manager.authority->IssueAll(items)) {
      if (!issued.ok()) state.SkipWithError(issued.status().ToString().c_str());
    }
  }
  Report(state, bench::OwnCpuSeconds() - before, static_cast<double>(at));
}
BENCHMARK(BM_ManagerIssues)->Arg(1)->ArgName("at_once")->Unit(benchmark::kMicrosecond)->Iterations(4'000);
BENCHMARK(BM_ManagerIssues)->Arg(256)->ArgName("at_once")->Unit(benchmark::kMicrosecond)->Iterations(20);

// All 10,000 are new, then a refresh: numbers, signatures, files, and the records of what is out.
void BM_ManagerPublishes(benchmark::State& state) {
  Manager manager;
  for (int i = 0; i < kFleet; ++i)
    bench::Check(manager.Issue(Manager::Request(crypto::P256PrivateKey::Generate()), false));
  for (int i = 0; i < 4; ++i) manager.one_time_keys.MakeOne();
  double worst = 0;
  for (auto _ : state) {
    const double before = bench::OwnCpuSeconds();
    if (const auto status = manager.authority->Publish(); !status.ok()) state.SkipWithError(status.ToString().c_str());
    worst = std::max(worst, bench::OwnCpuSeconds() - before);
  }
  state.counters["cpu_s_worst"] = worst;
  state.counters["of_limit"] = worst / kPublishSeconds;
}
BENCHMARK(BM_ManagerPublishes)->Unit(benchmark::kMillisecond)->Iterations(2);

}  // namespace
}  // namespace virp
